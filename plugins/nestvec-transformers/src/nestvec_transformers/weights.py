"""Where a model's weights lie, and what is wrong when they do not: before anything of them is loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec.errors import ConfigError, EmbedderUnavailable, NestvecError
from nestvec_transformers.libraries import imported

if TYPE_CHECKING:
    from nestvec_transformers.options import LocalOptions

#: What a folder of weights has: enough for every library that reads one.
FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "**/*.json", "**/*.safetensors")
#: What is beside them, for other runtimes: several times their size.
OTHERS = ("onnx/*", "openvino/*", "*.bin", "*.onnx", "*.pt")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def locate(
    options: LocalOptions, repository: str, files: Sequence[str] = FILES, others: Sequence[str] = OTHERS
) -> Path:
    """The folder of the weights: `path`, or what the hub's cache holds of the repository at the revision.

    `repository` is the one to take where the options name none; what is needed of it matches one of the patterns
    `files`, and none of `others`. The network is touched only with `download = true`. Raises `ConfigError` saying what
    to download, and how.
    """
    if options.path is not None:
        if not options.path.is_dir():
            raise ConfigError(f"path: the folder {options.path} is not there; {how_to_get(options, repository)}")
        _check_record(options.path, options.revision)
        return options.path
    (download,) = imported("huggingface_hub:snapshot_download")
    try:
        folder = download(
            options.repository or repository,
            revision=options.revision,
            local_files_only=not options.download,
            allow_patterns=list(files),
            ignore_patterns=list(others),
        )
    except Exception as error:
        raise _explanation(error, options, repository) from error
    return Path(folder)


def _check_record(folder: Path, revision: str) -> None:
    """`hf download --local-dir` leaves a note of what it fetched. Raises `ConfigError` where it says another commit."""
    note = folder / ".cache" / "huggingface" / "download" / "config.json.metadata"
    try:
        fetched = note.read_text(encoding="utf-8").split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError):
        return  # downloaded in another way
    if _COMMIT.fullmatch(fetched) and _COMMIT.fullmatch(revision) and fetched != revision:
        raise ConfigError(
            f"revision: {folder} holds {fetched}, as its download noted, not {revision}; say which of the two it is to "
            f"be, and download that"
        )


def require(folder: Path, files: Sequence[str], options: LocalOptions, repository: str) -> None:
    """Raises `ConfigError` that names all of `files` (relative paths; `|` between alternatives) that are missing."""
    missing = [name for name in files if not any((folder / each).is_file() for each in name.split("|"))]
    if missing:
        listed = ", ".join(name.replace("|", " or ") for name in missing)
        raise ConfigError(
            f"the model in {folder} is not complete: {listed} {'is' if len(missing) == 1 else 'are'} missing; "
            f"{how_to_get(options, repository)}"
        )


def model_type(folder: Path) -> str:
    """What `config.json` says that the model is. Raises `ConfigError`."""
    file = folder / "config.json"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file} is no model's configuration ({type(error).__name__}: {error})") from error
    return str(found)


def how_to_get(options: LocalOptions, repository: str) -> str:
    """What to type, and what to write into the configuration."""
    name = options.repository or repository
    fetch = f"hf download {name} --revision {options.revision}"
    if options.path is not None:
        return f"get it with: {fetch} --local-dir {options.path}"
    return (
        f"get it with: {fetch} — or write download = true — or, for machines without a network, add "
        f'--local-dir DIR, copy the folder, and write path = "DIR" instead of repository'
    )


def _explanation(error: Exception, options: LocalOptions, repository: str) -> NestvecError:
    """What the hub's library raised, in words that say what to do."""
    (hub,) = imported("huggingface_hub.errors")
    name, hint = options.repository or repository, how_to_get(options, repository)
    if isinstance(error, hub.GatedRepoError):
        return ConfigError(
            f"the hub gives {name} only to those who accepted its terms: do so at https://huggingface.co/{name}, then "
            f"run hf auth login, or set HF_TOKEN"
        )
    if isinstance(error, hub.RevisionNotFoundError):
        return ConfigError(f"revision: {name} has no {options.revision!r}; look at its commits and tags on the hub")
    if isinstance(error, hub.RepositoryNotFoundError):
        return ConfigError(f"repository: the hub has no {name!r}, or shows it to its owners only (hf auth login)")
    if options.download:
        return EmbedderUnavailable(f"{name} cannot be fetched from the hub ({first_line(error)}); {hint}")
    return ConfigError(f"{name} at {options.revision} is not, or not whole, on this machine; {hint}")


def first_line(error: BaseException) -> str:
    """What a library says, without what follows: its name if it says nothing."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]

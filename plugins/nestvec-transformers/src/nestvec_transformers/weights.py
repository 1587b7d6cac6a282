"""Where a model's weights lie, and what is wrong when they do not: before anything of them is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec.errors import ConfigError, EmbedderUnavailable, NestvecError, PluginBroken

if TYPE_CHECKING:
    from nestvec_transformers.options import LocalOptions

#: What a folder of weights has: enough for every library that reads one.
FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "**/*.json", "**/*.safetensors")
#: What is beside them, for other runtimes: several times their size.
OTHERS = ("onnx/*", "openvino/*", "*.bin", "*.onnx", "*.pt")


def locate(
    options: LocalOptions, repository: str, files: Sequence[str] = FILES, others: Sequence[str] = OTHERS
) -> Path:
    """The folder of the weights: `path`, or what the hub's cache holds of the repository at the revision.

    The network is touched only with `download = true`; then `files` (patterns) without `others` are fetched. Raises
    `ConfigError` saying what to download, and how.
    """
    if options.path is not None:
        if not options.path.is_dir():
            raise ConfigError(f"path: the folder {options.path} is not there; {how_to_get(options, repository)}")
        return options.path
    from huggingface_hub import snapshot_download

    with explained(options, repository):
        return Path(
            snapshot_download(
                repository,
                revision=options.revision,
                local_files_only=not options.download,
                allow_patterns=list(files),
                ignore_patterns=list(others),
            )
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


@contextmanager
def explained(options: LocalOptions, repository: str) -> Iterator[None]:
    """Turns what the hub and the libraries raise while weights are found into errors that say what to do."""
    try:
        yield
    except NestvecError:
        raise
    except Exception as error:
        raise _explanation(error, options, repository) from error


def _explanation(error: Exception, options: LocalOptions, repository: str) -> NestvecError:
    from huggingface_hub import errors as hub

    name, hint = options.repository or repository, how_to_get(options, repository)
    if isinstance(error, hub.GatedRepoError):
        return ConfigError(
            f"the hub gives {name} only to who accepted its terms: do so at https://huggingface.co/{name}, then "
            f"run hf auth login or set HF_TOKEN"
        )
    if isinstance(error, hub.RevisionNotFoundError):
        return ConfigError(f"revision: {name} has no {options.revision!r}; look at its commits and tags on the hub")
    if isinstance(error, hub.RepositoryNotFoundError):
        return ConfigError(f"repository: the hub has no {name!r}, or shows it only to its owners (hf auth login)")
    if isinstance(error, hub.LocalEntryNotFoundError) and not options.download:
        return ConfigError(f"{name} at {options.revision} is not on this machine; {hint}")
    if isinstance(error, hub.LocalEntryNotFoundError | hub.OfflineModeIsEnabled | hub.HfHubHTTPError | OSError):
        return EmbedderUnavailable(f"{name} can not be fetched from the hub ({_first_line(error)}); {hint}")
    return PluginBroken(f"{name} can not be found: {type(error).__name__}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]

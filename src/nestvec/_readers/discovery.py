"""From paths on a command line to the list of files to read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec._files import NotAFile, check_file
from nestvec._readers.columns import did_you_mean
from nestvec._readers.sources import Source
from nestvec.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: What each suffix is read as.
SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "text",
    ".text": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".parquet": "parquet",
    ".pq": "parquet",
}
FORMATS = ("jsonl", "csv", "text", "markdown", "parquet")
_PACKED = ("jsonl", "csv")
_KNOWN = f"files that end in {', '.join(SUFFIXES)}, .jsonl.gz, .ndjson.gz, .csv.gz and .tsv.gz"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What `discover` found: the sources in reading order, and the files of unknown type it passed over."""

    sources: tuple[Source, ...]
    skipped: tuple[str, ...] = ()

    @property
    def size(self) -> int | None:
        """Bytes of all sources as they lie on disk; None with standard input among them."""
        sizes = [source.size for source in self.sources]
        return None if None in sizes else sum(size for size in sizes if size is not None)


def discover(
    paths: Sequence[str | Path],
    *,
    format: str | None = None,  # noqa: A002 - the user's word for it
) -> Inputs:
    """Find the files behind `paths` without reading one.

    Folders are searched recursively, in sorted order; hidden files and folders, and folders that contain
    themselves through a link, are left out. `format` (one of `FORMATS`) says what every input is, whatever
    its suffix; standard input (`-`) is JSONL unless it says otherwise. Raises `InvalidInput` for a path that
    is not there or not readable, a file of unknown type given by name, and a folder with nothing to read.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    _check(given, format)
    sources: list[Source] = []
    skipped: list[str] = []
    for path in given:
        found = _expand(path, format)
        sources.extend(found.sources)
        skipped.extend(found.skipped)
    return Inputs(tuple(sources), tuple(skipped))


def _check(paths: Sequence[str | Path], format_: str | None) -> None:
    if not paths:
        raise InvalidInput("there is nothing to read: name files, folders, or - for standard input")
    if sum(str(path) == "-" for path in paths) > 1:
        raise InvalidInput("standard input (-) is named twice, but can be read only once: name it once")
    if format_ is not None and format_ not in FORMATS:
        hint = did_you_mean(format_, FORMATS)
        raise InvalidInput(f"format {format_!r} is not known{hint}: choose one of {', '.join(FORMATS)}")
    if format_ == "parquet" and any(str(path) == "-" for path in paths):
        raise InvalidInput("Parquet cannot be read from standard input (its index is at the end): name a file instead")


def _expand(given: str | Path, format_: str | None) -> Inputs:
    if str(given) == "-":
        return Inputs((Source(None, "standard input", "stdin", format_ or "jsonl"),))
    path = Path(given)
    shown = _printable(path)
    if not _exists(path):
        raise InvalidInput(f"{shown} does not exist: name a file, a folder, or - for standard input")
    if not os.access(path, os.R_OK):
        raise InvalidInput(f"{shown} cannot be read: permission denied; let this user read it")
    if path.is_dir():
        return _folder(path, format_)
    _require_file(path, shown)
    source = _file(path, path.name, format_)
    if source is None:
        raise InvalidInput(
            f"{shown} is of unknown type: nestvec reads {_KNOWN}; say what it is with --format ({', '.join(FORMATS)})"
        )
    return Inputs((source,))


def _require_file(path: Path, shown: str) -> None:
    try:
        check_file(path)
    except NotAFile as error:
        raise InvalidInput(
            f"{shown} cannot be read: {error}; name a file, or - for standard input and lead there what is to be read"
        ) from error
    except OSError:
        return  # it becomes a failure that says why


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        reason = error.strerror or error
        raise InvalidInput(f"{_printable(path)} cannot be reached: {reason}; name another path") from error


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False  # taken as a file, it becomes a failure that says why


def _folder(root: Path, format_: str | None) -> Inputs:
    sources: list[Source] = []
    skipped: list[str] = []
    for path, problem in _walk(root, frozenset()):
        source = _unlisted(path, problem) if problem else _inside(path, root, format_)
        if source is None:
            skipped.append(_printable(path))
        else:
            sources.append(source)
    if not sources:
        passed = f" ({len(skipped)} of unknown type skipped)" if skipped else ""
        raise InvalidInput(f"{_printable(root)} has no files to read{passed}: nestvec reads {_KNOWN}")
    return Inputs(tuple(sources), tuple(skipped))


def _walk(folder: Path, above: frozenset[Path]) -> Iterator[tuple[Path, str | None]]:
    """The visible files below `folder`, sorted, and sub-folders that cannot be listed with the reason."""
    real = folder.resolve()
    if real in above:  # a link back to a folder that we are in
        return
    try:
        children = sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        yield folder, f"the folder cannot be listed: {error.strerror or error}"
        return
    for child in children:
        if child.name.startswith("."):
            continue
        if _is_folder(child):
            yield from _walk(child, above | {real})
        else:
            yield child, None


def _unlisted(folder: Path, problem: str) -> Source:
    return Source(folder, _printable(folder), folder.name, "text", size=0, problem=problem)


def _inside(path: Path, root: Path, format_: str | None) -> Source | None:
    source = _file(path, path.relative_to(root).as_posix(), format_)
    if source is not None and source.size is None:
        return None  # a socket or pipe that happens to lie in the folder: opening it would wait for ever
    return source


def _file(path: Path, name: str, format_: str | None) -> Source | None:
    """The source for a file, or None if nothing says what it is."""
    suffix = path.suffix.lower()
    packed = suffix == ".gz"
    inner = Path(path.stem).suffix.lower() if packed else suffix
    known = format_ or SUFFIXES.get(inner)
    if known is None or (packed and known not in _PACKED):
        return None
    source = Source(path, _printable(path), name, known, gzipped=packed)
    try:
        status = path.stat()
    except OSError as error:
        return replace(source, size=0, problem=f"cannot be read: {error.strerror or error}")
    return replace(source, size=status.st_size if stat.S_ISREG(status.st_mode) else None)


def _printable(path: Path) -> str:
    """The path for messages; bytes that are no UTF-8 are written as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")

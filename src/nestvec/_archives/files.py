"""Exported files as a whole: which format, written all or nothing, and read twice: to be checked, then to be used."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nestvec._archives.content import ArchivedDocument, ArchiveHeader, Tally
from nestvec.errors import InvalidInput

if TYPE_CHECKING:
    from types import ModuleType
    from typing import BinaryIO

    from nestvec._limits import ReadLimits

#: Documents, and chunks, that are written at once at most; one document at least.
_DOCUMENTS, _CHUNKS = 128, 1000
SUFFIXES = (".jsonl", ".parquet")


class Writer(Protocol):
    """What writes one format."""

    def add(self, document: ArchivedDocument) -> None:
        """One more document."""

    def finish(self, header: ArchiveHeader) -> None:
        """All are there."""

    def close(self) -> None:
        """Nothing more is written, whatever is there."""


def _format_of(path: Path) -> str:
    """Raise `InvalidInput` for a name that does not say in which format."""
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidInput(f"{str(path)!r}: an export is a file named *{' or *'.join(SUFFIXES)}")
    return path.suffix.lower()


def _reader(path: Path) -> ModuleType:
    if _format_of(path) == ".parquet":
        from nestvec._archives import parquet

        return parquet
    from nestvec._archives import jsonl

    return jsonl


def _writer(path: Path, file: BinaryIO, header: ArchiveHeader) -> Writer:
    if _format_of(path) == ".parquet":
        from nestvec._archives.parquet import ParquetWriter

        return ParquetWriter(file, header)
    from nestvec._archives.jsonl import JsonlWriter

    return JsonlWriter(file, header)


class ArchiveWriter:
    """Counts what is written, and keeps the checksum."""

    def __init__(self, writer: Writer, header: ArchiveHeader) -> None:
        self._writer = writer
        self._header = header
        self.tally = Tally()

    def add(self, documents: Sequence[ArchivedDocument]) -> None:
        """Some more documents. Raises `InvalidInput` for one that has no form in a file."""
        for document in documents:
            self._add(document)

    def _add(self, document: ArchivedDocument) -> None:
        try:
            self.tally.add(document)
            self._writer.add(document)
        except ValueError as error:  # what somebody else wrote may hold numbers that JSON has not
            raise InvalidInput(
                f"document {document.id!r:.80} cannot be exported: {error}; change it. Nothing was written"
            ) from error

    def finish(self) -> None:
        """All are there."""
        tally = self.tally
        header = replace(self._header, documents=tally.documents, chunks=tally.chunks, checksum=tally.checksum)
        self._writer.finish(header)

    def close(self) -> None:
        """Nothing more is written, whatever is there."""
        self._writer.close()


def check_destination(path: Path, *, overwrite: bool) -> None:
    """Raise `InvalidInput` where nothing can be written, or something is there."""
    _format_of(path)
    if not overwrite and path.exists():
        raise InvalidInput(f"{str(path)!r} is there already; name another file, or overwrite it (overwrite, --force)")
    if not path.parent.is_dir():
        raise InvalidInput(f"{str(path)!r} cannot be written: there is no folder {str(path.parent)!r}; create it")


@contextmanager
def writing(path: Path, header: ArchiveHeader, *, overwrite: bool) -> Iterator[ArchiveWriter]:
    """A file that takes its name when it is whole; it is nobody else's to read. Raises `InvalidInput`."""
    check_destination(path, overwrite=overwrite)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                writer = ArchiveWriter(_writer(path, file, header), header)
                try:
                    yield writer
                    writer.finish()
                finally:
                    writer.close()
                file.flush()
                os.fsync(file.fileno())
            check_destination(path, overwrite=overwrite)  # somebody else may have been quicker
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidInput(
            f"{str(path)!r} cannot be written: {error.strerror}; nothing is there now that was not before"
        ) from error


@dataclass(frozen=True, slots=True)
class ArchiveBatch:
    """Some documents of a file, and what its header says."""

    header: ArchiveHeader
    documents: Sequence[ArchivedDocument]


@dataclass(frozen=True, slots=True)
class Archive:
    """An exported file to be imported."""

    path: Path
    limits: ReadLimits
    header: ArchiveHeader = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "header", self._trying(lambda: _reader(self.path).read_header(self.path)))

    def verify(self, progress: Callable[[int], object] | None = None) -> None:
        """Read all of it. Raises `InvalidInput` unless it is whole, what its header says, and each id is there once."""
        seen = set[bytes]()
        for number, document in enumerate(self.documents(), 1):
            key = hashlib.blake2b(document.id.encode(), digest_size=16).digest()
            if key in seen:
                raise self._refused(f"document {document.id!r:.80} is in it twice")
            seen.add(key)
            if progress is not None:
                progress(number)

    def documents(self) -> Iterator[ArchivedDocument]:
        """One at a time. Raises `InvalidInput` where something is wrong, at the latest at the end."""
        tally = Tally()
        try:
            for document in _reader(self.path).read_documents(self.path, self.header, self.limits):
                tally.add(document)
                yield document
            tally.require(self.header)
        except (ValueError, OSError) as error:
            raise self._refused(error) from error

    def batches(self) -> Iterator[ArchiveBatch]:
        """Some documents at a time."""
        waiting: list[ArchivedDocument] = []
        for document in self.documents():
            waiting.append(document)
            if len(waiting) == _DOCUMENTS or sum(len(each.chunks) for each in waiting) >= _CHUNKS:
                yield ArchiveBatch(self.header, waiting)
                waiting = []
        if waiting:
            yield ArchiveBatch(self.header, waiting)

    def _trying(self, work: Callable[[], ArchiveHeader]) -> ArchiveHeader:
        try:
            return work()
        except (ValueError, OSError) as error:
            raise self._refused(error) from error

    def _refused(self, error: object) -> InvalidInput:
        told = f"it cannot be read: {error.strerror or error}" if isinstance(error, OSError) else error
        return InvalidInput(
            f"{str(self.path)!r} cannot be imported: {told}. A file that does not verify is not imported at all: "
            f"export the collection again"
        )

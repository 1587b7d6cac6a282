"""One input to read, the bytes of it, and how far reading has come."""

from __future__ import annotations

import gzip
import io
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from nestvec._files import open_file
from nestvec._limits import ReadLimits, in_bytes
from nestvec._readers.items import ReadDocument, ReadFailure
from nestvec.errors import InvalidDocument

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import WriteableBuffer

    from nestvec.types import Document

#: What both a plain and a packed source are read through.
Bytes: TypeAlias = io.BufferedReader

#: Bytes at once of a line that is passed over.
_PASSED = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """One file to read, or standard input (`path` None).

    `shown` is its name in messages, `name` its document id if the file is one document. `size` counts bytes,
    None where that cannot be known. `problem` says why it cannot be read at all.
    """

    path: Path | None
    shown: str
    name: str
    format: str
    gzipped: bool = False
    size: int | None = None
    problem: str | None = None


class _Counted(io.RawIOBase):
    """Bytes of `raw`, reported to the cursor as they are read. Closing it leaves `raw` open."""

    def __init__(self, raw: BinaryIO | io.RawIOBase, cursor: SourceReader) -> None:
        # read1 hands out what a pipe has so far, where read would wait for a full buffer.
        self._read = getattr(raw, "read1", raw.read)
        self._cursor = cursor

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data: bytes = self._read(len(view)) or b""
        view[: len(data)] = data
        self._cursor.consumed += len(data)
        return len(data)


class _Bounded(io.RawIOBase):
    """Bytes as they are once unpacked, no more of them than one file may have."""

    def __init__(self, file: _Counted | gzip.GzipFile, most: int) -> None:
        self._file, self._most, self._left = file, most, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        count = self._file.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise too_large(self._most)
        return count


def too_large(most: int) -> InvalidDocument:
    """What is said of a file with more bytes than it may have."""
    return InvalidDocument(
        f"the file has more than {in_bytes(most)} (unpacked): it is read no further; split it, or set `file` in "
        f"[limits] of the configuration higher"
    )


def too_long(what: str, most: int) -> InvalidDocument:
    """What is said of a line, a row, a cell or a text that is too long for one document."""
    return InvalidDocument(
        f"{what} is longer than {in_bytes(most)}: split the document, or set `document` in [limits] of the "
        f"configuration higher"
    )


def pass_over(file: Bytes) -> None:
    """Read to the end of a line."""
    while (rest := file.readline(_PASSED)) and not rest.endswith(b"\n"):
        pass


@dataclass(slots=True)
class SourceReader:
    """Reading one source: opens it, counts its bytes, and makes items that carry their place.

    `base` is the size of all sources before this one; `consumed` counts the bytes read of this one. No more is read
    than `limits` allow.
    """

    source: Source
    base: int = 0
    stdin: BinaryIO | None = None
    consumed: int = 0
    limits: ReadLimits = field(default_factory=ReadLimits)

    @property
    def position(self) -> int:
        """Bytes read of all sources; never more than their total, even if a file grows meanwhile."""
        size = self.source.size
        return self.base + (self.consumed if size is None else min(self.consumed, size))

    @property
    def end(self) -> int:
        """`base` for the source after this one."""
        return self.base + (self.consumed if self.source.size is None else self.source.size)

    @contextmanager
    def open(self) -> Iterator[Bytes]:
        """The (unpacked) bytes of the source. Standard input stays open afterwards."""
        with ExitStack() as stack:
            counted = _Counted(self._raw(stack), self)
            packed = self.source.gzipped
            file = stack.enter_context(gzip.GzipFile(fileobj=counted, mode="rb")) if packed else counted
            yield io.BufferedReader(_Bounded(file, self.limits.file), 1 << 16)

    def _raw(self, stack: ExitStack) -> BinaryIO | io.RawIOBase:
        if self.source.path is not None:
            return stack.enter_context(open_file(self.source.path))
        if self.stdin is None:
            raise ValueError("a cursor on standard input needs its stream")
        return self.stdin

    def check_row(self, number: int) -> None:
        """Raise `InvalidDocument` where the source has more rows than one may have."""
        if number > self.limits.rows:
            raise InvalidDocument(
                f"the file has more than {self.limits.rows:,} rows: it is read no further; split it, or set `rows` in "
                f"[limits] of the configuration higher"
            )

    def document(self, document: Document, line: int | None) -> ReadDocument:
        """The item for a document found at `line`."""
        return ReadDocument(document, self._path, line, self.position)

    def failure(self, error: object, line: int | None = None, document_id: str | None = None) -> ReadFailure:
        """The item for something wrong at `line` (None: in the source as a whole)."""
        place = self.source.shown if line is None else f"{self.source.shown}:{line}"
        return ReadFailure(f"{place}: {error}", self._path, line, document_id, self.position)

    @property
    def _path(self) -> str:
        return "-" if self.source.path is None else self.source.shown

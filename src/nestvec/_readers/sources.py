"""One input to read, the bytes of it, and how far reading has come."""

from __future__ import annotations

import gzip
import io
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from nestvec._readers.items import ReadDocument, ReadFailure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import WriteableBuffer

    from nestvec.types import Document

#: What both a plain and a packed source are read through.
Bytes: TypeAlias = io.BufferedReader | gzip.GzipFile

#: The longest line, cell or text file, in bytes: a damaged file must not fill the memory.
LIMIT = 256 * 1024 * 1024


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


@dataclass(slots=True)
class SourceReader:
    """Reading one source: opens it, counts its bytes, and makes items that carry their place.

    `base` is the size of all sources before this one; `consumed` counts the bytes read of this one.
    """

    source: Source
    base: int = 0
    stdin: BinaryIO | None = None
    consumed: int = 0

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
            if self.source.gzipped:
                yield stack.enter_context(gzip.GzipFile(fileobj=counted, mode="rb"))
            else:
                yield io.BufferedReader(counted, 1 << 16)

    def _raw(self, stack: ExitStack) -> BinaryIO | io.RawIOBase:
        if self.source.path is not None:
            return stack.enter_context(self.source.path.open("rb", buffering=0))
        if self.stdin is None:
            raise ValueError("a cursor on standard input needs its stream")
        return self.stdin

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

"""Exports as JSONL: a line that describes them, and a line for each document."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec._archives.content import ArchivedDocument, ArchiveHeader, check_vectors
from nestvec._files import open_file
from nestvec._limits import DESCRIPTION, in_bytes
from nestvec._readers.jsonl import parse
from nestvec.errors import InvalidDocument

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from nestvec._limits import ReadLimits
    from nestvec.types import FloatArray

#: Bytes of the first line that numbers may take that are known at the end.
_SPARE = 64
#: How much longer a line may be than that of a document to be read: it has vectors, too.
_VECTORS = 16


class JsonlWriter:
    """Writes into an open file. The first line has room for what is known when all is written."""

    def __init__(self, file: BinaryIO, header: ArchiveHeader) -> None:
        self._file = file
        self._room = len(header.to_text()) + _SPARE
        self._file.write(b" " * self._room + b"\n")

    def add(self, document: ArchivedDocument) -> None:
        """One more line."""
        values = document.plain()
        for chunk, row in zip(values["chunks"], document.vectors, strict=True):
            if chunk["text"] is None:
                del chunk["text"]
            chunk["vector"] = _numbers(row)
        text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        self._file.write(text.encode() + b"\n")

    def finish(self, header: ArchiveHeader) -> None:
        """Write the first line."""
        self._file.seek(0)
        self._file.write(header.to_text().ljust(self._room).encode())

    def close(self) -> None:
        """Nothing is left to be done."""


def _numbers(row: FloatArray) -> list[float]:
    """As few digits as give the same float32 again."""
    short: list[float] = row.astype("U").astype(np.float64).tolist()
    return short if np.array_equal(np.asarray(short, np.float32), row) else row.tolist()


def read_header(path: Path) -> ArchiveHeader:
    """The first line. Raises `ValueError`, `OSError`."""
    with open_file(path) as raw, io.BufferedReader(raw) as file:
        return ArchiveHeader.read(file.readline(DESCRIPTION))


def read_documents(path: Path, header: ArchiveHeader, limits: ReadLimits) -> Iterator[ArchivedDocument]:
    """The other lines, one at a time. Raises `ValueError` that says what is wrong where, and `OSError`."""
    most, room = limits.document * _VECTORS, limits.file
    with open_file(path) as raw, io.BufferedReader(raw, 1 << 20) as file:
        room -= len(file.readline(DESCRIPTION))
        for number, line in enumerate(iter(lambda: file.readline(most + 1), b""), 2):
            room -= len(line)
            if len(line) > most or room < 0:
                limit, name = (most, "document") if len(line) > most else (limits.file, "file")
                raise ValueError(f"line {number}: longer than {in_bytes(limit)}; set `{name}` in [limits] higher")
            yield _document(line, number, header.space.dimensions)


def _document(line: bytes, number: int, dimensions: int) -> ArchivedDocument:
    if not line.endswith(b"\n"):
        raise ValueError(f"line {number}: it is torn: the line breaks off")
    try:
        values = parse(line.rstrip(b"\r\n"))
        return ArchivedDocument.read(values, _vectors(values.get("chunks"), dimensions))
    except (ValueError, InvalidDocument) as error:
        raise ValueError(f"line {number}: {error}") from error


def _vectors(chunks: Any, dimensions: int) -> FloatArray:
    found = [chunk.pop("vector", None) if isinstance(chunk, dict) else None for chunk in chunks or ()]
    try:
        with np.errstate(over="ignore"):
            rows = np.asarray(found, np.float64).astype(np.float32)
    except (ValueError, TypeError) as error:
        raise ValueError(f"its chunks have no vectors of {dimensions} numbers each") from error
    if rows.size:
        check_vectors(rows, dimensions)
    return rows

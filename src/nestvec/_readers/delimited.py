"""CSV and its relatives, by the standard library's reader. The header is required."""

from __future__ import annotations

import csv
import io
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from nestvec._readers.columns import pin
from nestvec._readers.encoding import encodable
from nestvec._readers.sources import too_long
from nestvec.errors import InvalidDocument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestvec._readers.items import Item, Mapping
    from nestvec._readers.rows import Rows
    from nestvec._readers.sources import SourceReader

#: In order of preference, should two of them split the header alike.
DELIMITERS = (",", ";", "\t", "|")
#: Characters at once of a line that is passed over.
_PASSED = 1 << 20


def check(cursor: SourceReader, mapping: Mapping) -> None:
    """Raise `InvalidInput` unless the header has what the mapping asks for."""
    with _table(cursor) as table:
        pin(mapping, table.header, cursor.source.shown)


def read(cursor: SourceReader, rows: Rows) -> Iterator[Item]:
    """The documents of the source, and a failure for each row that is none.

    Raises `InvalidInput` if the header does not have what the mapping asks for.
    """
    with _table(cursor) as table:
        rows = replace(rows, mapping=pin(rows.mapping, table.header, cursor.source.shown), strings=True)
        for number, (line, cells) in enumerate(table.rows(), 1):
            cursor.check_row(number)
            if isinstance(cells, InvalidDocument):
                yield cursor.failure(cells, line)
            elif cells is not None:
                # An empty cell is a missing value; None keeps the column's name for messages.
                row = {name: cell or None for name, cell in zip(table.header, cells, strict=True) if name}
                yield rows.item(cursor, line, row)


class _RowTooLong(InvalidDocument):
    """A row of several lines has no end. What follows may lie inside its cell, and must not be taken for rows."""


class _Lines:
    """Physical lines for the csv reader; remembers what was wrong with the first bad one since `reset`.

    Neither a line nor the lines of a row are longer than `most` characters.
    """

    def __init__(self, text: io.TextIOWrapper, most: int) -> None:
        self._text = text
        self._most = most
        self._length = 0
        self._first = 1
        self.count = 0
        self.problem: InvalidDocument | None = None

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._text.readline(self._most + 3)
        if not line:
            raise StopIteration
        self.count += 1
        self._length += len(line)
        if len(line.rstrip("\r\n")) > self._most:
            return self._passed_over(line)
        if self._length > self._most + 2:
            raise self._endless()
        if self.problem is None and not encodable(line):
            self.problem = _bad_byte(line, self.count)
        return line

    def _passed_over(self, line: str) -> str:
        while line and not line.endswith(("\n", "\r")):
            line = self._text.readline(_PASSED)
        self.problem = self.problem or too_long(f"line {self.count}", self._most)
        self._length = 0
        return "\n"

    def _endless(self) -> _RowTooLong:
        return _RowTooLong(
            f"{too_long('the row', self._most)}; perhaps a quoted cell is never closed (lines {self._first} to "
            f"{self.count}); the file is read no further"
        )

    def reset(self) -> None:
        self.problem = None
        self._length, self._first = 0, self.count + 1


def _bad_byte(line: str, number: int) -> InvalidDocument:
    """Undecodable bytes arrive as lone surrogates, which tells where they were."""
    place = next(index for index, letter in enumerate(line) if "\udc80" <= letter <= "\udcff")
    offset = len(line[:place].encode("utf-8"))
    return InvalidDocument(
        f"not valid UTF-8: byte 0x{ord(line[place]) - 0xDC00:02x} at offset {offset} of line {number}; save it as UTF-8"
    )


@dataclass(frozen=True, slots=True)
class _Table:
    header: list[str]
    delimiter: str
    lines: _Lines

    def rows(self) -> Iterator[tuple[int, list[str] | InvalidDocument | None]]:
        """Each row with the line where it starts, or what is wrong with it; None for an empty line."""
        reader = csv.reader(self.lines, delimiter=self.delimiter, strict=True)
        while True:
            start = self.lines.count + 1
            self.lines.reset()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except _RowTooLong as error:
                yield start, error
                return
            except csv.Error as error:
                yield start, self.lines.problem or self._malformed(error, start)
                continue
            yield start, self._checked(cells) if cells or self.lines.problem else None

    def _checked(self, cells: list[str]) -> list[str] | InvalidDocument:
        if self.lines.problem is not None:
            return self.lines.problem
        if len(cells) != len(self.header):
            return InvalidDocument(
                f"the row has {len(cells)} cells and the header {len(self.header)}: quote cells that contain "
                f"{self.delimiter!r} or a line break"
            )
        return cells

    def _malformed(self, error: csv.Error, start: int) -> InvalidDocument:
        text = str(error)
        if "unexpected end of data" in text:
            text = "a quoted cell is never closed"
        elif "field limit" in text:
            text = "a cell is longer than the csv module of this process allows"
        lost = f" (lines {start} to {self.lines.count} are passed over)" if self.lines.count > start else ""
        problem = InvalidDocument(f"not valid CSV: {text}{lost}; double the quotes inside a quoted cell")
        problem.__cause__ = error
        return problem


@contextmanager
def _table(cursor: SourceReader) -> Iterator[_Table]:
    # The limit belongs to the whole process: it is raised, never lowered.
    csv.field_size_limit(max(cursor.limits.document, csv.field_size_limit()))
    with cursor.open() as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        yield _opened(cursor, _Lines(text, cursor.limits.document))


def _opened(cursor: SourceReader, lines: _Lines) -> _Table:
    first = next((line for line in lines if line.strip() or lines.problem is not None), None)
    if lines.problem is not None:
        raise lines.problem
    if first is None:
        raise InvalidDocument("the file is empty: expected a header that names the columns")
    delimiter = _delimiter(cursor, first)
    try:
        # A quoted name may run over the end of the line; the reader then asks for the next one.
        cells = next(csv.reader(chain([first], lines), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise InvalidDocument(f"line {lines.count}: the header is not valid CSV: {error}") from error
    if lines.problem is not None:
        raise lines.problem
    return _Table([cell.strip() for cell in cells], delimiter, lines)


def _delimiter(cursor: SourceReader, header: str) -> str:
    if cursor.source.name.lower().removesuffix(".gz").endswith(".tsv"):
        return "\t"
    outside_quotes = "".join(header.split('"')[::2])
    return max(DELIMITERS, key=outside_quotes.count)

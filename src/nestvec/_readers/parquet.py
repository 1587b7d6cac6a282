"""Parquet, by pyarrow (an extra, imported on first use)."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nestvec._files import open_file
from nestvec._readers.columns import pin
from nestvec._readers.rows import NESTED, Rows
from nestvec._readers.sources import too_large, too_long
from nestvec.errors import InvalidDocument, InvalidInput, Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nestvec._readers.items import Item, Mapping
    from nestvec._readers.sources import SourceReader

#: Rows turned into Python values at once: few, because a text may have megabytes.
BATCH = 64
#: Documents of the greatest length that a batch may take the room of.
_WORTH = 4


def check(cursor: SourceReader, mapping: Mapping) -> None:
    """Raise `InvalidInput` unless the schema has what the mapping asks for."""
    with _opened(cursor) as file:
        _pinned(file, mapping, cursor)


def read(cursor: SourceReader, rows: Rows) -> Iterator[Item]:
    """The documents of the source, and a failure for each row that is none; rows count as lines, from 1.

    Dates without a time are read as ISO strings, decimals as numbers, times to the microsecond. Raises
    `InvalidInput` if the schema does not have what the mapping asks for, `Unsupported` without pyarrow.
    """
    with _opened(cursor) as file:
        rows = replace(rows, mapping=_pinned(file, rows.mapping, cursor))
        columns = _wanted(file.schema_arrow.names, rows.mapping)
        room = _WORTH * cursor.limits.document
        number = 0
        for batch in file.iter_batches(batch_size=_checked(file.metadata, cursor, room), columns=columns):
            cursor.consumed = (number + batch.num_rows) * (cursor.source.size or 0) // max(1, file.metadata.num_rows)
            for row in _rows(_times_in_microseconds(batch), cursor.limits.document, room):
                number += 1
                if isinstance(row, InvalidDocument):
                    yield cursor.failure(row, number)
                else:
                    yield rows.item(cursor, number, row)


def load_pyarrow() -> Any:
    """pyarrow, with its Parquet part. Raises `Unsupported` where it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise Unsupported(
            "Parquet is read and written by pyarrow, which cannot be imported: run pip install 'nestvec[parquet]'"
        ) from error
    return pyarrow


@contextmanager
def _opened(cursor: SourceReader) -> Iterator[Any]:
    pyarrow = load_pyarrow()
    try:
        # Buffered: without it, pyarrow holds whole column chunks, which may be the whole file.
        with open_file(_path(cursor)) as raw, pyarrow.parquet.ParquetFile(raw, buffer_size=1 << 20) as file:
            yield file
    except pyarrow.ArrowException as error:
        raise InvalidDocument(f"not a readable Parquet file: {error}") from error


def _path(cursor: SourceReader) -> Path:
    if cursor.source.path is None:
        raise InvalidInput("Parquet cannot be read from standard input: name a file instead")
    return cursor.source.path


def _pinned(file: Any, mapping: Mapping, cursor: SourceReader) -> Mapping:
    schema = file.schema_arrow
    # Two of that name are refused below, as two of any name are.
    nested = schema.field(NESTED).type if schema.names.count(NESTED) == 1 else None
    inner = [nested.field(i).name for i in range(nested.num_fields)] if nested is not None else []
    return pin(mapping, schema.names, cursor.source.shown, inner)


def _wanted(names: list[str], mapping: Mapping) -> list[str] | None:
    """The columns to decode; None for all."""
    if mapping.metadata is None:
        return None
    wanted = {mapping.id, mapping.text, NESTED, *mapping.metadata}
    return [name for name in names if name in wanted]


def _times_in_microseconds(batch: Any) -> Any:
    """Python's datetimes hold no nanoseconds, and not every zone name of a file is known here."""
    pyarrow = load_pyarrow()
    columns = []
    for column in batch.columns:
        if pyarrow.types.is_timestamp(column.type):
            unit = "us" if column.type.unit == "ns" else column.type.unit
            zone = "UTC" if column.type.tz else None
            column = column.cast(pyarrow.timestamp(unit, tz=zone), safe=False)
        columns.append(column)
    return pyarrow.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _checked(metadata: Any, cursor: SourceReader, room: int) -> int:
    """How many rows to decode at once, so that they fit into so many bytes.

    A dictionary holds a long value once, and each of its rows takes it again. Raises `InvalidDocument` for a file of
    more bytes, rows or values than one may have.
    """
    chunks = [
        group.column(number)
        for group in map(metadata.row_group, range(metadata.num_row_groups))
        for number in range(group.num_columns)
    ]
    cursor.check_row(metadata.num_rows)
    cursor.check_row(max((chunk.num_values for chunk in chunks), default=0))
    if sum(chunk.total_uncompressed_size for chunk in chunks) > cursor.limits.file:
        raise too_large(cursor.limits.file)
    shared: int = max((chunk.total_uncompressed_size for chunk in chunks if chunk.has_dictionary_page), default=1)
    return max(1, min(BATCH, room // max(1, shared)))


def _rows(batch: Any, most: int, room: int) -> Iterator[dict[str, object] | InvalidDocument]:
    if batch.nbytes <= min(most, room):
        with suppress(ValueError, OverflowError):  # one value that Python cannot hold: only its own row fails
            yield from batch.to_pylist()
            return
    for index in range(batch.num_rows):
        yield _row(batch.slice(index, 1), most)


def _row(batch: Any, most: int) -> dict[str, object] | InvalidDocument:
    if batch.nbytes > most:
        return too_long("the row", most)
    try:
        row: dict[str, object] = batch.to_pylist()[0]
    except (ValueError, OverflowError) as error:
        problem = InvalidDocument(f"a value cannot be read: {error}")
        problem.__cause__ = error
        return problem
    return row

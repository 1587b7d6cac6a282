"""From a row (a JSON object, a CSV or Parquet row) to a document."""

from __future__ import annotations

import math
from collections import abc
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from nestvec._readers.coercion import coerce
from nestvec._readers.columns import candidates, missing
from nestvec.errors import InvalidDocument
from nestvec.types import Document, Field, Metadata, MetadataValue, Scalar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestvec._readers.items import Item, Mapping
    from nestvec._readers.sources import SourceReader

Row: TypeAlias = abc.Mapping[str, object]

#: The key whose object is spread into the metadata.
NESTED = "metadata"
_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a fractional number",
    bytes: "binary data",
    datetime: "a date and time",
    type(None): "null",
}


@dataclass(frozen=True, slots=True)
class Rows:
    """Makes items of rows. `strings`: every value is text (CSV), to be converted to its declared type."""

    mapping: Mapping
    fields: abc.Mapping[str, Field] = field(default_factory=dict)
    strings: bool = False

    def item(self, cursor: SourceReader, line: int, row: Row) -> Item:
        """The document in a row, or what is wrong with it. None counts as missing everywhere."""
        document_id = None
        try:
            id_column, document_id = self._id(row)
            text_column, text = self._text(row)
            metadata = self._metadata(row, {id_column, text_column})
        except InvalidDocument as error:
            return cursor.failure(error, line, document_id)
        return cursor.document(Document(document_id, text, metadata), line)

    def _id(self, row: Row) -> tuple[str, str]:
        column = self._column("id", row)
        value = row[column]
        if isinstance(value, int) and not isinstance(value, bool):
            return column, str(value)
        if not isinstance(value, str):
            raise InvalidDocument(f"the id in {column!r} is {_kind(value)}: expected a string or an integer")
        if not value:
            raise InvalidDocument(f"the id in {column!r} is empty: every document needs an id of its own")
        return column, value

    def _text(self, row: Row) -> tuple[str, str]:
        column = self._column("text", row)
        value = row[column]
        if not isinstance(value, str):
            raise InvalidDocument(f"the text in {column!r} is {_kind(value)}: expected a string")
        return column, value

    def _column(self, option: str, row: Row) -> str:
        names = candidates(option, self.mapping)
        for name in names:
            if row.get(name) is not None:
                return name
        empty = [name for name in names if name in row]
        if empty:
            raise InvalidDocument(f"the {option} in {empty[0]!r} is empty: every document needs one")
        raise InvalidDocument(missing(option, self.mapping, row))

    def _metadata(self, row: Row, used: set[str]) -> Metadata:
        chosen = self.mapping.metadata
        values = _others(row, used) if chosen is None else _chosen(row, chosen)
        metadata = {name: _plain(name, value) for name, value in values if value is not None}
        if self.strings:
            return coerce({name: str(value) for name, value in metadata.items()}, self.fields)
        return metadata


def _chosen(row: Row, names: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    """The chosen fields: columns of the row, else fields of its `metadata` object."""
    nested = row.get(NESTED)
    inner = nested if isinstance(nested, dict) else {}
    for name in names:
        if name in row or name in inner:
            yield name, row[name] if name in row else inner[name]


def _others(row: Row, used: set[str]) -> Iterator[tuple[str, object]]:
    """Everything but id and text, the `metadata` object spread. A name in both places is refused."""
    outer = {name: value for name, value in row.items() if name not in used}
    nested = outer.get(NESTED)
    if isinstance(nested, dict):
        del outer[NESTED]
        both = [name for name, value in nested.items() if value is not None and outer.get(name) is not None]
        if both:
            raise InvalidDocument(
                f"the field {both[0]!r} is there twice, beside {NESTED!r} and in it: rename or remove one"
            )
        yield from nested.items()
    yield from outer.items()


def _plain(name: str, value: object) -> MetadataValue:
    """A value as JSON has it, with datetimes. Raises `InvalidDocument` for one that JSON has not."""
    if value is None or isinstance(value, str | int):  # most values, and this runs for each of them
        return value
    if isinstance(value, list | tuple):
        return [_plain(name, item) for item in value]
    if isinstance(value, abc.Mapping):
        return {str(key): _plain(name, item) for key, item in value.items()}
    return _scalar(name, value)


def _scalar(name: str, value: object) -> Scalar:
    """Dates become ISO strings, decimals numbers."""
    if isinstance(value, Decimal):
        value = int(value) if value.is_finite() and value.as_tuple().exponent == 0 else float(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, float):
        raise InvalidDocument(f"the field {name!r} is {value}, which cannot be stored: expected a finite number")
    if isinstance(value, str | int | datetime):
        return value
    if isinstance(value, date):
        return value.isoformat()
    raise InvalidDocument(
        f"the field {name!r} is {_kind(value)}: metadata holds what JSON does, and times; pick the fields to keep with "
        f"--metadata"
    )


def _kind(value: object) -> str:
    return _KINDS.get(type(value), f"of type {type(value).__name__}")

"""Values into the declared types of a collection's fields."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nestvec.errors import InvalidDocument
from nestvec.types import Field, FieldType, Metadata, MetadataValue, Scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: What separates the values of a list in one CSV cell.
SEPARATOR = ";"

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_INTEGER = re.compile(r"([+-]?[0-9]+)(?:\.0+)?")
_EXPECTED = {
    FieldType.INTEGER: "an integer",
    FieldType.FLOAT: "a finite number, with a point for decimals",
    FieldType.BOOLEAN: "true or false (or yes, no, 1, 0)",
    FieldType.DATETIME: "an ISO 8601 date or time (2026-01-31, 2026-01-31T08:00:00Z)",
}


def coerce(metadata: Mapping[str, str], fields: Mapping[str, Field]) -> Metadata:
    """Convert strings, as they stand in a CSV file, to the declared types.

    An empty string is a missing field and left out. Fields that are not declared stay strings. A list is
    separated by `;`, its empty places are left out. An integer may end in `.0`; a time without a zone is UTC.
    Raises `InvalidDocument` for a value that is not of its type.
    """
    return {
        name: _parse(name, text, fields[name]) if name in fields else text
        for name, text in metadata.items()
        if text != ""
    }


def coerce_datetimes(metadata: Metadata, fields: Mapping[str, Field]) -> Metadata:
    """Convert ISO 8601 strings to datetimes in declared datetime fields; all else stays as it is.

    A time without a zone is taken as UTC. Raises `InvalidDocument` for a string that is no such time.
    """
    return {name: _times(name, value) if _is_datetime(fields.get(name)) else value for name, value in metadata.items()}


def _is_datetime(declared: Field | None) -> bool:
    return declared is not None and declared.type is FieldType.DATETIME


def _times(name: str, value: MetadataValue) -> MetadataValue:
    if isinstance(value, list | tuple):
        return [_time(name, item) for item in value]
    return _time(name, value) if isinstance(value, str | datetime) else value


def _time(name: str, value: Scalar) -> Scalar:
    if isinstance(value, str):
        return _convert(name, value, FieldType.DATETIME)
    return _aware(value) if isinstance(value, datetime) else value


def _parse(name: str, text: str, declared: Field) -> MetadataValue:
    if not declared.many:
        return _convert(name, text, declared.type)
    places = (place.strip() for place in text.split(SEPARATOR))
    return [_convert(name, place, declared.type) for place in places if place]


def _convert(name: str, text: str, wanted: FieldType) -> Scalar:
    try:
        return _CONVERTERS[wanted](text)
    except (ValueError, KeyError) as error:
        expected = _EXPECTED[wanted]
        raise InvalidDocument(
            f"the field {name!r} is declared as {wanted} and holds {_short(text)}: expected {expected}"
        ) from error


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:39]}…")


def _integer(text: str) -> int:
    found = _INTEGER.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    return int(found[1])


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or "_" in text:
        raise ValueError(text)
    return value


def _boolean(text: str) -> bool:
    return _BOOLEANS[text.strip().lower()]


def _datetime(text: str) -> datetime:
    return _aware(datetime.fromisoformat(text.strip()))


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


_CONVERTERS: dict[FieldType, Callable[[str], Scalar]] = {
    FieldType.KEYWORD: str,
    FieldType.INTEGER: _integer,
    FieldType.FLOAT: _float,
    FieldType.BOOLEAN: _boolean,
    FieldType.DATETIME: _datetime,
}

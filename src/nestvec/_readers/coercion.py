"""Values into the declared types of a collection's fields."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nestvec.types import Field, FieldType, Metadata, MetadataValue, Scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: What separates the values of a list in one CSV cell.
SEPARATOR = ";"

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_INTEGER = re.compile(r"([+-]?[0-9]+)(?:\.0+)?")


def coerce(metadata: Mapping[str, str], fields: Mapping[str, Field]) -> Metadata:
    """Convert strings, as they stand in a CSV file, to the declared types.

    An empty string is a missing field and left out. Fields that are not declared stay strings. A list is
    separated by `;`, its empty places are left out. An integer may end in `.0`; a time without a zone is UTC.
    A value that is not of its type stays a string: the collection says what becomes of it.
    """
    return {
        name: _parse(text, fields[name]) if name in fields else text for name, text in metadata.items() if text != ""
    }


def _parse(text: str, declared: Field) -> MetadataValue:
    if not declared.many:
        return _convert(text, declared.type)
    places = (place.strip() for place in text.split(SEPARATOR))
    return [_convert(place, declared.type) for place in places if place]


def _convert(text: str, wanted: FieldType) -> Scalar:
    try:
        return _CONVERTERS[wanted](text)
    except (ValueError, KeyError):
        return text


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

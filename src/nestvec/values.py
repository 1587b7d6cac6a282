"""Values in filters and metadata: from what callers write to exactly what a field type holds.

Functions here raise a plain `ValueError` that says what is wrong with the value; callers know the field
and the place, and raise the error that users see.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterable, Mapping, Set
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any, Final

from nestvec.types import FieldType, Scalar

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
#: What fields take without a call of `coerce`, of values that were checked before (`scalar`).
AS_IT_IS: Final[Mapping[FieldType, type]] = {FieldType.KEYWORD: str, FieldType.FLOAT: float, FieldType.BOOLEAN: bool}


class _Brief(reprlib.Repr):
    """Python refuses to print the longest integers, wherever they stand."""

    def repr_int(self, x: int, level: int) -> str:
        if x.bit_length() > _PRINTED:
            return f"<an integer of {x.bit_length()} bits>"
        return super().repr_int(x, level)


_PRINTED: Final = 256
_BRIEF: Final = _Brief()
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = 60


def describe(value: object) -> str:
    """A short rendering of a value and its type for messages."""
    if isinstance(value, int) and value.bit_length() > _PRINTED:
        return f"an integer of {value.bit_length()} bits"
    return f"{_BRIEF.repr(value)} ({type(value).__name__})"


def scalar(value: object) -> Scalar:
    """Turn a value into a plain str, bool, int, float or aware UTC datetime.

    Enum members, dates and numpy scalars are converted. Raises `ValueError` for None, NaN, infinity, text
    that is not valid Unicode, datetimes out of range, and everything that is not a single value.
    """
    value = _plain(value)
    match value:
        case bool():
            return value
        case str():
            return _text(value)
        case int():
            return int(value)
        case float():
            return _finite(float(value))
        case datetime():
            return to_utc(value)
        case date():
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if value is None:
        raise ValueError(
            'None is not a value: ask whether the field is there with .exists() or {"$exists": true/false}'
        )
    raise _expected("a string, number, boolean or datetime", value)


def text(value: object) -> str:
    """The value, if it is a string. Raises `ValueError` otherwise."""
    found = scalar(value)
    if not isinstance(found, str):
        raise _expected("a string", value)
    return found


def scalars(values: object) -> tuple[Scalar, ...]:
    """Like `scalar` for a list, without repetitions. Raises `ValueError` also when it is no list."""
    if isinstance(values, str | bytes | bytearray | Mapping) or not isinstance(values, Iterable):
        raise _expected("a list of values", values)
    found = [scalar(value) for value in values]
    if isinstance(values, Set):
        found.sort(key=repr)  # the order of a set differs from process to process
    return unique(found)


def unique(values: Iterable[Scalar]) -> tuple[Scalar, ...]:
    """Drop repetitions, keep the order. True, 1 and 1.0 are three values."""
    return tuple({(type(value), value): value for value in values}.values())


def coerce(value: object, kind: FieldType) -> Scalar:
    """Turn a value into what a field of this type holds, or raise `ValueError`.

    Strict: only integers for floats, whole numbers for integers, and dates and ISO 8601 strings for datetimes are
    converted.
    """
    return _COERCE[kind](scalar(value))


def to_utc(value: datetime) -> datetime:
    """The same instant as an aware datetime in UTC; a naive one is taken as UTC.

    Raises `ValueError` where the instant lies outside the years 1 to 9999, or is no time at all.
    """
    try:
        aware = value.replace(tzinfo=UTC) if value.utcoffset() is None else value.astimezone(UTC)
        # Rebuilt, because subclasses (of other libraries) may compare and print in ways of their own.
        return datetime.combine(date(aware.year, aware.month, aware.day), aware.time(), UTC)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{describe(value)} is no instant within the years 1 to 9999 of UTC") from error


def parse_datetime(text: str) -> datetime:
    """Read ISO 8601 as an aware datetime in UTC. Raises `ValueError`."""
    try:
        return to_utc(datetime.fromisoformat(text))
    except ValueError as error:
        raise ValueError(
            f"expected a datetime in ISO 8601 such as '2026-01-31T12:00:00Z', got {describe(text)}"
        ) from error


def format_datetime(value: datetime) -> str:
    """ISO 8601 in UTC, as in `2026-01-31T12:00:00Z`; microseconds appear where they are not 0."""
    return to_utc(value).isoformat().removesuffix("+00:00") + "Z"


def jsonable(value: Scalar) -> str | int | float | bool:
    """The value as JSON holds it: datetimes become strings."""
    return format_datetime(value) if isinstance(value, datetime) else value


def is_unicode(text: str) -> bool:
    """Whether the text can be encoded: it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _expected(what: str, value: object) -> ValueError:
    return ValueError(f"expected {what}, got {describe(value)}")


def _plain(value: object) -> object:
    """Unwrap enum members and numpy scalars, without importing numpy."""
    if isinstance(value, Enum):
        return value.value
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        unwrapped: Any = value
        return unwrapped.item()
    return value


def _text(value: str) -> str:
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{describe(text)} is not valid Unicode: it has a lone surrogate") from error
    return text


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} cannot be compared with; give a finite number")
    return value


def _keyword(value: Scalar) -> Scalar:
    if isinstance(value, str):
        return value
    raise _expected("a string", value)


def _integer(value: Scalar) -> Scalar:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON, Parquet and spreadsheets write whole numbers so
    if isinstance(value, bool) or not isinstance(value, int):
        raise _expected("an integer", value)
    if not INT64_MIN <= value <= INT64_MAX:
        raise ValueError(
            f"{describe(value)} is outside the signed 64-bit range of integers, {INT64_MIN} to {INT64_MAX}"
        )
    return value


def _float(value: Scalar) -> Scalar:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _expected("a number", value)
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"{describe(value)} is too large for a float") from error


def _boolean(value: Scalar) -> Scalar:
    if isinstance(value, bool):
        return value
    raise _expected("true or false", value)


def _datetime(value: Scalar) -> Scalar:
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        return parse_datetime(value)
    raise _expected("a datetime or an ISO 8601 string", value)


_COERCE: Final[Mapping[FieldType, Callable[[Scalar], Scalar]]] = {
    FieldType.KEYWORD: _keyword,
    FieldType.INTEGER: _integer,
    FieldType.FLOAT: _float,
    FieldType.BOOLEAN: _boolean,
    FieldType.DATETIME: _datetime,
}

"""Metadata values on their way to Pinecone and back.

Pinecone has strings, booleans, doubles and lists of strings. What is none of these is stored in a form that
filters can use, and a code under the field's name in the record's `types` says how to read it:

    code   value                        stored as
    i      an integer                   a double
    d      a datetime                   whole microseconds since 1970, a double
    i* f* b* d*   a list of them        a list of strings
    =JSON  anything a double or a list of strings would change (large integers, empty and mixed lists)
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from nestvec.types import Scalar

#: Integers between minus this and this are exact as doubles.
EXACT: Final = 2**53
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def encode(value: Any) -> tuple[Any, str | None]:
    """The value as stored (None: not stored natively) and its code. Raises `ValueError` for what no code can express.

    >>> encode(7), encode([1, 2]), encode([])
    ((7, 'i'), (['1', '2'], 'i*'), (None, '=[]'))
    """
    if isinstance(value, list | tuple):
        return _encode_list(value)
    if isinstance(value, datetime):
        micros = microseconds(value)
        return (micros, "d") if abs(micros) <= EXACT else (float(micros), f"={json.dumps({'d': micros})}")
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, "i") if abs(value) <= EXACT else (float(value), f"={value}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"it is {value}; leave the key out where there is no number")
    if isinstance(value, str | bool | float):
        return value, None
    if value is None:
        raise ValueError("it is null; leave the key out where there is no value")
    if isinstance(value, Mapping):
        # All of these are wrong values of one list of metadata, whatever their types.
        raise ValueError("it is nested; flatten it, as in outer_inner = value")  # noqa: TRY004
    raise ValueError(f"a {type(value).__name__} can not be stored")


def decode(stored: Any, code: str | None) -> Any:
    """The inverse of `encode`."""
    if code is None:
        return float(stored) if _is_number(stored) else stored
    if code.startswith("="):
        exact = json.loads(code[1:])
        return _instant(exact["d"]) if isinstance(exact, dict) else exact
    if code.endswith("*"):
        return [_PARSE[code[0]](item) for item in stored]
    return _instant(int(stored)) if code == "d" else int(stored)


def member(value: Scalar) -> str:
    """A list's member as a string; equal values have equal strings within a type."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return str(microseconds(value))
    return repr(value + 0.0) if isinstance(value, float) else str(value)  # + 0.0 turns -0.0 into 0.0


def microseconds(value: datetime) -> int:
    """Whole microseconds since 1970; a datetime without an offset is UTC."""
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND


def _encode_list(values: Sequence[Any]) -> tuple[Any, str | None]:
    kinds = {_KINDS.get(type(value), "?") for value in values}
    if kinds == {"s"}:
        return list(values), None
    if len(kinds) == 1 and "?" not in kinds:
        return [member(value) for value in values], f"{kinds.pop()}*"
    if "?" in kinds or "d" in kinds:
        raise ValueError("it is a list of values that are not all strings, numbers, booleans or datetimes")
    # An empty list counts as missing, so filters must not see it.
    return [member(value) for value in values] or None, f"={json.dumps(list(values), ensure_ascii=False)}"


def _instant(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_KINDS: Final = {str: "s", bool: "b", int: "i", float: "f", datetime: "d"}
_PARSE: Final[Mapping[str, Any]] = {
    "i": int,
    "f": float,
    "b": lambda text: text == "true",
    "d": lambda text: _instant(int(text)),
}

"""Metadata on its way in and out: checked against the declared fields, and restored to their types."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from nestvec.errors import InvalidDocument
from nestvec.types import Field, FieldType, Metadata, MetadataValue, Scalar

_INT64 = 2**63
_EXPECTED = {
    FieldType.KEYWORD: "a string",
    FieldType.INTEGER: "a whole number",
    FieldType.FLOAT: "a number",
    FieldType.BOOLEAN: "true or false",
    FieldType.DATETIME: "a datetime (or an ISO 8601 string)",
}


def check_metadata(metadata: Metadata, fields: Mapping[str, Field]) -> dict[str, MetadataValue]:
    """A clean copy of a document's metadata. Raises `InvalidDocument` naming the key and what was expected.

    Declared fields are converted where nothing is lost (a whole number for a float field, an ISO string for
    a datetime field; a datetime without an offset is UTC). Undeclared values may be strings, numbers,
    booleans, or lists of them.
    """
    if not isinstance(metadata, Mapping):
        raise InvalidDocument(f"metadata must be a mapping, not {type(metadata).__name__}")
    return {_key(name): _value(name, value, fields.get(name)) for name, value in metadata.items()}


def restore_metadata(metadata: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, MetadataValue]:
    """Bring stored values of declared fields back to their types (integers kept as floats, datetimes as text)."""
    return {
        name: _restored(value, fields[name]) if name in fields else value for name, value in metadata.items()
    }


def hash_metadata(metadata: Metadata) -> str:
    """16 hexadecimal digits that change whenever a key, a value or a value's type changes."""
    canonical = json.dumps(dict(metadata), sort_keys=True, separators=(",", ":"), default=_jsonable)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def parse_datetime(text: str) -> datetime:
    """Read ISO 8601; without an offset it is UTC. Raises `ValueError`."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _key(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise InvalidDocument(f"metadata keys must be non-empty strings, not {name!r}")
    _encodable(name, f"the metadata key {name!r}")
    return name


def _value(name: str, value: Any, declared: Field | None) -> MetadataValue:
    if declared is None:
        return _undeclared(name, value)
    if not declared.many:
        return _typed(name, value, declared.type)
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
        raise InvalidDocument(f"metadata {name!r} is declared {declared}; give a list, not {value!r:.80}")
    return [_typed(name, item, declared.type) for item in value]


def _undeclared(name: str, value: Any) -> MetadataValue:
    if isinstance(value, list | tuple):
        return [_plain(name, item) for item in value]
    return _plain(name, value)


def _plain(name: str, value: Any) -> Scalar:
    if value is None:
        raise InvalidDocument(f"metadata {name!r} is null; leave the key out where there is no value")
    if isinstance(value, datetime):
        raise InvalidDocument(f'metadata {name!r} is a datetime; declare the field: {name} = "datetime"')
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _typed(name, value, FieldType.KEYWORD)
    if isinstance(value, int):
        return _typed(name, value, FieldType.INTEGER)
    if isinstance(value, float):
        return _typed(name, value, FieldType.FLOAT)
    raise InvalidDocument(
        f"metadata {name!r} is a {type(value).__name__}; only strings, numbers, booleans and lists of them can "
        f"be stored; flatten it into several keys"
    )


def _typed(name: str, value: Any, kind: FieldType) -> Scalar:
    converted = _CONVERT[kind](value)
    if converted is None:
        raise InvalidDocument(
            f"metadata {name!r} is {value!r:.80}, but the field is {kind.value}: expected {_EXPECTED[kind]}"
        )
    if isinstance(converted, str):
        _encodable(converted, f"metadata {name!r}")
    return converted


def _keyword(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and -_INT64 <= value < _INT64 else None


def _float(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and math.isfinite(value) else None


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _datetime(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    try:
        return parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        return None


_CONVERT = {
    FieldType.KEYWORD: _keyword,
    FieldType.INTEGER: _integer,
    FieldType.FLOAT: _float,
    FieldType.BOOLEAN: _boolean,
    FieldType.DATETIME: _datetime,
}


def _restored(value: Any, declared: Field) -> Any:
    if declared.many and isinstance(value, list):
        return [_restored_scalar(item, declared.type) for item in value]
    return _restored_scalar(value, declared.type)


def _restored_scalar(value: Any, kind: FieldType) -> Any:
    if kind is FieldType.INTEGER and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is FieldType.FLOAT and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is FieldType.DATETIME and isinstance(value, str):
        return _datetime(value) or value
    if kind is FieldType.DATETIME and isinstance(value, int | float) and not isinstance(value, bool):
        # The contract: a number is whole microseconds since the epoch, exact in a double until 2255.
        return datetime.fromtimestamp(0, UTC) + _microseconds(int(value))
    return value


def _microseconds(count: int) -> Any:
    from datetime import timedelta

    return timedelta(microseconds=count)


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"datetime": value.isoformat()}
    return list(value)


def _encodable(text: str, what: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidDocument(
            f"{what} has a lone surrogate at character {error.start}: not valid Unicode"
        ) from error

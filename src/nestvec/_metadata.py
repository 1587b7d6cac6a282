"""Metadata on its way in and out: checked against the declared fields, and restored to their types."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from nestvec.errors import InvalidDocument
from nestvec.types import Field, FieldType, Metadata, MetadataValue, Scalar
from nestvec.values import coerce, parse_datetime, scalar


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
    return {name: _restored(value, fields[name]) if name in fields else value for name, value in metadata.items()}


def hash_metadata(metadata: Metadata) -> str:
    """16 hexadecimal digits that change whenever a key, a value or a value's type changes."""
    if not metadata:
        return _NONE
    return hashlib.sha256(_CANONICAL.encode(dict(metadata)).encode()).hexdigest()[:16]


def _key(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise InvalidDocument(f"metadata keys must be non-empty strings, not {name!r}")
    return str(_checked(ascii(name), name, scalar))


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
    if isinstance(value, Mapping):
        raise InvalidDocument(f"metadata {name!r} is a mapping; flatten it, as in {name}_key = value")
    converted = _checked(name, value, scalar)
    if isinstance(converted, datetime):
        raise InvalidDocument(f'metadata {name!r} is a datetime; declare the field: {name} = "datetime"')
    if isinstance(converted, int):
        return _typed(name, converted, FieldType.BOOLEAN if isinstance(converted, bool) else FieldType.INTEGER)
    return converted


def _typed(name: str, value: Any, kind: FieldType) -> Scalar:
    return _checked(name, value, lambda given: coerce(given, kind), f"the field is declared {kind.value}: ")


def _checked(name: str, value: Any, convert: Callable[[Any], Scalar], why: str = "") -> Scalar:
    try:
        return convert(value)
    except ValueError as error:
        raise InvalidDocument(f"metadata {name!r}: {why}{error}") from error


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
        return _datetime_or_as_is(value)
    if kind is FieldType.DATETIME and isinstance(value, int | float) and not isinstance(value, bool):
        # The contract: a number is whole microseconds since the epoch, exact in a double until 2255.
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(value))
    return value


def _datetime_or_as_is(text: str) -> datetime | str:
    try:
        return parse_datetime(text)
    except ValueError:
        return text  # written by somebody else: it exists, and no comparison matches it


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"datetime": value.isoformat()}
    return list(value)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_jsonable)
_NONE = hashlib.sha256(b"{}").hexdigest()[:16]

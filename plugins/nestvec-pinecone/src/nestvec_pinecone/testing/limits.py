"""What Pinecone refuses, by its documented limits."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from nestvec_pinecone.testing.errors import require

MAX_BODY: Final = 2 * 1024 * 1024
MAX_RESULT: Final = 4 * 1024 * 1024
MAX_VECTORS: Final = 1000
MAX_IDS: Final = 1000
MAX_METADATA: Final = 40 * 1024
MAX_TOP_K: Final = 10_000
MAX_LIST: Final = 100
MAX_FETCH_BY_METADATA: Final = 10_000
MAX_DIMENSION: Final = 20_000
MAX_TAGS: Final = 20
#: Longer addresses are cut off by what stands in front of the service.
MAX_URL: Final = 16 * 1024

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,43}[a-z0-9])?\Z")
_TAG_KEY = re.compile(r"[A-Za-z0-9_-]{1,80}\Z")
_TAG_VALUE = re.compile(r"[A-Za-z0-9;@_.+ -]{1,120}\Z")


def check_name(name: object) -> None:
    """Index names."""
    require(
        isinstance(name, str) and _NAME.match(name),
        f"Invalid name {name!r}: lower case letters, digits and '-', at most 45 characters, no '-' at either end",
        422,
    )


def check_tags(tags: Mapping[str, Any]) -> None:
    """All tags of an index, after merging."""
    require(len(tags) <= MAX_TAGS, f"Index has {len(tags)} tags, which exceeds the limit of {MAX_TAGS}")
    for key, value in tags.items():
        require(_TAG_KEY.match(key), f"Invalid tag key {key!r}")
        good = isinstance(value, str) and _TAG_VALUE.match(value)
        require(good, f"Invalid value of tag {key!r}: at most 120 letters, digits, and any of ;@_-.+ and the space")


def check_vector(values: object, dimension: int) -> None:
    """The numbers of one record or question."""
    require(isinstance(values, list), "Vector values are required")
    assert isinstance(values, list)
    require(
        len(values) == dimension,
        f"Vector dimension {len(values)} does not match the dimension of the index {dimension}",
    )
    require(all(type(value) in (int, float) for value in values), "Vector values must be numbers")
    require(any(values), "Dense vectors must contain at least one non-zero value.")


def check_id(key: object) -> None:
    """Record ids."""
    good = isinstance(key, str) and 1 <= len(key) <= 512 and key.isascii() and "\x00" not in key
    require(good, f"Vector ID must be ASCII, 1 to 512 characters, but got {str(key)[:80]!r}")


def check_ids(ids: object) -> None:
    """Several of them in one request."""
    require(isinstance(ids, list) and ids, "At least one ID is required")
    assert isinstance(ids, list)
    require(len(ids) <= MAX_IDS, f"Too many IDs: {len(ids)}, the limit is {MAX_IDS}")
    for key in ids:
        check_id(key)


def check_namespace(name: object) -> str:
    """Namespaces; the default one by its other name."""
    good = isinstance(name, str) and len(name) <= 512 and name.isascii() and "\x00" not in name
    require(good, f"Invalid namespace {str(name)[:80]!r}: ASCII, at most 512 characters")
    return "" if name == "__default__" else str(name)


def check_metadata(metadata: object) -> None:
    """Flat, typed, not too large."""
    require(isinstance(metadata, dict), "Metadata must be an object")
    assert isinstance(metadata, dict)
    for key, value in metadata.items():
        require(not key.startswith("$"), f"Metadata key {key!r} must not start with '$'")
        require(_is_value(value), f"Metadata value must be a string, number, boolean or list of strings, got {key!r}")
    size = len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode())
    require(size <= MAX_METADATA, f"Metadata size is {size} bytes, which exceeds the limit of {MAX_METADATA} bytes")


def check_result(result: bytes) -> None:
    """The size of an answer to a query."""
    require(len(result) <= MAX_RESULT, f"Query result size {len(result)} exceeds the limit of {MAX_RESULT} bytes")


def in_range(value: object, most: int, what: str) -> int:
    """A whole number from 1 to `most`."""
    good = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most
    require(good, f"{what} must be between 1 and {most}, got {value!r}")
    assert isinstance(value, int)
    return value


def _is_value(value: object) -> bool:
    if isinstance(value, str | bool | int | float):
        return True
    return isinstance(value, Sequence) and all(isinstance(item, str) for item in value)

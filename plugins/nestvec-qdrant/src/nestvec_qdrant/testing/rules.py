"""What a server refuses although the client's request models allow it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from qdrant_client.http import models as m

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_ID = 2**64 - 1
_MAX_DIMENSIONS = 65_536
# The four spellings of a UUID that the server's parser knows; Python's own accepts more.
_HEX = r"[0-9a-fA-F]"
_HYPHENATED = rf"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}"
_UUID = re.compile(rf"(?:{_HYPHENATED}|{_HEX}{{32}}|urn:uuid:{_HYPHENATED}|\{{{_HYPHENATED}\}})\Z")

#: Where models hold one point id or a list of them. A query may be an id, too.
_ID_FIELDS: dict[type[BaseModel], str] = {
    m.PointStruct: "id",
    m.PointVectors: "id",
    m.Batch: "ids",
    m.PointIdsList: "points",
    m.PointRequest: "ids",
    m.ScrollRequest: "offset",
    m.SetPayload: "points",
    m.DeletePayload: "points",
    m.DeleteVectors: "points",
    m.HasIdCondition: "has_id",
    m.QueryRequest: "query",
    m.Prefetch: "query",
    m.NearestQuery: "nearest",
}

#: (model, field) → smallest and largest value.
_RANGES: dict[type[BaseModel], dict[str, tuple[int, int | None]]] = {
    m.CreateCollection: {
        "shard_number": (1, None),
        "replication_factor": (1, None),
        "write_consistency_factor": (1, None),
    },
    m.VectorParams: {"size": (1, _MAX_DIMENSIONS)},
    m.QueryRequest: {"limit": (1, None), "offset": (0, None)},
    m.Prefetch: {"limit": (1, None)},
    m.ScrollRequest: {"limit": (1, None)},
    m.FacetRequest: {"limit": (1, None)},
}


@dataclass(frozen=True)
class Violation:
    """Why a body is refused, with the status that a server would send."""

    status: int
    error: str


def check_rules(body: Any) -> Iterator[Violation]:
    """Yield what is wrong with a parsed body."""
    for path, model in _walk(body, ""):
        yield from _check_ids(model)
        yield from _check_ranges(path, model)


def valid_point_id(value: object) -> bool:
    """Whether a server takes this as a point id: unsigned 64-bit integer or UUID."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return 0 <= value <= _MAX_ID
    return _UUID.match(str(value)) is not None


def _walk(value: Any, path: str) -> Iterator[tuple[str, BaseModel]]:
    """All models in `value`. Lists of numbers are not entered: they are vectors, and long."""
    if isinstance(value, BaseModel):
        yield path, value
        for name in type(value).model_fields:
            yield from _walk(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
        for position, item in enumerate(value):
            yield from _walk(item, f"{path}[{position}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, BaseModel):
                yield from _walk(item, f"{path}.{name}")


def _check_ids(model: BaseModel) -> Iterator[Violation]:
    name = _ID_FIELDS.get(type(model))
    value = getattr(model, name) if name else None
    ids = value if isinstance(value, list) else [value]
    for point_id in ids:
        if isinstance(point_id, (int, str)) and not valid_point_id(point_id):
            yield Violation(
                400,
                f"Format error in JSON body: value {_shown(point_id)} is not a valid point ID, "
                "valid values are either an unsigned integer or a UUID",
            )


def _shown(point_id: int | str) -> str:
    return f'"{point_id}"' if isinstance(point_id, str) else str(point_id)


def _check_ranges(path: str, model: BaseModel) -> Iterator[Violation]:
    for name, (low, high) in _RANGES.get(type(model), {}).items():
        value = getattr(model, name)
        if value is None:
            continue
        if value < 0:
            yield Violation(400, f"Format error in JSON body: {name}: invalid value: integer `{value}`")
        elif value < low or (high is not None and value > high):
            bounds = f"must be from {low} to {high}" if high else f"must be {low} or larger"
            where = f"{path}.{name}" if path else name
            yield Violation(422, f"Validation error in JSON body: [{where}: value {value} invalid, {bounds}]")

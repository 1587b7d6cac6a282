"""Records as points with payloads, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.contract import Batch
from nestvec.types import DENSE, Record
from nestvec_qdrant.foreign import record_of_theirs
from nestvec_qdrant.paths import DOCUMENT_ID, METADATA, SYSTEM, TENANT, TEXT

if TYPE_CHECKING:
    from qdrant_client import models

    from nestvec.contract import ForeignLayout
    from nestvec.types import FloatArray

#: What is read where content is not asked for.
ESSENTIAL = [DOCUMENT_ID, SYSTEM, TENANT]


def payload_of(record: Record, tenant: str | None) -> dict[str, Any]:
    """The payload of a record, in plain JSON values."""
    payload: dict[str, Any] = {
        DOCUMENT_ID: record.document_id,
        METADATA: {name: _plain(value) for name, value in record.metadata.items()},
        SYSTEM: dict(record.system),
    }
    if record.text is not None:
        payload[TEXT] = record.text
    if tenant is not None:
        payload[TENANT] = tenant
    return payload


def record_of(point: models.Record | models.ScoredPoint, foreign: ForeignLayout | None = None) -> Record:
    """The record of a point: of nestvec's own, or of somebody else's as `foreign` says."""
    payload = point.payload or {}
    if foreign is not None:
        return record_of_theirs(str(point.id), payload, foreign)
    text, metadata, system = payload.get(TEXT), payload.get(METADATA), payload.get(SYSTEM)
    return Record(
        id=str(point.id),
        document_id=str(payload.get(DOCUMENT_ID, point.id)),
        text=text if isinstance(text, str) else None,
        metadata=metadata if isinstance(metadata, dict) else {},
        system=system if isinstance(system, dict) else {},
    )


def batch_of(
    points: Sequence[models.Record],
    *,
    vectors: bool,
    cursor: str | int | None = None,
    foreign: ForeignLayout | None = None,
    name: str = DENSE,
) -> Batch:
    """A reply with the points' records and, where asked for, their vectors: of somebody else's, the one called `name`.

    Somebody else's points may lack it; with vectors they are left out.
    """
    if foreign is not None and vectors:
        points = [point for point in points if name in _named(point.vector)]
    records = [record_of(point, foreign) for point in points]
    if not vectors:
        return Batch(records, None, cursor)
    return Batch(records, _stack(points) if foreign is None else {DENSE: _rows(points, name)}, cursor)


def of_tenant(points: Iterable[models.Record], tenant: str | None) -> list[models.Record]:
    """The points that this tenant may see; all of them without a tenant."""
    return [point for point in points if tenant is None or (point.payload or {}).get(TENANT) == tenant]


def _stack(points: Sequence[models.Record]) -> dict[str, FloatArray]:
    if not points:
        return {DENSE: np.zeros((0, 0), np.float32)}
    return {name: _rows(points, name) for name in _named(points[0].vector)}


def _rows(points: Sequence[models.Record], name: str) -> FloatArray:
    rows = [_named(point.vector)[name] for point in points]
    return np.array(rows, np.float32) if rows else np.zeros((0, 0), np.float32)


def _named(vector: Any) -> Mapping[str, Any]:
    """A point's vectors by name; an unnamed one has the empty name."""
    if vector is None:
        return {}
    return vector if isinstance(vector, dict) else {"": vector}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value

"""Records as points, searches as Qdrant's requests, and both back; writes in requests that are not too large."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import orjson
from qdrant_client import models

from nestvec.contract import Batch, Found, QueryStaged
from nestvec.errors import BackendRefused
from nestvec.types import DENSE, Metric, Record
from nestvec_qdrant.adopt import read_record
from nestvec_qdrant.filters import DOCUMENT_ID, METADATA, SYSTEM, TENANT, TEXT
from nestvec_qdrant.options import MAX_REQUEST_BYTES

if TYPE_CHECKING:
    from nestvec.contract import ForeignLayout, Query, Stage, Write
    from nestvec.types import FloatArray
    from nestvec_qdrant.rest import Point

    AnyPoint = TypeVar("AnyPoint", bound=models.Record | Point)

#: What is read where content is not asked for.
ESSENTIAL = [DOCUMENT_ID, SYSTEM, TENANT]
MAX_POINTS = 1000
#: A point is sized as JSON; as protobuf it may be larger where it holds many small numbers.
_MAX_GRPC_BYTES = MAX_REQUEST_BYTES // 4
_HEAD, _TAIL = b'{"points":[', b"]}"

# ---------------------------------------------------------------- writing


def rest_bodies(request: Write, tenant: str | None = None, *, limit: int = MAX_REQUEST_BYTES) -> Iterator[bytes]:
    """JSON bodies of at most `limit` bytes, in order.

    Written straight from float32 arrays, which takes a quarter of the time of the client's own models and
    two thirds of the bytes. Raises `BackendRefused` for a record that is too large by itself.
    """
    encoded = (_encoded(point) for point in _points(request, tenant))
    for _, batch in _split(request, encoded, limit - len(_HEAD) - len(_TAIL)):
        yield _HEAD + b",".join(batch) + _TAIL


def grpc_batches(request: Write, tenant: str | None = None) -> Iterator[list[models.PointStruct]]:
    """Points for the client's gRPC form, which takes lists only."""
    points = list(_points(request, tenant))
    for start, batch in _split(request, map(_encoded, points), _MAX_GRPC_BYTES):
        yield [_struct(point, as_lists=True) for point in points[start : start + len(batch)]]


def local_points(request: Write, tenant: str | None = None) -> list[models.PointStruct]:
    """Points for the engine in this process, which takes arrays."""
    return [_struct(point, as_lists=False) for point in _points(request, tenant)]


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


def _points(request: Write, tenant: str | None) -> Iterator[dict[str, Any]]:
    vectors = {name: np.ascontiguousarray(rows, np.float32) for name, rows in request.vectors.items()}
    for row, record in enumerate(request.records):
        yield {
            "id": record.id,
            "vector": {name: rows[row] for name, rows in vectors.items()},
            "payload": payload_of(record, tenant),
        }


def _encoded(point: Mapping[str, Any]) -> bytes:
    return orjson.dumps(point, option=orjson.OPT_SERIALIZE_NUMPY)


def _struct(point: Mapping[str, Any], *, as_lists: bool) -> models.PointStruct:
    # Not validated: that would take four times as long, and ids and payloads come from the core.
    vector: Mapping[str, FloatArray] = point["vector"]
    rows = {name: row.tolist() for name, row in vector.items()} if as_lists else vector
    return models.PointStruct.model_construct(id=point["id"], vector=rows, payload=point["payload"])


def _split(request: Write, encoded: Iterator[bytes], limit: int) -> Iterator[tuple[int, list[bytes]]]:
    """Runs of points that fit into `limit` bytes, with the number of their first."""
    start, size, batch = 0, 0, list[bytes]()
    for number, point in enumerate(encoded):
        _check_size(request, number, len(point), limit)
        if batch and (size + len(point) > limit or len(batch) == MAX_POINTS):
            yield start, batch
            start, size, batch = number, 0, []
        batch.append(point)
        size += len(point) + 1
    if batch:
        yield start, batch


def _check_size(request: Write, number: int, size: int, limit: int) -> None:
    if size > limit:
        record = request.records[number]
        raise BackendRefused(
            f"a chunk of document {record.document_id!r} takes {size} bytes with its vector and metadata, more than "
            f"the {limit} that a request to Qdrant may have (collection {request.physical!r}); give the document less "
            f"metadata or smaller chunks"
        )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


# ---------------------------------------------------------------- reading


def record_of(
    point: models.Record | models.ScoredPoint | Point, layout: ForeignLayout | None = None, *, content: bool = True
) -> Record:
    """The record of a point: of nestvec's own, or of somebody else's as `layout` says."""
    payload = point.payload or {}
    if layout is not None:
        return read_record(str(point.id), payload, layout, content=content)
    text, metadata, system = payload.get(TEXT), payload.get(METADATA), payload.get(SYSTEM)
    return Record(
        id=str(point.id),
        document_id=str(payload.get(DOCUMENT_ID, point.id)),
        text=text if isinstance(text, str) else None,
        metadata=metadata if isinstance(metadata, dict) else {},
        system=system if isinstance(system, dict) else {},
    )


def batch_of(
    points: Sequence[models.Record | Point],
    *,
    vectors: bool,
    cursor: str | int | None = None,
    layout: ForeignLayout | None = None,
    vector: str = DENSE,
    content: bool = True,
) -> Batch:
    """A reply with the points' records and, where asked for, their vectors: of foreign ones, that called `vector`.

    Foreign points may lack it; with vectors they are left out.
    """
    if layout is not None and vectors:
        points = [point for point in points if vector in _by_name(point.vector)]
    records = [record_of(point, layout, content=content) for point in points]
    if not vectors:
        return Batch(records, None, cursor)
    return Batch(records, _stack(points) if layout is None else {DENSE: _rows(points, vector)}, cursor)


def of_tenant(points: Iterable[AnyPoint], tenant: str | None) -> list[AnyPoint]:
    """The points that this tenant may see; all of them without a tenant."""
    return [point for point in points if tenant is None or (point.payload or {}).get(TENANT) == tenant]


def _stack(points: Sequence[models.Record | Point]) -> dict[str, FloatArray]:
    if not points:
        return {DENSE: np.zeros((0, 0), np.float32)}
    return {name: _rows(points, name) for name in _by_name(points[0].vector)}


def _rows(points: Sequence[models.Record | Point], name: str) -> FloatArray:
    rows = [_by_name(point.vector)[name] for point in points]
    return np.array(rows, np.float32) if rows else np.zeros((0, 0), np.float32)


def _by_name(vector: Any) -> Mapping[str, Any]:
    """A point's vectors by name; an unnamed one has the empty name."""
    if vector is None:
        return {}
    return vector if isinstance(vector, dict) else {"": vector}


# ---------------------------------------------------------------- searching


def query_requests(
    request: Query, vector: str, where: models.Filter | None, payload: bool | list[str]
) -> list[models.QueryRequest]:
    """One request for each question: by the vector of this name, after what the stages choose."""
    stages, rescore = (request.stages, request.rescore) if isinstance(request, QueryStaged) else ((), None)
    params = None if rescore is None else _rescoring(rescore / (request.limit + request.offset))
    threshold = query_threshold(request)
    return [
        models.QueryRequest(
            prefetch=_prefetch(request, stages, number, where) if stages else None,
            query=row.tolist(),
            using=vector or None,
            filter=None if stages else where,
            params=params,
            limit=request.limit,
            offset=request.offset,
            score_threshold=threshold,
            with_payload=payload,
        )
        for number, row in enumerate(request.vectors[DENSE])
    ]


def found_of(
    request: Query, points: Iterable[models.ScoredPoint | Point], layout: ForeignLayout | None = None
) -> list[Found]:
    """What a question found: its points as records, with nestvec's scores, none below the threshold."""
    sign = -1.0 if request.metric is Metric.EUCLIDEAN else 1.0
    least = -np.inf if request.threshold is None else np.float32(request.threshold)
    found = [Found(record_of(point, layout), 0.0 + sign * float(point.score)) for point in points]
    return [hit for hit in found if np.float32(hit.score) >= least]


def query_threshold(request: Query) -> float | None:
    """A little below what is asked for: Qdrant may leave out results that lie exactly on its threshold."""
    if request.threshold is None:
        return None
    lowest = float(np.nextafter(np.float32(request.threshold), np.float32(-np.inf)))
    # Under euclidean, Qdrant scores by distance, and the threshold is the greatest distance.
    return -lowest if request.metric is Metric.EUCLIDEAN else lowest


def _prefetch(request: Query, stages: Sequence[Stage], number: int, where: models.Filter | None) -> models.Prefetch:
    """The stages, one inside the other. The innermost, which chooses of all points, has the filter."""
    inner: models.Prefetch | None = None
    for stage in stages:
        inner = models.Prefetch(
            prefetch=inner,
            query=request.vectors[stage.vector][number].tolist(),
            using=stage.vector,
            filter=where if inner is None else None,
            limit=stage.limit,
            # The next stage compares what is stored: rescoring here would read the disk twice.
            params=_quantised(rescore=False) if inner is None else None,
        )
    assert inner is not None  # noqa: S101 - there are stages
    return inner


def _rescoring(oversampling: float) -> models.SearchParams:
    return _quantised(rescore=True, oversampling=oversampling)


def _quantised(**settings: Any) -> models.SearchParams:
    return models.SearchParams(quantization=models.QuantizationSearchParams(**settings))

"""Points on their way to the database: in the form that is quickest, in requests that are not too large."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from qdrant_client import models

from nestvec.contract import Write
from nestvec.errors import BackendRefused
from nestvec_qdrant.plugin import MAX_REQUEST_BYTES
from nestvec_qdrant.records import payload_of

if TYPE_CHECKING:
    from nestvec.types import FloatArray

MAX_POINTS = 1000
#: A point is sized as JSON; as protobuf it may be larger where it holds many small numbers.
_MAX_GRPC_BYTES = MAX_REQUEST_BYTES // 4
_HEAD, _TAIL = b'{"points":[', b"]}"


def rest_bodies(request: Write, limit: int = MAX_REQUEST_BYTES) -> Iterator[bytes]:
    """JSON bodies of at most `limit` bytes, in order.

    Written straight from float32 arrays, which takes a quarter of the time of the client's own models and
    two thirds of the bytes. Raises `BackendRefused` for a record that is too large by itself.
    """
    encoded = (_encoded(point) for point in _points(request))
    for _, batch in _split(request, encoded, limit - len(_HEAD) - len(_TAIL)):
        yield _HEAD + b",".join(batch) + _TAIL


def grpc_batches(request: Write) -> Iterator[list[models.PointStruct]]:
    """Points for the client's gRPC form, which takes lists only."""
    points = list(_points(request))
    for start, batch in _split(request, map(_encoded, points), _MAX_GRPC_BYTES):
        yield [_struct(point, as_lists=True) for point in points[start : start + len(batch)]]


def local_points(request: Write) -> list[models.PointStruct]:
    """Points for the engine in this process, which takes arrays."""
    return [_struct(point, as_lists=False) for point in _points(request)]


def _points(request: Write) -> Iterator[dict[str, Any]]:
    vectors = {name: np.ascontiguousarray(rows, np.float32) for name, rows in request.vectors.items()}
    for row, record in enumerate(request.records):
        yield {
            "id": record.id,
            "vector": {name: rows[row] for name, rows in vectors.items()},
            "payload": payload_of(record, request.tenant),
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


def chunked(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Runs of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]

"""Records and vectors as table rows, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.contract import CollectionInfo, Create, Write
from nestvec.types import Field, Metric, Record
from nestvec_sqlite.jsontext import from_json, to_json

if TYPE_CHECKING:
    from nestvec.types import FloatArray

#: The columns that `record_of` reads, in its order.
RECORD = "id, text, metadata, system"


def about(request: Create) -> str:
    """What is stored of a collection as a whole."""
    fields = {name: str(field) for name, field in request.fields.items()}
    return to_json({"vectors": request.vectors, "metric": request.metric, "fields": fields, "record": request.record})


def info_of(physical: str, stored: str) -> CollectionInfo:
    """The inverse of `about`."""
    value = from_json(stored)
    fields = {name: Field.parse(kind) for name, kind in value["fields"].items()}
    return CollectionInfo(physical, value["vectors"], Metric(value["metric"]), value["record"], fields)


def rows_of(request: Write, vectors: FloatArray) -> Iterator[tuple[Any, ...]]:
    """One row for each record: physical, tenant, id, text, metadata, system, vector."""
    for record, vector in zip(request.records, vectors, strict=True):
        # Beside the other bookkeeping, so that filters find it there.
        system = {**record.system, "document_id": record.document_id}
        yield (
            request.physical,
            request.tenant or "",
            record.id,
            record.text,
            to_json(record.metadata),
            to_json(system),
            vector.astype("<f4").tobytes(),
        )


def record_of(identity: str, text: str | None, metadata: str, system: str) -> Record:
    """The record behind the columns `RECORD`."""
    bookkeeping = from_json(system)
    return Record(identity, bookkeeping.pop("document_id"), text, from_json(metadata), bookkeeping)


def matrix(blobs: Sequence[bytes], dimensions: int) -> FloatArray:
    """Stored vectors as float32 of shape (n, dimensions)."""
    return np.frombuffer(bytearray().join(blobs), dtype="<f4").reshape(-1, dimensions)

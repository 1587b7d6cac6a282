"""Records on their way to Pinecone: bodies that are neither too long nor too heavy."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from nestvec.contract import Write
from nestvec.errors import BackendRefused
from nestvec_pinecone.places import one_vector
from nestvec_pinecone.plugin import MAX_METADATA_BYTES, MAX_RECORDS, MAX_REQUEST_BYTES
from nestvec_pinecone.records import metadata_of


@dataclass(frozen=True, slots=True)
class Body:
    """One request: how many records it holds, the id of the last, and the stamp that all of them carry."""

    content: bytes
    count: int
    last: str
    stamp: str


def bodies(request: Write, namespace: str, limit: int = MAX_REQUEST_BYTES) -> Iterator[Body]:
    """JSON bodies of at most `limit` bytes, in order, written straight from float32 arrays.

    Raises `BackendRefused` for a record that is too large by itself or that Pinecone can not store.
    """
    head, tail = b'{"vectors":[', b'],"namespace":' + orjson.dumps(namespace) + b"}"
    room = limit - len(head) - len(tail)
    stamp, size, batch, last = uuid.uuid4().hex[:12], 0, list[bytes](), ""
    for key, vector in _vectors(request, room, stamp):
        if batch and (size + len(vector) > room or len(batch) == MAX_RECORDS):
            yield Body(head + b",".join(batch) + tail, len(batch), last, stamp)
            size, batch = 0, []
        batch.append(vector)
        size += len(vector) + 1
        last = key
    if batch:
        yield Body(head + b",".join(batch) + tail, len(batch), last, stamp)


def _vectors(request: Write, limit: int, stamp: str) -> Iterator[tuple[str, bytes]]:
    rows = np.ascontiguousarray(one_vector(request.vectors, request.physical), np.float32)
    for record, row in zip(request.records, rows, strict=True):
        metadata = metadata_of(record, stamp, request.physical)
        _check_metadata(request, record.document_id, metadata)
        vector = orjson.dumps({"id": record.id, "values": row, "metadata": metadata}, option=orjson.OPT_SERIALIZE_NUMPY)
        if len(vector) > limit:
            raise BackendRefused(
                f"a chunk of document {record.document_id!r:.80} takes {len(vector)} bytes with its vector and "
                f"metadata, more than the {limit} of a request (collection {request.physical!r}); use fewer dimensions"
            )
        yield record.id, vector


def _check_metadata(request: Write, document: str, metadata: Mapping[str, Any]) -> None:
    size = len(orjson.dumps(metadata))
    if size > MAX_METADATA_BYTES:
        key = max(metadata, key=lambda each: len(orjson.dumps(metadata[each])))
        raise BackendRefused(
            f"a chunk of document {document!r:.80} has {size} bytes of text and metadata, more than the "
            f"{MAX_METADATA_BYTES} that Pinecone keeps with a record (collection {request.physical!r}); most of it is "
            f"{key!r}: make it shorter, use smaller chunks, or set store_text = false"
        )

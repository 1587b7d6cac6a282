"""Records as Pinecone's vectors with metadata, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nestvec.contract import Batch, ForeignLayout
from nestvec.errors import BackendRefused
from nestvec.types import DENSE, Record
from nestvec_pinecone import keys
from nestvec_pinecone.foreign import record_of_theirs
from nestvec_pinecone.values import decode, encode


def metadata_of(record: Record, stamp: str, collection: str) -> dict[str, Any]:
    """The flat metadata of a record. Raises `BackendRefused` naming document and key for what can not be stored."""
    stored: dict[str, Any] = {keys.DOCUMENT_ID: record.document_id, keys.STAMP: stamp}
    if record.text is not None:
        stored[keys.TEXT] = record.text
    stored |= {keys.system_key(name): value for name, value in record.system.items()}
    types: dict[str, str] = {}
    for name, value in record.metadata.items():
        native, code = _encoded(record, name, value, collection)
        if native is not None:
            stored[keys.field_key(name)] = native
        if code is not None:
            types[name] = code
    if types:
        stored[keys.TYPES] = json.dumps(types, ensure_ascii=False, separators=(",", ":"))
    return stored


def record_of(key: str, metadata: Mapping[str, Any] | None, foreign: ForeignLayout | None = None) -> Record:
    """The record behind a vector: nestvec's own, or somebody else's as `foreign` says."""
    stored = metadata or {}
    if foreign is not None:
        return record_of_theirs(key, stored, foreign)
    types: Mapping[str, str] = json.loads(stored.get(keys.TYPES, "{}"))
    fields = {name: value for key, value in stored.items() if (name := keys.field_name(key)) is not None}
    system = {name: _bookkeeping(value) for key, value in stored.items() if (name := keys.system_name(key)) is not None}
    names = [*fields, *(name for name in types if name not in fields)]
    text = stored.get(keys.TEXT)
    return Record(
        id=key,
        document_id=str(stored.get(keys.DOCUMENT_ID, key)),
        text=text if isinstance(text, str) else None,
        metadata={name: decode(fields.get(name), types.get(name)) for name in names},
        system=system,
    )


def batch_of(
    found: Iterable[Any],
    dimension: int,
    *,
    vectors: bool,
    cursor: str | None = None,
    foreign: ForeignLayout | None = None,
) -> Batch:
    """A reply with the records of the SDK's vectors and, where asked for, their values."""
    listed: Sequence[Any] = list(found)
    records = [record_of(each.id, each.metadata, foreign) for each in listed]
    if not vectors:
        return Batch(records, None, cursor)
    rows = np.array([each.values for each in listed], np.float32).reshape(len(listed), dimension)
    return Batch(records, {DENSE: rows}, cursor)


def _encoded(record: Record, name: str, value: Any, collection: str) -> tuple[Any, str | None]:
    try:
        return encode(value)
    except ValueError as error:
        raise BackendRefused(
            f"metadata {name!r} of document {record.document_id!r:.80} can not be stored in Pinecone (collection "
            f"{collection!r}): {error}"
        ) from error


def _bookkeeping(value: Any) -> str | int:
    """Strings and integers; every number comes back as a double."""
    return value if isinstance(value, str) else int(value)

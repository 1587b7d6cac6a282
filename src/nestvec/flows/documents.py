"""Reading, counting and deleting documents."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from nestvec.chunking import join_chunks
from nestvec.contract import Batch, Count, Event, Fetch, Remove, Scroll
from nestvec.errors import InvalidInput
from nestvec.filters import Filter, FilterLike, resolve, system
from nestvec.flows.base import Binding, Emit, Flow, Target, check_tenant, fence, with_target
from nestvec.flows.layout import Head, chunk_ids, head_id, restored, span_of
from nestvec.flows.state import on_current, read_states, sweep
from nestvec.metadata import restore_metadata
from nestvec.types import DENSE, Document, FieldType, Record

if TYPE_CHECKING:
    from nestvec.types import FloatArray

_BLOCK = 128


@dataclass(frozen=True, slots=True)
class Page:
    """Some records and, where asked for, their vectors: shape (records, dimensions)."""

    records: tuple[Record, ...]
    vectors: FloatArray | None
    cursor: str | int | None


def heads_only(where: Filter | None) -> Filter:
    """The filter, restricted to first chunks: one record for each document."""
    first = system("chunk", FieldType.INTEGER) == 0
    return first if where is None else first & where


def count(
    binding: Binding, where: FilterLike | None = None, tenant: str | None = None, *, chunks: bool = False
) -> Flow[int]:
    """How many documents (or chunks) match."""
    check_tenant(binding.spec, tenant)
    resolved = resolve(where, binding.spec.fields)

    def use(target: Target) -> Flow[int]:
        found: int = yield Count(target.physical, resolved if chunks else heads_only(resolved), tenant)
        return found

    return (yield from with_target(binding, use))


def scroll(
    binding: Binding,
    where: FilterLike | None = None,
    tenant: str | None = None,
    *,
    limit: int = 256,
    cursor: str | int | None = None,
    vectors: bool = False,
) -> Flow[Page]:
    """One page of all records that match, in an order of the backend's own."""
    check_tenant(binding.spec, tenant)
    resolved = resolve(where, binding.spec.fields)

    def use(target: Target) -> Flow[Batch]:
        batch: Batch = yield Scroll(target.physical, resolved, limit, cursor, vectors, tenant=tenant)
        return batch

    batch = yield from with_target(binding, use)
    records = tuple(restored(record, binding.spec.fields) for record in batch.records)
    return Page(records, batch.vectors[DENSE] if batch.vectors is not None else None, batch.cursor)


def get(binding: Binding, ids: Sequence[str], tenant: str | None = None) -> Flow[list[Document]]:
    """The stored documents with these ids, in their order; those that are not there are left out.

    Where texts are not stored, `text` is empty.
    """
    check_tenant(binding.spec, tenant)
    wanted = list(dict.fromkeys(ids))
    return (yield from with_target(binding, lambda target: _get(binding, target, wanted, tenant)))


def _get(binding: Binding, target: Target, ids: Sequence[str], tenant: str | None) -> Flow[list[Document]]:
    documents = []
    for block in _blocks(ids):
        heads = yield from _heads(target, block, tenant)
        rest = [
            identity
            for document_id, record in heads.items()
            for identity in chunk_ids(tenant, document_id, Head.of(record).revision, range(1, Head.of(record).chunks))
        ]
        batch: Batch = (yield Fetch(target.physical, rest, tenant=tenant)) if rest else Batch(())
        parts: dict[str, list[Record]] = {key: [record] for key, record in heads.items()}
        for record in batch.records:
            parts[record.document_id].append(record)
        documents += [_document(binding, parts[key]) for key in block if key in parts]
    return documents


def _heads(target: Target, ids: Sequence[str], tenant: str | None) -> Flow[dict[str, Record]]:
    batch: Batch = yield Fetch(target.physical, [head_id(tenant, key) for key in ids], tenant=tenant)
    return {record.document_id: record for record in batch.records}


def _document(binding: Binding, records: Sequence[Record]) -> Document:
    text = join_chunks([(span_of(record.system), record.text or "") for record in records])
    head = records[0]
    return Document(head.document_id, text, restore_metadata(head.metadata, binding.spec.fields))


def delete_any(
    binding: Binding, ids: Sequence[str | int], where: FilterLike | None, tenant: str | None = None
) -> Flow[int]:
    """Delete by id or by filter: exactly one of them must be given."""
    if (not ids) == (where is None):
        raise InvalidInput("delete documents either by id or by filter: give exactly one of them")
    if where is not None:
        return (yield from delete_where(binding, where, tenant))
    return (yield from delete(binding, [str(key) for key in ids], tenant))


def delete(binding: Binding, ids: Sequence[str], tenant: str | None = None) -> Flow[int]:
    """Delete documents by id; returns how many were there. What interrupted runs left goes, too."""
    check_tenant(binding.spec, tenant)
    deleted = 0
    for block in _blocks(list(dict.fromkeys(ids))):
        deleted += yield from on_current(binding, partial(_delete, binding, block, tenant))
    return deleted


def delete_where(binding: Binding, where: FilterLike, tenant: str | None = None) -> Flow[int]:
    """Delete all documents whose metadata match; returns how many."""
    check_tenant(binding.spec, tenant)
    matching = heads_only(resolve(where, binding.spec.fields))
    return (yield from on_current(binding, lambda target: _delete_where(binding, target, matching, tenant)))


def _delete_where(binding: Binding, target: Target, matching: Filter, tenant: str | None) -> Flow[int]:
    deleted = 0
    while True:
        batch: Batch = yield Scroll(target.physical, matching, _BLOCK, content=False, tenant=tenant)
        if not batch.records:
            return deleted
        ids = [record.document_id for record in batch.records]
        deleted += yield from _delete(binding, ids, tenant, target)


def _delete(binding: Binding, ids: Sequence[str], tenant: str | None, target: Target) -> Flow[int]:
    """Chunks go last to first and the head goes last of all: until then a rerun finds what is left."""
    states = yield from read_states(target, ids, tenant)
    yield from sweep(binding, target, states, tenant)
    stored = {key: state.head for key, state in states.items() if state.head is not None}
    if stored:
        doomed = [
            identity
            for key, head in stored.items()
            for identity in chunk_ids(tenant, key, head.revision, range(head.chunks))[::-1]
        ]
        yield from fence(binding, target)
        yield Remove(target.physical, doomed, target.generation, tenant)
    for key in stored:
        yield Emit(Event("document_deleted", binding.spec.name, {"document_id": key}))
    return len(stored)


def _blocks(ids: Sequence[str]) -> Generator[Sequence[str], None, None]:
    for start in range(0, len(ids), _BLOCK):
        yield ids[start : start + _BLOCK]

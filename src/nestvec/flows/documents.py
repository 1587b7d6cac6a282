"""Reading, counting and deleting documents."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from nestvec.chunking import join_chunks
from nestvec.contract import Batch, Count, Event, Fetch, Remove, Scroll, Tenants
from nestvec.errors import CollectionError, GenerationMoved, InvalidInput, InvalidName, Unsupported
from nestvec.filters import Filter, FilterLike, resolve, system
from nestvec.flows.base import (
    Binding,
    Emit,
    Flow,
    Target,
    check_tenant,
    foreign_filter,
    require_own,
    send_fenced,
    with_target,
)
from nestvec.flows.layout import Head, chunk_ids, head_id, restored, span_of
from nestvec.flows.state import on_current, read_states, sweep
from nestvec.metadata import restore_metadata
from nestvec.types import DENSE, Document, FieldType, Record
from nestvec.values import is_unicode

if TYPE_CHECKING:
    from nestvec.types import FloatArray

_BLOCK = 128
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where to go on, and in which physical collection: another generation has an order of its own."""

    physical: str
    place: str | int


@dataclass(frozen=True, slots=True)
class Page:
    """Some records and, where asked for, their vectors: shape (records, dimensions)."""

    records: tuple[Record, ...]
    vectors: FloatArray | None
    cursor: Cursor | None


def heads_only(where: Filter | None) -> Filter:
    """The filter, restricted to first chunks: one record for each document."""
    first = system("chunk", FieldType.INTEGER) == 0
    return first if where is None else first & where


def count(
    binding: Binding, where: FilterLike | None = None, tenant: str | None = None, *, chunks: bool = False
) -> Flow[int]:
    """How many documents (or chunks) match. In an adopted collection each record counts as a document."""
    check_tenant(binding.spec, tenant)
    resolved = resolve(where, binding.spec.fields)

    def use(target: Target) -> Flow[int]:
        whole = chunks or target.foreign is not None
        wanted = foreign_filter(target, resolved) if whole else heads_only(resolved)
        found: int = yield Count(target.physical, wanted, tenant, target.foreign)
        return found

    return (yield from with_target(binding, use))


def tenants(binding: Binding, tenant: str | None = None) -> Flow[list[str]]:
    """The names of all namespaces that hold documents, sorted. Raises `InvalidName` where there are none to name."""
    if not binding.spec.namespaces:
        raise InvalidName(
            f"collection {binding.spec.name!r} is declared without namespaces: its documents are in none; set "
            f"namespaces = true for a new one"
        )
    if tenant is not None:
        raise InvalidName(
            f"collection {binding.spec.name!r}: namespace {tenant!r:.80} does not know the others; ask the collection "
            f'itself, as in nv["{binding.spec.name}"].tenants()'
        )

    def use(target: Target) -> Flow[list[str]]:
        found: list[str] = yield Tenants(target.physical)
        return sorted(found)

    return (yield from with_target(binding, use))


def scroll(
    binding: Binding,
    where: FilterLike | None = None,
    tenant: str | None = None,
    *,
    limit: int = 256,
    cursor: Cursor | None = None,
    vectors: bool = False,
) -> Flow[Page]:
    """One page of all records that match, in an order of the backend's own.

    Raises `GenerationMoved` if the pointer moved since the cursor was made: start again.
    """
    check_tenant(binding.spec, tenant)
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise InvalidInput(f"a page must be a whole number of at least 1, not {limit!r}")
    resolved = resolve(where, binding.spec.fields)

    def use(target: Target) -> Flow[tuple[Batch, str]]:
        if cursor is not None and cursor.physical != target.physical:
            raise GenerationMoved(
                f"collection {binding.spec.name!r} moved from {cursor.physical!r} to {target.physical!r} while it was "
                f"read; start again"
            )
        place = cursor.place if cursor is not None else None
        wanted = foreign_filter(target, resolved)
        batch: Batch = yield Scroll(
            target.physical, wanted, limit, place, vectors, tenant=tenant, foreign=target.foreign
        )
        return batch, target.physical

    batch, physical = yield from with_target(binding, use)
    records = tuple(restored(record, binding.spec.fields) for record in batch.records)
    following = Cursor(physical, batch.cursor) if batch.cursor is not None else None
    return Page(records, batch.vectors[DENSE] if batch.vectors is not None else None, following)


def get(binding: Binding, ids: Sequence[str | int] | str | int, tenant: str | None = None) -> Flow[list[Document]]:
    """The stored documents with these ids, in their order; those that are not there are left out.

    Where texts are not stored, `text` is empty.
    """
    check_tenant(binding.spec, tenant)
    wanted = list(dict.fromkeys(check_ids(ids)))
    return (yield from with_target(binding, lambda target: _get(binding, target, wanted, tenant)))


def _get(binding: Binding, target: Target, ids: Sequence[str], tenant: str | None) -> Flow[list[Document]]:
    documents = []
    if target.foreign is not None:
        return (yield from _get_foreign(binding, target, ids, tenant))
    for block in _blocks(ids):
        parts = yield from _whole(target, block, tenant)
        documents += [_document(binding, parts[key]) for key in block if key in parts]
    return documents


def _get_foreign(binding: Binding, target: Target, ids: Sequence[str], tenant: str | None) -> Flow[list[Document]]:
    """Records of an adopted collection, by their own ids."""
    if target.foreign is not None and target.foreign.id is not None:
        raise Unsupported(
            f"collection {binding.spec.name!r} was adopted with document ids from {target.foreign.id!r}, which can not "
            f"be looked up; scroll or search with a filter, or leave foreign.id out"
        )
    found: dict[str, Document] = {}
    for block in _blocks(ids):
        batch: Batch = yield Fetch(target.physical, block, tenant=tenant, foreign=target.foreign)
        found |= {record.id: _document(binding, [record]) for record in batch.records}
    return [found[key] for key in ids if key in found]


def _whole(target: Target, ids: Sequence[str], tenant: str | None) -> Flow[dict[str, list[Record]]]:
    """All records of each document that is there: of one version, although it may be replaced meanwhile."""
    found: dict[str, list[Record]] = {}
    for _ in range(_ATTEMPTS):
        rest = [key for key in ids if key not in found]
        heads = yield from _heads(target, rest, tenant)
        parts = yield from _parts(target, heads, tenant)
        complete = {key: records for key, records in parts.items() if _of_one_version(records)}
        found |= complete
        if len(complete) == len(parts):
            return found
    torn = next(key for key in parts if key not in complete)
    raise CollectionError(
        f"document {torn!r:.80} is not whole: it is being replaced all the time, or two writers replaced it at once; "
        f"ingest it again"
    )


def _parts(target: Target, heads: Mapping[str, Record], tenant: str | None) -> Flow[dict[str, list[Record]]]:
    rest = [
        identity
        for key, record in heads.items()
        for identity in chunk_ids(tenant, key, Head.of(record).revision, range(1, Head.of(record).chunks))
    ]
    batch: Batch = (yield Fetch(target.physical, rest, tenant=tenant)) if rest else Batch(())
    parts: dict[str, list[Record]] = {key: [record] for key, record in heads.items()}
    for record in batch.records:
        parts[record.document_id].append(record)
    return parts


def _of_one_version(records: Sequence[Record]) -> bool:
    head = Head.of(records[0])
    return len(records) == head.chunks and all(record.system.get("version") == head.version for record in records)


def _heads(target: Target, ids: Sequence[str], tenant: str | None) -> Flow[dict[str, Record]]:
    batch: Batch = yield Fetch(target.physical, [head_id(tenant, key) for key in ids], tenant=tenant)
    return {record.document_id: record for record in batch.records}


def _document(binding: Binding, records: Sequence[Record]) -> Document:
    text = join_chunks([(span_of(record), record.text or "") for record in records])
    head = records[0]
    return Document(head.document_id, text, restore_metadata(head.metadata, binding.spec.fields))


def delete_any(
    binding: Binding,
    ids: Sequence[str | int] | str | int,
    where: FilterLike | None,
    tenant: str | None = None,
    *,
    everything: bool = False,
) -> Flow[int]:
    """Delete by id, by filter, or everything: exactly one of them must be given."""
    require_own(binding.spec, "delete from it")
    chosen = check_ids(ids)
    if bool(chosen) + (where is not None) + everything != 1:
        raise InvalidInput("delete documents by id, by filter, or with everything=True: give exactly one of them")
    if everything:
        return (yield from delete_where(binding, None, tenant))
    if where is None:
        return (yield from delete(binding, chosen, tenant))
    if resolve(where, binding.spec.fields) is None:
        raise InvalidInput("an empty filter selects every document; to delete all of them, say everything=True")
    return (yield from delete_where(binding, where, tenant))


def check_ids(ids: Sequence[str | int] | str | int) -> list[str]:
    """Document ids as strings; one id stands for a list of one. Raises `InvalidInput` for what can be no id."""
    chosen = [ids] if isinstance(ids, str | int) else list(ids)
    for key in chosen:
        if isinstance(key, bool) or not isinstance(key, str | int) or key == "" or not is_unicode(str(key)):
            raise InvalidInput(f"a document id is a non-empty string or an integer, not {ascii(key)[:80]}")
    return [str(key) for key in chosen]


def delete(binding: Binding, ids: Sequence[str], tenant: str | None = None) -> Flow[int]:
    """Delete documents by id; returns how many were there. What interrupted runs left goes, too."""
    check_tenant(binding.spec, tenant)
    deleted = 0
    for block in _blocks(list(dict.fromkeys(ids))):
        deleted += yield from on_current(binding, partial(_delete, binding, block, tenant))
    return deleted


def delete_where(binding: Binding, where: FilterLike | None, tenant: str | None = None) -> Flow[int]:
    """Delete all documents whose metadata match (None: all); returns how many."""
    check_tenant(binding.spec, tenant)
    matching = resolve(where, binding.spec.fields)
    deleted = yield from on_current(binding, lambda target: _delete_where(binding, target, matching, tenant))
    binding.standing = None  # an emptied collection is free for any host
    return deleted


def _delete_where(binding: Binding, target: Target, matching: Filter | None, tenant: str | None) -> Flow[int]:
    """Every chunk carries its document's metadata, so also what an interrupted run left is found."""
    deleted = 0
    while True:
        before: int = yield Count(target.physical, matching, tenant)
        batch: Batch = yield Scroll(target.physical, matching, _BLOCK, content=False, tenant=tenant)
        if not batch.records:
            return deleted
        ids = list(dict.fromkeys(record.document_id for record in batch.records))
        deleted += yield from _delete(binding, ids, tenant, target)
        after: int = yield Count(target.physical, matching, tenant)
        if after >= before:
            raise CollectionError(
                f"collection {binding.spec.name!r}: {after} records match the filter and can not be deleted; they were "
                f"not written by nestvec, or somebody else writes them all the time"
            )


def _delete(binding: Binding, ids: Sequence[str], tenant: str | None, target: Target) -> Flow[int]:
    """Heads go first, then chunks last to first: what an interruption leaves is found by the next run."""
    states = yield from read_states(target, ids, tenant)
    stored = {key: state for key, state in states.items() if state.head is not None}
    doomed = [head_id(tenant, key) for key in stored]
    for key, state in stored.items():
        if state.sound is not None:
            doomed += chunk_ids(tenant, key, state.sound.revision, range(1, state.sound.chunks))[::-1]
    if doomed:
        yield from send_fenced(binding, target, Remove(target.physical, doomed, tenant=tenant))
    yield from sweep(binding, target, states, tenant)
    for key in stored:
        yield Emit(Event("document_deleted", binding.spec.name, {"document_id": key}))
    return len(stored)


def _blocks(ids: Sequence[str]) -> Generator[Sequence[str], None, None]:
    for start in range(0, len(ids), _BLOCK):
        yield ids[start : start + _BLOCK]

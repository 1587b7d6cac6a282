"""Reading, counting and deleting documents."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from nestvec._chunking import join_chunks
from nestvec._collections.opening import (
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
from nestvec._documents.layout import Head, chunk_ids, head_id, span_of
from nestvec._documents.stored import on_current, read_states, sweep
from nestvec._metadata import restore_metadata
from nestvec.contract import Batch, Count, Event, Fetch, Remove, Scroll, Tenants
from nestvec.errors import CollectionError, InvalidInput, InvalidName, Unsupported
from nestvec.filters import Filter, FilterLike, resolve, system
from nestvec.types import DENSE, Document, FieldType, Record
from nestvec.values import is_unicode

if TYPE_CHECKING:
    from nestvec.types import FloatArray

    #: A record, and its vector where asked for.
    Part: TypeAlias = tuple[Record, FloatArray | None]

_BLOCK = 128


@dataclass(slots=True)
class Deletion:
    """How many documents a deletion found, over all of its tries: it may be begun again in another generation.

    Documents of a block that was broken off count where they were found, whether they are found again or not.
    """

    _done: int = 0
    _block: set[str] = field(default_factory=set)
    _broken_off: set[str] = field(default_factory=set)

    @property
    def total(self) -> int:
        """How many documents there were."""
        return self._done + len(self._broken_off | self._block)

    def begin(self) -> None:
        """A new block, or a new try of one."""
        self._broken_off |= self._block
        self._block = set()

    def found(self, ids: Iterable[str]) -> None:
        """These are about to be removed."""
        self._block.update(ids)

    def finish(self) -> None:
        """What was found of this block is gone for good."""
        self._done += len(self._block - self._broken_off)
        self._block = set()


_ATTEMPTS = 4


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
        parts = yield from whole(target, block, tenant)
        documents += [_document(binding, [record for record, _ in parts[key]]) for key in block if key in parts]
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


def whole(
    target: Target, ids: Sequence[str], tenant: str | None, *, vectors: bool = False
) -> Flow[dict[str, list[Part]]]:
    """All records of each document that is there, the head first, with their vectors where asked for.

    They are of one version, although the document may be replaced meanwhile.
    """
    found: dict[str, list[Part]] = {}
    for _ in range(_ATTEMPTS):
        rest = [key for key in ids if key not in found]
        read = yield from _parts(target, rest, tenant, vectors=vectors)
        complete = {key: parts for key, parts in read.items() if _of_one_version([record for record, _ in parts])}
        found |= complete
        if len(complete) == len(read):
            return found
    torn = next(key for key in read if key not in complete)
    raise CollectionError(
        f"document {torn!r:.80} is not whole: it is being replaced all the time, or two writers replaced it at once; "
        f"ingest it again"
    )


def _parts(target: Target, ids: Sequence[str], tenant: str | None, *, vectors: bool) -> Flow[dict[str, list[Part]]]:
    """The head of each document, and the chunks that it names: what there is of them."""
    heads: Batch = yield Fetch(target.physical, [head_id(tenant, key) for key in ids], vectors, tenant=tenant)
    rest = [
        identity
        for record in heads.records
        for identity in chunk_ids(
            tenant, record.document_id, Head.of(record).revision, range(1, Head.of(record).chunks)
        )
    ]
    batch: Batch = (yield Fetch(target.physical, rest, vectors, tenant=tenant)) if rest else Batch(())
    parts = {part[0].document_id: [part] for part in _with_vectors(heads)}
    for part in _with_vectors(batch):
        parts[part[0].document_id].append(part)
    return parts


def _with_vectors(batch: Batch) -> Iterator[Part]:
    rows = [None] * len(batch.records) if batch.vectors is None else batch.vectors[DENSE]
    return zip(batch.records, rows, strict=True)


def _of_one_version(records: Sequence[Record]) -> bool:
    head = Head.of(records[0])
    return len(records) == head.chunks and all(record.system.get("version") == head.version for record in records)


def _document(binding: Binding, records: Sequence[Record]) -> Document:
    head = records[0]
    return Document(head.document_id, text_of(records), restore_metadata(head.metadata, binding.spec.fields))


def text_of(records: Sequence[Record]) -> str:
    """The text of a document, rebuilt from all of its records; empty where texts are not stored."""
    return join_chunks([(span_of(record), record.text or "") for record in records])


def delete_any(
    binding: Binding,
    ids: Sequence[str | int] | str | int,
    where: FilterLike | None,
    tenant: str | None = None,
    *,
    everything: bool = False,
    deletion: Deletion | None = None,
) -> Flow[int]:
    """Delete by id, by filter, or everything: exactly one of them must be given.

    Give the same `deletion` where it is begun again: it counts what all tries found.
    """
    require_own(binding.spec, "delete from it")
    chosen = check_ids(ids)
    if bool(chosen) + (where is not None) + everything != 1:
        raise InvalidInput("delete documents by id, by filter, or with everything=True: give exactly one of them")
    if everything:
        return (yield from delete_where(binding, None, tenant, deletion))
    if where is None:
        return (yield from delete(binding, chosen, tenant, deletion))
    if resolve(where, binding.spec.fields) is None:
        raise InvalidInput("an empty filter selects every document; to delete all of them, say everything=True")
    return (yield from delete_where(binding, where, tenant, deletion))


def check_ids(ids: Sequence[str | int] | str | int) -> list[str]:
    """Document ids as strings; one id stands for a list of one. Raises `InvalidInput` for what can be no id."""
    chosen = [ids] if isinstance(ids, str | int) else list(ids)
    for key in chosen:
        if isinstance(key, bool) or not isinstance(key, str | int) or key == "" or not is_unicode(str(key)):
            raise InvalidInput(f"a document id is a non-empty string or an integer, not {ascii(key)[:80]}")
    return [str(key) for key in chosen]


def delete(
    binding: Binding, ids: Sequence[str], tenant: str | None = None, deletion: Deletion | None = None
) -> Flow[int]:
    """Delete documents by id; returns how many were there. What interrupted runs left goes, too."""
    check_tenant(binding.spec, tenant)
    deletion = deletion or Deletion()
    for block in _blocks(list(dict.fromkeys(ids))):
        yield from on_current(binding, partial(_delete, binding, block, tenant, deletion))
        deletion.finish()
    return deletion.total


def delete_where(
    binding: Binding, where: FilterLike | None, tenant: str | None = None, deletion: Deletion | None = None
) -> Flow[int]:
    """Delete all documents whose metadata match (None: all); returns how many."""
    check_tenant(binding.spec, tenant)
    deletion = deletion or Deletion()
    matching = resolve(where, binding.spec.fields)
    while (yield from on_current(binding, partial(_delete_some, binding, matching, tenant, deletion))):
        deletion.finish()
    binding.standing = None  # an emptied collection is free for any host
    return deletion.total


def _delete_some(
    binding: Binding, matching: Filter | None, tenant: str | None, deletion: Deletion, target: Target
) -> Flow[bool]:
    """Delete a block of those that match; returns whether there were any.

    Every chunk carries its document's metadata, so also what an interrupted run left is found.
    """
    before: int = yield Count(target.physical, matching, tenant)
    batch: Batch = yield Scroll(target.physical, matching, _BLOCK, content=False, tenant=tenant)
    if not batch.records:
        return False
    ids = list(dict.fromkeys(record.document_id for record in batch.records))
    yield from _delete(binding, ids, tenant, deletion, target)
    after: int = yield Count(target.physical, matching, tenant)
    if after >= before:
        raise CollectionError(
            f"collection {binding.spec.name!r}: {after} records match the filter and can not be deleted; they were "
            f"not written by nestvec, or somebody else writes them all the time"
        )
    return True


def _delete(binding: Binding, ids: Sequence[str], tenant: str | None, deletion: Deletion, target: Target) -> Flow[None]:
    """Heads go first, then chunks last to first: what an interruption leaves is found by the next run."""
    deletion.begin()
    states = yield from read_states(target, ids, tenant)
    stored = {key: state for key, state in states.items() if state.head is not None}
    doomed = [head_id(tenant, key) for key in stored]
    for key, state in stored.items():
        if state.sound is not None:
            doomed += chunk_ids(tenant, key, state.sound.revision, range(1, state.sound.chunks))[::-1]
    if doomed:
        deletion.found(stored)
        yield from send_fenced(binding, target, Remove(target.physical, doomed, tenant=tenant))
    yield from sweep(binding, target, states, tenant)
    for key in stored:
        yield Emit(Event("document_deleted", binding.spec.name, {"document_id": key}))


def _blocks(ids: Sequence[str]) -> Generator[Sequence[str], None, None]:
    for start in range(0, len(ids), _BLOCK):
        yield ids[start : start + _BLOCK]

"""Passes over two generations: each brings the target to what the source holds. Running one again changes nothing.

A pass reads the bookkeeping of every record of the source and looks up, by computed ids, what the target has of it.
What differs is brought over document by document, in the order of `nestvec._documents.layout`; what is gone is removed.
So a pass may be interrupted anywhere: the next one sees what is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from nestvec._collections.opening import (
    Emit,
    Flow,
    OpenCollection,
    Request,
    T,
    Target,
    open_to_read,
    through,
    write_within_lease,
)
from nestvec._documents.documents import delete, text_of, whole
from nestvec._documents.funnel import named
from nestvec._documents.layout import (
    Head,
    State,
    check_metadata,
    chunk_ids,
    head_id,
    read_states,
    restore_metadata,
    restored,
    sweep,
)
from nestvec._documents.upsert import Incoming, prepare, store
from nestvec._migration.routes import Transform, Way
from nestvec.contract import Count, Fetch, Remove, Scroll, Write
from nestvec.errors import BackendRefused, CollectionError, InvalidDocument
from nestvec.types import Document, FailedDocument, FieldType, Record, Usage

if TYPE_CHECKING:
    from nestvec._chunking import Splitter
    from nestvec._documents.documents import Part
    from nestvec.types import Field, FloatArray, Metadata

Phase: TypeAlias = Literal["documents", "changes", "last changes"]
#: Records read at once; documents removed, and at least embedded, at once; documents looked at more closely at the end.
PAGE, BLOCK, SAMPLE = 1000, 64, 32


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pass is: records of the documents seen, of so many in the source, and documents brought over in it."""

    phase: Phase
    seen: int
    total: int
    brought: int


@dataclass(frozen=True, slots=True)
class Crossing:
    """From one generation to another: what all passes share. Both bindings are pinned."""

    source: OpenCollection
    target: OpenCollection
    way: Way
    transform: Transform
    splitter: Splitter
    #: Texts of documents whose texts are not stored, by document hash.
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    progress: Callable[[Progress], object] | None = None
    #: Bring nothing over; only count what differs.
    dry: bool = False
    #: The target was in use before: what it holds in other chunks than it would get now is left as it is.
    used: bool = False


Picked: TypeAlias = tuple[str, str | None, str]
"""A document of the sample: a hash by which the choice is made, its namespace, its id."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a pass found and did, in documents; `chunks` are the target's afterwards."""

    seen: int = 0
    brought: int = 0
    deleted: int = 0
    chunks: int = 0
    #: The latest version of these is not in the target.
    failed: tuple[FailedDocument, ...] = ()
    usage: Usage = field(default_factory=Usage)
    sample: tuple[Picked, ...] = ()

    @property
    def changes(self) -> int:
        """How much the target differed."""
        return self.brought + self.deleted

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.seen + other.seen,
            self.brought + other.brought,
            self.deleted + other.deleted,
            self.chunks + other.chunks,
            self.failed + other.failed,
            self.usage + other.usage,
            tuple(sorted((*self.sample, *other.sample), key=_by_hash)[:SAMPLE]),
        )


def _by_hash(picked: Picked) -> str:
    return picked[0]


async def run_pass(job: Crossing, phase: Phase) -> Tally:
    """Bring the target to what the source holds now, in every namespace."""
    origin = await open_to_read(job.source)
    total = await source.records.count(Count(origin.physical))
    tally, read = Tally(), 0
    for tenant in await _tenants(job):
        done, read = await _forward(job, tenant, phase, read=read, total=total)
        gone = await _backward(job, tenant)
        tally += done + gone
    return tally


async def _tenants(job: Crossing) -> Sequence[str | None]:
    if not job.source.spec.namespaces:
        return [None]
    origin = await open_to_read(job.source)
    place = await open_to_read(job.target)
    here = await source.backend.list_tenants(ListTenants(origin.physical))
    there = await target.backend.list_tenants(ListTenants(place.physical))
    return sorted({*here, *there})


async def _forward(job: Crossing, tenant: str | None, phase: Phase, *, read: int, total: int) -> tuple[Tally, int]:
    """Bring over what differs; returns that, and how many records the documents have that were seen by now."""
    origin = await open_to_read(job.source)
    tally = Tally()
    cursor: str | int | None = None

    def tell(chunks: int, brought: int) -> None:
        if job.progress is not None:
            job.progress(Progress(phase, min(read + chunks, total), total, tally.brought + brought))

    while True:
        batch = await source.records.scroll(Scroll(origin.physical, None, PAGE, cursor, content=False))
        heads = {r.document_id: Head.of(r) for r in batch.records if r.system.get("chunk") == 0}
        for block in _blocks(list(heads), PAGE // 4):
            tally += await _compare(job, {key: heads[key] for key in block}, tenant, tell)
            read += sum(heads[key].chunks for key in block)
            tell(0, 0)
        cursor = batch.cursor
        if cursor is None:
            return tally, read


async def _compare(
    job: Crossing, heads: Mapping[str, Head], tenant: str | None, tell: Callable[[int, int], None]
) -> Tally:
    """Look up what the target has of these documents, and bring over those that differ."""
    place = await open_to_read(job.target)
    states = await read_states(place, list(heads), tenant)
    same = {key: state.sound for key, state in states.items() if _same(job, heads[key], state)}
    sample = sorted(((_digest(tenant, key), tenant, key) for key in heads), key=_by_hash)[:SAMPLE]
    kept = sum(head.chunks for head in same.values() if head is not None)
    tally = Tally(seen=len(heads), chunks=kept, sample=tuple(sample))
    differing = [key for key in heads if key not in same]
    if job.dry:
        reason = "its latest version is not in the other generation"
        return tally + Tally(failed=tuple(FailedDocument(key, f"document {key!r:.80}: {reason}") for key in differing))
    littered = {key: states[key] for key in same if states[key].debris}
    if littered:
        await sweep(job.target, place, littered, tenant)
    chunks = kept
    for block in _portions(job, {key: heads[key].chunks for key in differing}):
        tally += await _bring(job, block, tenant)
        chunks += sum(heads[key].chunks for key in block)
        tell(chunks, tally.brought)
    return tally


def _portions(job: Crossing, sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Documents to be brought over at once: as many chunks as are embedded at once, or are a page; one at least."""
    model = job.target.spec.model
    most = max(BLOCK, model.batch * model.concurrency) if job.way is Way.EMBED else PAGE
    portion: list[str] = []
    for key, size in sizes.items():
        if portion and sum(sizes[each] for each in portion) + size > most:
            yield portion
            portion = []
        portion.append(key)
    if portion:
        yield portion


def _same(job: Crossing, head: Head, state: State) -> bool:
    there = state.sound
    if there is None:
        return False
    if job.used:
        return (head.document_hash, head.metadata_hash) == (there.document_hash, there.metadata_hash)
    if job.way is not Way.EMBED:
        return there.version == head.version
    known = (head.document_hash, head.metadata_hash, job.target.spec.layout)
    return known == (there.document_hash, there.metadata_hash, there.layout)


def _digest(tenant: str | None, key: str) -> str:
    return hashlib.blake2b(f"{tenant!r}/{key}".encode(errors="backslashreplace"), digest_size=8).hexdigest()


async def _bring(job: Crossing, keys: Sequence[str], tenant: str | None) -> Tally:
    """Bring documents over as they are now; those that are gone meanwhile are left to the next pass."""
    origin = await open_to_read(job.source)
    vectors = job.way is not Way.EMBED
    try:
        found = await whole(origin, keys, tenant, vectors=vectors)
    except CollectionError as error:  # one of them is torn: which one?
        if len(keys) == 1:
            return Tally(failed=(FailedDocument(keys[0], str(error)),))
        half = len(keys) // 2
        first = await _bring(job, keys[:half], tenant)
        return first + (await _bring(job, keys[half:], tenant))
    bring = _embed if job.way is Way.EMBED else _place
    return await quietly(bring(job, found, tenant))


async def quietly(flow: Flow[T]) -> T:
    """Without the events of single documents and searches: to listeners, nothing was done to the collection."""
    return through(flow, _unheard)


async def _unheard(request: Request) -> Any:
    if isinstance(request, Emit) and request.event.name.startswith(("document_", "search_")):
        return None
    return (yield request)


async def _embed(job: Crossing, found: Mapping[str, list[Part]], tenant: str | None) -> Tally:
    """Ingest documents from their texts. They keep their hashes, so that a later ingestion finds them unchanged."""
    heads = {key: Head.of(parts[0][0]) for key, parts in found.items()}
    incoming, failed = [], []
    for key, parts in found.items():
        records = [record for record, _ in parts]
        text = _text(job, records, heads[key])
        if text is None:
            failed.append(FailedDocument(key, f"document {key!r:.80}: {_NO_TEXT}"))
        else:
            incoming.append(Incoming(Document(key, text, _metadata(job, records[0]))))
    spec = job.target.spec
    prepared, invalid = prepare(replace(spec, fields=_fields(job)), job.splitter, incoming)
    carried = [
        replace(item, document_hash=heads[item.id].document_hash, metadata_hash=heads[item.id].metadata_hash)
        for item in prepared
    ]
    report = await store(job.target, carried, tenant)
    missed = (*failed, *invalid, *report.failed)
    return Tally(brought=report.documents, chunks=report.chunks, failed=missed, usage=report.usage)


_NO_TEXT = "its text is not stored, and none of the files given (--from) has it"


def _text(job: Crossing, records: Sequence[Record], head: Head) -> str | None:
    if all(record.text is not None for record in records):
        return text_of(records)
    return job.texts.get(head.document_hash)


def _fields(job: Crossing) -> dict[str, Field]:
    """Every field whose type is known: those that are wanted, and those that were declared before."""
    return {**job.source.spec.fields, **job.target.spec.fields}


def _metadata(job: Crossing, record: Record) -> Metadata:
    """As they were given; but whole numbers of a field that was one of floats are what a field of integers takes."""
    integers = {name: kind for name, kind in _fields(job).items() if kind.type is FieldType.INTEGER}
    return restore_metadata(restored(record, job.source.spec.fields).metadata, integers)


@dataclass(frozen=True, slots=True)
class _Parcel:
    """A document to be written as it is stored: its records under the target's ids, the head first, and its vectors."""

    key: str
    records: list[Record]
    rows: FloatArray
    stale: list[str]

    @property
    def chunk_ids(self) -> list[str]:
        """Of all records but the head, last to first."""
        return [record.id for record in self.records[1:]][::-1]


async def _place(job: Crossing, found: Mapping[str, list[Part]], tenant: str | None) -> Tally:
    """Write documents from their records and vectors; nothing is embedded."""
    place = await open_to_read(job.target)
    states = await read_states(place, list(found), tenant)
    await sweep(job.target, place, states, tenant)
    parcels, failed = [], []
    for key, parts in found.items():
        try:
            parcels.append(_parcel(job, key, parts, states[key].sound, tenant))
        except InvalidDocument as error:
            failed.append(FailedDocument(key, f"document {key!r:.80}: {error}"))
    tally = await _write_all(job, place, parcels, tenant)
    return tally + Tally(failed=tuple(failed))


def _parcel(job: Crossing, key: str, parts: Sequence[Part], old: Head | None, tenant: str | None) -> _Parcel:
    """Raises `InvalidDocument` where the metadata do not fit the declared fields."""
    ordered = sorted(parts, key=lambda part: int(part[0].system["chunk"]))
    revision = 0 if old is None else 1 - old.revision
    ids = chunk_ids(tenant, key, revision, range(len(ordered)))
    metadata = check_metadata(_metadata(job, ordered[0][0]), _fields(job))
    records = [
        replace(record, id=identity, metadata=metadata, system={**record.system, "revision": revision})
        for identity, (record, _) in zip(ids, ordered, strict=True)
    ]
    rows = job.transform(np.stack([row for _, row in ordered if row is not None]))
    stale = [] if old is None else chunk_ids(tenant, key, old.revision, range(1, old.chunks))[::-1]
    return _Parcel(key, records, rows, stale)


async def _write_all(job: Crossing, place: Target, parcels: Sequence[_Parcel], tenant: str | None) -> Tally:
    """Write; where the backend refuses, halve until the guilty document is alone and the others go through."""
    if not parcels:
        return Tally()
    try:
        await _write(job, place, parcels, tenant)
    except BackendRefused as error:
        if len(parcels) == 1:
            if parcels[0].chunk_ids:
                await write_within_lease(job.target, place, Remove(place.physical, parcels[0].chunk_ids))
            return Tally(failed=(FailedDocument(parcels[0].key, str(error)),))
    else:
        return Tally(brought=len(parcels), chunks=sum(len(parcel.records) for parcel in parcels))
    half = len(parcels) // 2
    first = await _write_all(job, place, parcels[:half], tenant)
    return first + (await _write_all(job, place, parcels[half:], tenant))


async def _write(job: Crossing, place: Target, parcels: Sequence[_Parcel], tenant: str | None) -> None:
    """Chunks, then heads, then the removal of what was there: see `nestvec._documents.layout`."""
    chunks = [(record, row) for each in parcels for record, row in zip(each.records[1:], each.rows[1:], strict=True)]
    heads = [(each.records[0], each.rows[0]) for each in parcels]
    for part in (chunks, heads):
        if part:
            vectors = named(job.target.spec, np.stack([row for _, row in part]))
            request = Write(place.physical, [record for record, _ in part], vectors)
            await write_within_lease(job.target, place, request)
    stale = [identity for each in parcels for identity in each.stale]
    if stale:
        await write_within_lease(job.target, place, Remove(place.physical, stale))


async def _backward(job: Crossing, tenant: str | None) -> Tally:
    """Remove what the source no longer has, also what an interrupted pass left of it."""
    gone = await _gone(job, tenant)
    if job.dry:
        reason = "it was deleted, and the other generation still has it"
        return Tally(failed=tuple(FailedDocument(key, f"document {key!r:.80}: {reason}") for key in gone))
    for block in _blocks(gone, BLOCK):
        await quietly(delete(job.target, block, tenant))
    return Tally(deleted=len(gone))


async def _gone(job: Crossing, tenant: str | None) -> list[str]:
    """Ids of documents of which the target has any record, and the source no head."""
    origin = await open_to_read(job.source)
    place = await open_to_read(job.target)
    gone: dict[str, None] = {}
    cursor: str | int | None = None
    while True:
        batch = await target.records.scroll(Scroll(place.physical, None, PAGE, cursor, content=False))
        keys = list(dict.fromkeys(record.document_id for record in batch.records))
        for block in _blocks(keys, PAGE // 4):
            ids = {key: head_id(tenant, key) for key in block}
            heads = await source.records.fetch(Fetch(origin.physical, list(ids.values()), content=False))
            present = {record.id for record in heads.records}
            gone |= dict.fromkeys(key for key in block if ids[key] not in present)
        cursor = batch.cursor
        if cursor is None:
            return list(gone)


def _blocks(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]

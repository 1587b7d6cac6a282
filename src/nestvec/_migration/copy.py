"""Copying a collection, vectors and all, to another place: no embedding, resumable, verified."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nestvec._collections.checks import check_tenant, require_own
from nestvec._collections.opening import OpenCollection, Target, open_to_read
from nestvec._documents.funnel import named
from nestvec._documents.layout import Head, hash_text, make_record, restored
from nestvec._documents.reading import tenants as tenants_of
from nestvec._documents.replacing import write_records
from nestvec._documents.tidying import current_revisions
from nestvec._hosts.admission import canaries_to_keep, mismatch, read_canaries
from nestvec._hosts.agreement import Comparison, compare
from nestvec._hosts.note import NOTE, Canaries
from nestvec._metadata import Projection, hash_metadata
from nestvec.contract import Batch, Count, Describe, Event, Fetch, Scroll, WriteNote
from nestvec.encoding.vectors import normalize
from nestvec.errors import CollectionConflict, CollectionError, HostMismatch, InvalidInput
from nestvec.spaces import require_same
from nestvec.types import DENSE, Metric, Record, Storage

if TYPE_CHECKING:
    from nestvec._specs import CollectionSpec
    from nestvec.types import FloatArray

#: Vectors of one space may differ this much after a journey through engines that renormalise.
TOLERANCE = 1e-6
#: Where the target keeps float16: 11 bits of each number, and what renormalising makes of them.
FLOAT16_TOLERANCE = 2.0**-10


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What a copy did.

    Attributes:
        records: How many there are now.
        written, unchanged: How many were written, and how many were there already.
        verified: How many were compared at the end.
        unread: What an adopted source has besides and nestvec does not read: further vectors, columns of other kinds.
        leftovers: How many were left out, being no document's current version: `repair` removes them from the source.
    """

    records: int = 0
    written: int = 0
    unchanged: int = 0
    verified: int = 0
    unread: tuple[str, ...] = ()
    leftovers: int = 0


@dataclass(frozen=True, slots=True)
class CopyProgress:
    """How far a copy is, after a page.

    Attributes:
        written, unchanged: How many records were written so far, and how many were there already.
        total: How many there are to copy.
    """

    written: int
    unchanged: int
    total: int


@dataclass(frozen=True, slots=True)
class CopyJob:
    """From where to where: one namespace, or the whole collection. `page` is how many records are read at once."""

    source: OpenCollection
    target: OpenCollection
    page: int = 256
    progress: Callable[[CopyProgress], object] | None = None

    def of_tenant(self, tenant: str | None) -> CopyJob:
        """The same, of one namespace."""
        return replace(self, source=self.source.of_tenant(tenant), target=self.target.of_tenant(tenant))


async def copy(
    source: OpenCollection,
    target: OpenCollection,
    *,
    page: int = 256,
    progress: Callable[[CopyProgress], object] | None = None,
) -> CopyReport:
    """Copy everything, page by page, and verify it. What the target has already is left alone.

    Of a collection with namespaces, the source's tenant is copied; without one all of them, one after the other.
    """
    if isinstance(page, bool) or not isinstance(page, int) or page < 1:
        raise InvalidInput(f"a page must be a whole number of at least 1, not {page!r}")
    job = CopyJob(source, target, page, progress).of_tenant(source.tenant)
    total, unread = await _open(job)
    await carry_canaries(source, target)
    every = source.spec.namespaces and source.tenant is None
    tenants: Sequence[str | None] = await tenants_of(source) if every else [source.tenant]
    report = CopyReport(unread=unread)
    for tenant in tenants:
        report = await _copy_tenant(job.of_tenant(tenant), report, total)
    if every:  # the target may have namespaces that the source has not
        await _compare_counts(job, report.leftovers)
    target.session.emit(Event("collection_copied", target.spec.name, {"records": report.records}))
    return report


async def _copy_tenant(job: CopyJob, before: CopyReport, total: int) -> CopyReport:
    """Copy and verify one tenant's records (or those of nobody in particular); returns `before` with them added."""
    written, unchanged, leftovers = before.written, before.unchanged, 0
    cursor: str | int | None = None
    while True:
        done, seen, left, cursor = await _copy_page(job, cursor)
        written, unchanged, leftovers = written + done, unchanged + seen - done, leftovers + left
        if job.progress is not None:
            job.progress(CopyProgress(written, unchanged, total))
        if cursor is None:
            break
    records, verified = await _verify(job, leftovers)
    return CopyReport(
        before.records + records,
        written,
        unchanged,
        before.verified + verified,
        before.unread,
        before.leftovers + leftovers,
    )


async def _open(job: CopyJob) -> tuple[int, tuple[str, ...]]:
    """Check that the two can be copied; returns how many records the source has, and what is not read of it."""
    _check_namespaces(job)
    one, two = job.source.spec, job.target.spec
    if (one.backend, one.name) == (two.backend, two.name):
        raise InvalidInput(f"collection {one.name!r} cannot be copied onto itself; name another target")
    require_own(two, "copy into it")
    require_same(one.space, two.space, one.name)
    if one.metric is not two.metric:
        raise CollectionConflict(
            f"collection {one.name!r} has metric {one.metric.value!r} and {two.name!r} has {two.metric.value!r}; give "
            f"the target the source's metric"
        )
    origin = await open_to_read(job.source)
    await open_to_read(job.target)
    unread: tuple[str, ...] = ()
    if origin.foreign is not None:
        info = await job.source.records.describe(Describe(origin.physical))
        unread = info.unread if info is not None else ()
        if origin.foreign.id is not None:
            await check_shared(job.source, origin, origin.foreign.id, job.page)
    return await job.source.records.count(Count(origin.physical)), unread


async def carry_canaries(
    source: OpenCollection, target: OpenCollection, convert: Callable[[Canaries], Canaries] | None = None
) -> None:
    """Let the target's note say which host its vectors come from. Raises `HostMismatch` where two hosts disagree.

    `convert` makes of the source's canaries what was made of its vectors.
    """
    origin = await open_to_read(source)
    carried = await read_canaries(source, origin)
    if carried is None:
        return
    await keep_canaries(source.spec.name, carried if convert is None else convert(carried), target)


async def keep_canaries(name: str, carried: Canaries, target: OpenCollection) -> None:
    """The same, of canaries that came with vectors of a collection of that name."""
    place = await open_to_read(target)
    there = await canaries_to_keep(target, place)
    if there is not None and there.vouches_for(carried.host):
        return
    joined = carried
    if there is not None:
        comparison = _compare_canaries(name, carried, target.spec, there)
        if comparison.agreement.alike:
            joined = there.accepting(carried.host, comparison.agreement)
        elif await target.backend.count(Count(place.physical)):
            raise _other_host(name, carried, target.spec, there, comparison)
    await target.backend.write_note(WriteNote(place.physical, NOTE, joined.to_text()))
    target.state.admission = None


def _compare_canaries(name: str, carried: Canaries, target: CollectionSpec, there: Canaries) -> Comparison:
    """Compare what is stored: nothing is embedded."""
    if carried.texts != there.texts:
        raise CollectionConflict(
            f"the canaries of {name!r} and {target.name!r} have versions {carried.version} and {there.version}, "
            f"which cannot be compared: copy {name!r} into an empty collection"
        )
    return compare(there.vectors, carried.vectors)


def _other_host(
    name: str, carried: Canaries, target: CollectionSpec, there: Canaries, comparison: Comparison
) -> HostMismatch:
    return mismatch(
        f"collection {target.name!r} holds vectors of host {there.host!r}; those of {name!r}, host "
        f"{carried.host!r}, are other ones",
        f"Nothing was written. Bring {name!r} into an empty collection",
        target,
        there,
        carried.host,
        comparison,
    )


def _check_namespaces(job: CopyJob) -> None:
    source, target, tenant = job.source.spec, job.target.spec, job.source.tenant
    if source.namespaces and target.namespaces and tenant is None:
        return  # all of them
    if tenant is None and source.namespaces != target.namespaces:
        has, lacks = (source, target) if source.namespaces else (target, source)
        raise CollectionConflict(
            f"collection {has.name!r} is declared with namespaces and {lacks.name!r} without; declare both alike to "
            f"copy one into the other"
        )
    for spec in (source, target):
        check_tenant(spec, tenant)


async def _copy_page(job: CopyJob, cursor: str | int | None) -> tuple[int, int, int, str | int | None]:
    """Copy one page; returns how many records were written, seen and left out, and the next page's cursor."""
    origin = await open_to_read(job.source)
    found = await _read(job.source, origin, job.page, cursor)
    batch = await _current(job.source, origin, found)
    place = await open_to_read(job.target)
    missing = await _missing(job.target, place, batch.records)
    if missing:
        await _write(job, place, batch, missing)
    return len(missing), len(batch.records), len(found.records) - len(batch.records), batch.cursor


async def _current(source: OpenCollection, origin: Target, batch: Batch) -> Batch:
    """Without the records that no head owns: what a writer left that died, or is at work on."""
    if origin.foreign is not None:
        return batch
    revisions = await current_revisions(
        source, origin, {record.document_id for record in batch.records if record.system.get("chunk")}
    )
    kept = [
        row
        for row, record in enumerate(batch.records)
        if not record.system.get("chunk") or revisions.get(record.document_id) == record.system["revision"]
    ]
    vectors = batch.vectors and {name: rows[kept] for name, rows in batch.vectors.items()}
    return replace(batch, records=[batch.records[row] for row in kept], vectors=vectors)


async def _read(source: OpenCollection, origin: Target, limit: int, cursor: str | int | None = None) -> Batch:
    """A page of the source, as nestvec's own records: each record of an adopted collection becomes a document."""
    batch = await source.records.scroll(Scroll(origin.physical, None, limit, cursor, vectors=True))
    if origin.foreign is None:
        return batch
    return replace(batch, records=[_as_document(record, source.spec.projection) for record in batch.records])


async def check_shared(source: OpenCollection, origin: Target, path: str, page: int) -> None:
    """Raise `CollectionConflict`, before anything is written, where records share a document's id: in what order?"""
    seen, cursor, more = set[bytes](), None, True
    while more:
        batch = await source.records.scroll(Scroll(origin.physical, None, page, cursor, content=False))
        for record in batch.records:
            key = hashlib.sha256(record.document_id.encode()).digest()[:16]
            if key in seen:
                raise CollectionConflict(
                    f"collection {source.spec.name!r} was adopted with document ids from {path!r}, and several of its "
                    f"records have the id {record.document_id!r:.80}, in no known order; leave foreign.id out, and "
                    f"each is copied as a document of its own, with this id in its metadata. Nothing was copied"
                )
            seen.add(key)
        cursor = batch.cursor
        more = cursor is not None


def _as_document(record: Record, projection: Projection) -> Record:
    text = record.text or ""
    # Stored as what is anybody's: how the target sees it is decided where it is written.
    metadata = Projection({}).project(projection.given(record.metadata)).stored
    head = Head(0, 1, hash_text(text), hash_metadata(metadata), "adopted")
    return make_record(
        tenant=None,
        document_id=record.document_id,
        chunk=0,
        span=(0, len(text)),
        text=text,
        text_hash=hash_text(text),
        metadata=metadata,
        head=head,
        store_text=record.text is not None,
    )


def _reading(job: CopyJob) -> Projection:
    """How the metadata of the source's records are read, those of an adopted collection as documents."""
    return Projection({}) if job.source.spec.foreign is not None else job.source.spec.projection


def _projected(job: CopyJob, record: Record) -> Record:
    wanted = replace(job.target.spec.projection, strict=False)
    return replace(record, metadata=wanted.project(_reading(job).given(record.metadata)).stored)


async def _missing(target: OpenCollection, place: Target, records: Sequence[Record]) -> list[int]:
    """Numbers of the records that the target lacks, or has of another version; a document's head comes last."""
    if not records:
        return []
    ids = [record.id for record in records]
    there = await target.records.fetch(Fetch(place.physical, ids, content=False))
    known = {record.id: dict(record.system) for record in there.records}
    missing = [i for i, record in enumerate(records) if known.get(record.id) != dict(record.system)]
    return sorted(missing, key=lambda i: records[i].system.get("chunk") == 0)


async def _write(job: CopyJob, place: Target, batch: Batch, missing: Sequence[int]) -> None:
    assert batch.vectors is not None  # noqa: S101 - asked for
    # Engines keep some types in forms of their own, and the fields of the target are its own.
    records = [_projected(job, batch.records[i]) for i in missing]
    # Prefixes are made of the full vectors: the source may have others, or none.
    await write_records(job.target, place, records, batch.vectors[DENSE][list(missing)])


async def _verify(job: CopyJob, leftovers: int) -> tuple[int, int]:
    """Compare counts, and a sample record by record. Raises `CollectionError` saying what differs."""
    source, target = job.source, job.target
    found = await _compare_counts(job, leftovers)
    origin, place = await open_to_read(source), await open_to_read(target)
    page = await _current(source, origin, await _read(source, origin, job.page))
    if page.records:
        ids = [record.id for record in page.records]
        copied = await target.records.fetch(Fetch(place.physical, ids, vectors=True))
        _compare(job, page, copied, exact=target.capabilities.stores_exact)
    return found, len(page.records)


async def _compare_counts(job: CopyJob, leftovers: int) -> int:
    """How many records both have: of a tenant, or of all. Raises `CollectionError` if they differ."""
    source, target = job.source, job.target
    origin, place = await open_to_read(source), await open_to_read(target)
    wanted = await source.records.count(Count(origin.physical)) - leftovers
    found = await target.records.count(Count(place.physical))
    if wanted != found:
        where = f" in namespace {source.tenant!r:.80}" if source.tenant is not None else ""
        raise CollectionError(
            f"{source.spec.name!r} has {wanted} records{where} and its copy {target.spec.name!r} has {found}: the "
            f"target held others before, or the source changed meanwhile; copy again, or into an empty collection"
        )
    return found


def _compare(job: CopyJob, page: Batch, copied: Batch, *, exact: bool) -> None:
    spec = job.target.spec
    assert page.vectors is not None  # noqa: S101 - asked for
    assert copied.vectors is not None  # noqa: S101
    rows = {record.id: i for i, record in enumerate(copied.records)}
    vectors = named(spec, page.vectors[DENSE])
    for i, record in enumerate(page.records):
        other = copied.records[rows[record.id]] if record.id in rows else None
        subject = f"record {record.id} of {record.document_id!r:.80}"
        if other is None or restored(other, spec.projection) != restored(record, _reading(job)):
            raise CollectionError(f"{subject} differs in its copy in {spec.name!r}; copy again, and report it")
        for name, matrix in vectors.items():
            compare_vectors(spec, subject, matrix[i], copied.vectors[name][rows[record.id]], exact=exact)


def compare_vectors(spec: CollectionSpec, subject: str, one: FloatArray, two: FloatArray, *, exact: bool) -> None:
    """Raise `CollectionError` unless the second vector is the first as the collection may keep it; both of one size."""
    halved = spec.storage is Storage.FLOAT16
    if exact and not halved and not np.array_equal(one, two):
        raise CollectionError(f"the vector of {subject} is not bit for bit the same in its copy in {spec.name!r}")
    off = _distance(one, two, spec.metric)
    if off > (FLOAT16_TOLERANCE * max(1.0, float(np.abs(one).max())) if halved else TOLERANCE):
        raise CollectionError(f"the vector of {subject} is off by {off:.2g} in its copy in {spec.name!r}")


def _distance(one: FloatArray, two: FloatArray, metric: Metric) -> float:
    if metric is Metric.COSINE:  # only directions count, and some engines keep no more
        one, two = normalize(np.stack([one, two]))
    return float(np.abs(one - two).max())

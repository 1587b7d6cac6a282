"""Copying a collection, vectors and all, to another place: no embedding, resumable, verified.

Requests go to two places, so they are yielded as `At` a side; see `nestvec._session`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from nestvec._collections.opening import (
    Flow,
    OpenCollection,
    Request,
    T,
    Target,
    check_tenant,
    open_to_read,
    relayed,
    require_own,
    write_within_lease,
)
from nestvec._documents.documents import tenants as tenants_of
from nestvec._documents.funnel import named
from nestvec._documents.layout import Head, hash_metadata, hash_text, make_record, restored
from nestvec._hosts.admission import canaries_to_keep, mismatch, read_canaries
from nestvec._hosts.agreement import Comparison, compare
from nestvec._hosts.note import NOTE, Canaries
from nestvec.contract import Batch, Count, Event, Fetch, Scroll, Write, WriteNote
from nestvec.encoding.vectors import normalize
from nestvec.errors import CollectionConflict, CollectionError, HostMismatch, InvalidInput, Unsupported
from nestvec.spaces import require_same
from nestvec.types import DENSE, Metric, Record, Storage

if TYPE_CHECKING:
    from nestvec._specs import CollectionSpec
    from nestvec.types import FloatArray

Side: TypeAlias = Literal["source", "target"]
#: Vectors of one space may differ this much after a journey through engines that renormalise.
TOLERANCE = 1e-6
#: Where the target keeps float16: 11 bits of each number, and what renormalising makes of them.
FLOAT16_TOLERANCE = 2.0**-10


@dataclass(frozen=True, slots=True)
class At:
    """A request to one of two places."""

    side: Side
    request: Request


PairFlow: TypeAlias = Generator[At, Any, T]


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What a copy did. `records` is how many there are now; `verified` how many of them were compared."""

    records: int = 0
    written: int = 0
    unchanged: int = 0
    verified: int = 0


@dataclass(frozen=True, slots=True)
class CopyProgress:
    """How far a copy is, after a page."""

    written: int
    unchanged: int
    total: int


async def at(side: Side, flow: Flow[T]) -> T:
    """Let all requests of a flow go to one side, but for those that say themselves where they go."""
    return relayed(flow, partial(_to, side))


def _to(side: Side, request: Request | At) -> At:
    return request if isinstance(request, At) else At(side, request)


async def copy(
    source: OpenCollection,
    target: OpenCollection,
    tenant: str | None = None,
    *,
    page: int = 256,
    progress: Callable[[CopyProgress], object] | None = None,
) -> CopyReport:
    """Copy everything, page by page, and verify it. What the target has already is left alone.

    Of a collection with namespaces, one namespace is copied; or without `tenant` all of them, one after the other.
    """
    total = await _open(source, target, tenant)
    await carry_canaries(source, target)
    tenants: Sequence[str | None] = [tenant]
    every = source.spec.namespaces and tenant is None
    if every:
        tenants = await tenants_of(source)
    report = CopyReport()
    for each in tenants:
        report = await _copy_tenant(source, target, each, report, page=page, total=total, progress=progress)
    if every:  # the target may have namespaces that the source has not
        await _compare_counts(source, target, None)
    target.session.emit(Event("collection_copied", target.spec.name, {"records": report.records}))
    return report


async def _copy_tenant(
    source: OpenCollection,
    target: OpenCollection,
    tenant: str | None,
    before: CopyReport,
    *,
    page: int,
    total: int,
    progress: Callable[[CopyProgress], object] | None,
) -> CopyReport:
    """Copy and verify one tenant's records (or those of nobody in particular); returns `before` with them added."""
    written, unchanged = before.written, before.unchanged
    cursor: str | int | None = None
    while True:
        done, seen, cursor = await _copy_page(source, target, tenant, cursor=cursor, limit=page)
        written, unchanged = written + done, unchanged + seen - done
        if progress is not None:
            progress(CopyProgress(written, unchanged, total))
        if cursor is None:
            break
    records, verified = await _verify(source, target, tenant, sample=page)
    return CopyReport(before.records + records, written, unchanged, before.verified + verified)


async def _open(source: OpenCollection, target: OpenCollection, tenant: str | None) -> int:
    """Check that the two can be copied; returns how many records the source has."""
    _check_namespaces(source, target, tenant)
    same = (source.spec.backend, source.spec.name) == (target.spec.backend, target.spec.name)
    if same:
        raise InvalidInput(f"collection {source.spec.name!r} cannot be copied onto itself; name another target")
    require_own(target.spec, "be copied into")
    if source.spec.foreign is not None and source.spec.foreign.id is not None:
        raise Unsupported(
            f"collection {source.spec.name!r} was adopted with document ids from {source.spec.foreign.id!r}: records "
            f"that share one have no known order; leave foreign.id out, and each is copied as a document of its own"
        )
    require_same(source.spec.space, target.spec.space, source.spec.name)
    if source.spec.metric is not target.spec.metric:
        raise CollectionConflict(
            f"collection {source.spec.name!r} has metric {source.spec.metric.value!r} and {target.spec.name!r} has "
            f"{target.spec.metric.value!r}; give the target the source's metric"
        )
    origin = await open_to_read(source)
    await open_to_read(target)
    total = await source.records.count(Count(origin.physical))
    return total


async def carry_canaries(
    source: OpenCollection, target: OpenCollection, convert: Callable[[Canaries], Canaries] | None = None
) -> None:
    """Let the target's note say which host its vectors come from. Raises `HostMismatch` where two hosts disagree.

    `convert` makes of the source's canaries what was made of its vectors.
    """
    origin = await open_to_read(source)
    place = await open_to_read(target)
    carried = await read_canaries(source.spec, origin)
    if carried is None:
        return
    if convert is not None:
        carried = convert(carried)
    there = await canaries_to_keep(target.spec, place)
    if there is not None and there.vouches_for(carried.host):
        return
    joined = carried
    if there is not None:
        comparison = _compare_canaries(source.spec, carried, target.spec, there)
        if comparison.agreement.alike:
            joined = there.accepting(carried.host, comparison.agreement)
        elif await target.records.count(Count(place.physical)):
            raise _other_host(source.spec, carried, target.spec, there, comparison)
    await target.backend.write_note(WriteNote(place.physical, NOTE, joined.to_text()))
    target.state.admission = None


def _compare_canaries(source: CollectionSpec, carried: Canaries, target: CollectionSpec, there: Canaries) -> Comparison:
    """Compare what is stored: nothing is embedded."""
    if carried.texts != there.texts:
        raise CollectionConflict(
            f"the canaries of {source.name!r} and {target.name!r} have versions {carried.version} and {there.version}, "
            f"which cannot be compared: copy {source.name!r} into an empty collection"
        )
    return compare(there.vectors, carried.vectors)


def _other_host(
    source: CollectionSpec, carried: Canaries, target: CollectionSpec, there: Canaries, comparison: Comparison
) -> HostMismatch:
    return mismatch(
        f"collection {target.name!r} holds vectors of host {there.host!r}; those of {source.name!r}, host "
        f"{carried.host!r}, are other ones",
        f"Nothing was copied. Copy {source.name!r} into an empty collection",
        target,
        there,
        carried.host,
        comparison,
    )


def _check_namespaces(source: OpenCollection, target: OpenCollection, tenant: str | None) -> None:
    if source.spec.namespaces and target.spec.namespaces and tenant is None:
        return  # all of them
    if tenant is None and source.spec.namespaces != target.spec.namespaces:
        has, lacks = (source, target) if source.spec.namespaces else (target, source)
        raise CollectionConflict(
            f"collection {has.spec.name!r} is declared with namespaces and {lacks.spec.name!r} without; declare both "
            f"alike to copy one into the other"
        )
    for collection in (source, target):
        check_tenant(collection.spec, tenant)


async def _copy_page(
    source: OpenCollection, target: OpenCollection, tenant: str | None, *, cursor: str | int | None, limit: int
) -> tuple[int, int, str | int | None]:
    """Copy one page; returns how many records were written and seen, and the next page's cursor."""
    origin = await open_to_read(source)
    batch = await _read(source, origin, tenant, limit=limit, cursor=cursor)
    place = await open_to_read(target)
    missing = await _missing(place, batch.records, tenant)
    if missing:
        await _write(target, place, batch, missing, tenant)
    return len(missing), len(batch.records), batch.cursor


async def _read(
    source: OpenCollection, origin: Target, tenant: str | None, *, limit: int, cursor: str | int | None = None
) -> Batch:
    """A page of the source, as nestvec's own records: each record of an adopted collection becomes a document."""
    foreign = origin.foreign
    batch = await source.records.scroll(Scroll(origin.physical, None, limit, cursor, vectors=True))
    if foreign is None:
        return batch
    return replace(batch, records=[_as_document(record, source.spec) for record in batch.records])


def _as_document(record: Record, spec: CollectionSpec) -> Record:
    text, metadata = record.text or "", restored(record, spec.fields).metadata
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


async def _missing(place: Target, records: Sequence[Record], tenant: str | None) -> list[int]:
    """Numbers of the records that the target lacks, or has of another version; a document's head comes last."""
    if not records:
        return []
    ids = [record.id for record in records]
    there = await target.records.fetch(Fetch(place.physical, ids, content=False))
    known = {record.id: dict(record.system) for record in there.records}
    missing = [i for i, record in enumerate(records) if known.get(record.id) != dict(record.system)]
    return sorted(missing, key=lambda i: records[i].system.get("chunk") == 0)


async def _write(
    target: OpenCollection, place: Target, batch: Batch, missing: Sequence[int], tenant: str | None
) -> None:
    assert batch.vectors is not None  # noqa: S101 - asked for
    # Engines keep some types in forms of their own; the other engine gets the declared ones.
    records = [restored(batch.records[i], target.spec.fields) for i in missing]
    # Prefixes are made of the full vectors: the source may have others, or none.
    rows = named(target.spec, batch.vectors[DENSE][list(missing)])
    await write_within_lease(target, place, Write(place.physical, records, rows))


async def _verify(
    source: OpenCollection, target: OpenCollection, tenant: str | None, *, sample: int
) -> tuple[int, int]:
    """Compare counts, and a sample record by record. Raises `CollectionError` saying what differs."""
    found = await _compare_counts(source, target, tenant)
    origin = await open_to_read(source)
    place = await open_to_read(target)
    page = await _read(source, origin, tenant, limit=sample)
    if page.records:
        ids = [record.id for record in page.records]
        copied = await target.records.fetch(Fetch(place.physical, ids, vectors=True))
        _compare(target.spec, page, copied, exact=target.capabilities.stores_exact)
    return found, len(page.records)


async def _compare_counts(source: OpenCollection, target: OpenCollection, tenant: str | None) -> int:
    """How many records both have: of a tenant, or of all. Raises `CollectionError` if they differ."""
    origin = await open_to_read(source)
    place = await open_to_read(target)
    wanted = await source.records.count(Count(origin.physical))
    found = await target.records.count(Count(place.physical))
    if wanted != found:
        where = f" in namespace {tenant!r:.80}" if tenant is not None else ""
        raise CollectionError(
            f"{source.spec.name!r} has {wanted} records{where} and its copy {target.spec.name!r} has {found}: the "
            f"target held others before, or the source changed meanwhile; copy again, or into an empty collection"
        )
    return found


def _compare(spec: CollectionSpec, page: Batch, copied: Batch, *, exact: bool) -> None:
    assert page.vectors is not None  # noqa: S101 - asked for
    assert copied.vectors is not None  # noqa: S101
    rows = {record.id: i for i, record in enumerate(copied.records)}
    vectors = named(spec, page.vectors[DENSE])
    for i, record in enumerate(page.records):
        other = copied.records[rows[record.id]] if record.id in rows else None
        subject = f"record {record.id} of {record.document_id!r:.80}"
        if other is None or restored(other, spec.fields) != restored(record, spec.fields):
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

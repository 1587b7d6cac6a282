"""Converting a whole store into one of another backend, as it is: nothing is embedded, and nothing left out unsaid.

Every generation is carried with its record, its notes and its records, those of each tenant, and every alias. At the
end both sides are read and compared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec._collections import superseded, write_fence
from nestvec._hosts import note as canaries
from nestvec._migration import generations
from nestvec._migration.copy import CopyProgress
from nestvec._specs import StoredCollection
from nestvec.contract import (
    Batch,
    CollectionInfo,
    Count,
    CreateExtended,
    Describe,
    Fetch,
    ListCollections,
    ListTenants,
    ReadNote,
    ResolveAlias,
    Scroll,
    SetAlias,
    Write,
    WriteNote,
)
from nestvec.errors import CollectionConflict, CollectionError, Unsupported
from nestvec.values import format_datetime

if TYPE_CHECKING:
    from nestvec._session.session import Backend, Session
    from nestvec.capabilities import BackendCapabilities
    from nestvec.types import Record

#: Every note that is kept beside a collection.
NOTES = (canaries.NOTE, generations.NOTE, superseded.NOTE, write_fence.NOTE)
PAGE = 256


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What a conversion did.

    Attributes:
        collections: The physical collections that were carried.
        records: How many records they have; each was compared.
        left: Collections of other programs, which were left out.
    """

    collections: tuple[str, ...] = ()
    records: int = 0
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Generation:
    """A physical collection of the source."""

    info: CollectionInfo
    stored: StoredCollection
    tenants: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Conversion:
    """From where to where, and what both can do. `progress` hears of each page."""

    source: Session
    target: Session
    before: BackendCapabilities
    after: BackendCapabilities
    progress: Callable[[CopyProgress], object] | None = None


async def convert(job: Conversion, *, leave_foreign: bool = False) -> ConversionReport:
    """Carry everything into an empty store, and compare.

    Raises `CollectionConflict` for collections of other programs, unless they may be left out; `Unsupported` where the
    target cannot keep something; `CollectionError` where both differ at the end.
    """
    names = sorted(await job.source.backend.list_collections(ListCollections()))
    own, foreign = [], []
    for name in names:
        found = await _generation(job.source.backend, name)
        if found is None:
            foreign.append(name)
        else:
            _require_kept(job, found)
            own.append(found)
    if foreign and not leave_foreign:
        raise CollectionConflict(
            f"{len(foreign)} of the collections in the store were not made by nestvec ({', '.join(foreign):.200}), and "
            f"nobody can vouch for their vectors: say that they may be left out, or adopt and copy them"
        )
    done, total = 0, sum(each.count for each in own)
    for each in own:
        done = await _carry(job, each, done, total)
    for each in own:
        await _carry_alias(job, each)
        await _compare(job, each)
    return ConversionReport(tuple(each.info.physical for each in own), total, tuple(foreign))


async def _generation(backend: Backend, physical: str) -> _Generation | None:
    """What is known of a collection; None for one of another program, adopted or not."""
    info = await backend.describe(Describe(physical))
    if info is None or info.record is None:
        return None
    stored = StoredCollection.read(info.record, physical)
    if stored.foreign is not None:
        return None
    tenants = tuple(sorted(await backend.list_tenants(ListTenants(physical)))) if stored.namespaces else ()
    return _Generation(info, stored, tenants, await backend.count(Count(physical)))


def _require_kept(job: Conversion, each: _Generation) -> None:
    """Raise `Unsupported` for what the target cannot keep as it is."""
    can, name, info = job.after, each.info.physical, each.info
    if can.names.physical(each.stored.name, each.stored.generation) != name:
        raise Unsupported(f"the target cannot have a collection of the name {name!r}; copy it under another one")
    if can.max_vectors is not None and len(info.vectors) > can.max_vectors:
        raise Unsupported(f"collection {name!r} has {len(info.vectors)} vectors a record, and the target keeps fewer")
    if can.max_dimensions is not None and max(info.vectors.values()) > can.max_dimensions:
        raise Unsupported(f"collection {name!r} has vectors of more than {can.max_dimensions} dimensions")
    if each.stored.storage.value not in can.storage:
        raise Unsupported(f"collection {name!r} keeps vectors as {each.stored.storage}, which the target cannot")


async def _carry(job: Conversion, each: _Generation, done: int, total: int) -> int:
    """Make the collection, and fill it; returns how many records are carried now."""
    info, physical = each.info, each.info.physical
    assert info.record is not None  # noqa: S101 - it was read
    await job.target.backend.create(
        CreateExtended(
            physical,
            info.vectors,
            info.metric,
            each.stored.known_fields,
            info.record,
            tenants=each.stored.namespaces,
            storage=each.stored.storage,
        )
    )
    for tenant in (*each.tenants, None):
        target = job.target.backend if tenant is None else job.target.backend.of_tenant(tenant)
        async for page in _pages(job.source.backend, each, tenant):
            assert page.vectors is not None  # noqa: S101 - they were asked for
            if page.records:
                await target.write(Write(physical, page.records, page.vectors, each.stored.generation))
            done += len(page.records)
            if job.progress is not None:
                job.progress(CopyProgress(done, 0, total))
    for name in NOTES:
        text = await job.source.backend.read_note(ReadNote(physical, name))
        if text is not None:
            await job.target.backend.write_note(WriteNote(physical, name, text))
    return done


async def _carry_alias(job: Conversion, each: _Generation) -> None:
    before, after = (can.names.encode(each.stored.name) for can in (job.before, job.after))
    if await job.source.backend.resolve_alias(ResolveAlias(before)) == each.info.physical:
        await job.target.backend.set_alias(SetAlias(after, each.info.physical))


async def _pages(backend: Backend, each: _Generation, tenant: str | None) -> AsyncIterator[Batch]:
    """The records of a tenant; without one, those that are no tenant's."""
    physical = each.info.physical
    view = backend if tenant is None else backend.of_tenant(tenant)
    cursor: str | int | None = None
    while True:
        page = await view.scroll(Scroll(physical, None, PAGE, cursor, vectors=True))
        yield page if tenant is not None or not each.tenants else await _of_nobody(backend, each, page)
        cursor = page.cursor
        if cursor is None:
            return


async def _of_nobody(backend: Backend, each: _Generation, page: Batch) -> Batch:
    ids = [record.id for record in page.records]
    owned: set[str] = set()
    for tenant in each.tenants:
        found = await backend.of_tenant(tenant).fetch(Fetch(each.info.physical, ids, content=False))
        owned |= {record.id for record in found.records}
    chosen = [number for number, identity in enumerate(ids) if identity not in owned]
    vectors = {name: rows[chosen] for name, rows in (page.vectors or {}).items()}
    return Batch([page.records[number] for number in chosen], vectors, page.cursor)


async def _compare(job: Conversion, each: _Generation) -> None:
    """Raise `CollectionError` where the two do not have the same records of the same tenants."""
    exact = job.after.stores_exact
    for tenant in (*each.tenants, None):
        one, two = [await _digest(side.backend, each, tenant, exact) for side in (job.source, job.target)]
        if one != two:
            whose = f" of namespace {tenant!r}" if tenant is not None else ""
            raise CollectionError(
                f"collection {each.info.physical!r}: the records{whose} are not the same on both sides ({one[0]} "
                f"before, {two[0]} after): something else writes to the store, or it is damaged; close it "
                f"everywhere, and try again"
            )


async def _digest(backend: Backend, each: _Generation, tenant: str | None, exact: bool) -> tuple[int, int]:
    """How many records there are, and the sum of their digests, which does not depend on their order."""
    count, total = 0, 0
    async for page in _pages(backend, each, tenant):
        for number, record in enumerate(page.records):
            rows = [page.vectors[name][number].tobytes() for name in sorted(page.vectors)] if page.vectors else []
            total += _digest_of(record, rows if exact else [])
        count += len(page.records)
    return count, total % (1 << 128)


def _digest_of(record: Record, rows: Sequence[bytes]) -> int:
    told = [record.id, record.document_id, record.text, record.metadata, record.system]
    text = json.dumps(told, sort_keys=True, default=format_datetime)
    return int.from_bytes(hashlib.sha256(b"\0".join([text.encode(), *rows])).digest()[:16])

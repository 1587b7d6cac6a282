"""A whole store of one backend as a store of another: every collection with all that belongs to it, nothing embedded.

`survey` says what there is and whether all of it can be kept, `bring` writes it page by page, and `compare` reads both
stores once more, record by record. Where the new store lies, and from when on it counts, is the client's affair
(`nestvec._client.converting`).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from nestvec._collections import superseded, write_fence
from nestvec._collections.write_fence import GenerationPlace, WriteFence
from nestvec._hosts import note as canaries
from nestvec._migration import generations
from nestvec._migration.copy import TOLERANCE
from nestvec._migration.generations import MigrationNote
from nestvec._session.answers import pages
from nestvec._specs import StoredCollection
from nestvec.contract import (
    Batch,
    CollectionInfo,
    Count,
    Create,
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
from nestvec.errors import CollectionConflict, CollectionError, InvalidName, Unsupported
from nestvec.types import Record, Storage
from nestvec.values import format_datetime

if TYPE_CHECKING:
    from nestvec._session.session import Backend
    from nestvec.capabilities import BackendCapabilities
    from nestvec.types import FloatArray

#: The names of all notes that nestvec keeps beside a collection.
NOTES: Final = (write_fence.NOTE, superseded.NOTE, generations.NOTE, canaries.NOTE)
#: A page has at most so many records, and so many bytes of vectors.
_RECORDS: Final = 2048
_BYTES: Final = 8 * 1024 * 1024


class ConversionStage(StrEnum):
    """Where a conversion is; in this order.

    Attributes:
        CONVERTING: Records are written into the new store.
        COMPARING: Both stores are read, and compared record by record.
    """

    CONVERTING = "converting"
    COMPARING = "comparing"


@dataclass(frozen=True, slots=True)
class ConversionProgress:
    """How far a conversion is, after a page.

    Attributes:
        stage: Where it is.
        done, total: How many of all records this stage has done, of how many.
        collection: The physical collection that it is at.
    """

    stage: ConversionStage
    done: int
    total: int
    collection: str


@dataclass(frozen=True, slots=True)
class ConvertedCollection:
    """A physical collection that was converted.

    Attributes:
        physical: Its name, in both stores.
        name: The collection that it is a generation of.
        records: How many records it has.
        tenants: How many tenants they are of.
    """

    physical: str
    name: str
    records: int
    tenants: int


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What a conversion did. Every record was compared.

    Attributes:
        source, target: The two backends, by name.
        path: The new store.
        collections: What was converted, generations of one collection side by side.
        left_out: Collections of other programs, which stay in the old store alone.
        renamed: Whether migrations had noted the backend under its plugin's name, which is the new one's now: as it is
            without a configuration. A block of the configuration that is called so is to be renamed, too.
        replaced: What an interrupted conversion had left and this one removed; None: nothing.
    """

    source: str
    target: str
    path: str
    collections: tuple[ConvertedCollection, ...]
    left_out: tuple[str, ...] = ()
    renamed: bool = False
    replaced: str | None = None

    @property
    def records(self) -> int:
        """How many records were converted."""
        return sum(each.records for each in self.collections)

    @property
    def config(self) -> str:
        """What the backend's block of the configuration says from now on."""
        return f"use = {json.dumps(self.target)}\npath = {json.dumps(self.path, ensure_ascii=False)}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values.

        Returns:
            The fields by name, with `records` and `config`.

        Example:
            >>> nestvec.convert_store("store", "new", leave_foreign=True).to_dict()["target"]
            'embedded'
        """
        return {**asdict(self), "records": self.records, "config": self.config}


ConversionCallback: TypeAlias = Callable[[ConversionProgress], object]


@dataclass(frozen=True, slots=True)
class OpenStore:
    """One of the two stores: how it is asked, what it can do, its plugin's name and what errors call it."""

    backend: Backend
    capabilities: BackendCapabilities
    plugin: str
    place: str

    def of(self, tenant: str | None) -> Backend:
        """As a tenant sees it; None: as nobody in particular does."""
        return self.backend if tenant is None else self.backend.of_tenant(tenant)


@dataclass(frozen=True, slots=True)
class StoredWhole:
    """A physical collection and what belongs to it.

    `nobodys` is how many records are of no tenant; `renamed`, whether notes name the backend otherwise than they did.
    """

    info: CollectionInfo
    stored: StoredCollection
    notes: Mapping[str, str]
    tenants: Mapping[str, int]
    nobodys: int
    renamed: bool = False

    @property
    def physical(self) -> str:
        """Its name."""
        return self.info.physical

    @property
    def records(self) -> int:
        """How many it has."""
        return self.nobodys + sum(self.tenants.values())

    @property
    def owners(self) -> list[str | None]:
        """Whose records there are; None: nobody's."""
        return [*self.tenants, *([None] if self.nobodys else [])]

    def creation(self) -> Create:
        """The request that creates it anew."""
        fields = self.info.fields if self.info.fields is not None else self.stored.fields
        assert self.info.record is not None  # noqa: S101 - nestvec's own
        known = (self.physical, self.info.vectors, self.info.metric, fields, self.info.record, None)
        if not self.stored.namespaces and self.stored.storage is Storage.FLOAT32:
            return Create(*known)
        return CreateExtended(*known, self.stored.namespaces, self.stored.storage)


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that a store holds: what is to be converted, where aliases lead, and what other programs made."""

    collections: tuple[StoredWhole, ...]
    aliases: Mapping[str, str]
    foreign: tuple[str, ...]

    def report(self, source: OpenStore, target: OpenStore, path: str) -> ConversionReport:
        """What is told when all of it is converted."""
        done = (
            ConvertedCollection(each.physical, each.stored.name, each.records, len(each.tenants))
            for each in self.collections
        )
        renamed = any(each.renamed for each in self.collections)
        return ConversionReport(source.plugin, target.plugin, path, tuple(done), self.foreign, renamed)


class Advance:
    """Counts what a stage has done, and tells it."""

    def __init__(self, stage: ConversionStage, inventory: Inventory, heard: ConversionCallback | None) -> None:
        self._stage, self._heard = stage, heard
        self._done, self._total = 0, sum(each.records for each in inventory.collections)

    def __call__(self, records: int, physical: str) -> None:
        """So many more."""
        self._done += records
        if self._heard is not None:
            self._heard(ConversionProgress(self._stage, self._done, self._total, physical))


# ---------------------------------------------------------------- what there is


async def survey(source: OpenStore, target: BackendCapabilities, wanted: str, *, leave_foreign: bool) -> Inventory:
    """What the store holds. `target` and `wanted` are what the other backend can do, and its name.

    Raises `CollectionConflict` for collections that other programs made, unless they are left out, and `Unsupported`
    for what the other backend cannot keep.
    """
    own: list[tuple[CollectionInfo, StoredCollection]] = []
    foreign: list[str] = []
    for physical in sorted(await source.backend.list_collections(ListCollections())):
        info = await _described(source, physical)
        stored = StoredCollection.read(info.record, physical) if info is not None and info.record is not None else None
        if info is None or stored is None or stored.foreign is not None:
            foreign.append(physical)
        else:
            own.append((info, stored))
    if foreign and not leave_foreign:
        raise _foreign(source, foreign, wanted)
    _require_possible(source, own, target, wanted)
    found = tuple([await _read_whole(source, info, stored, wanted) for info, stored in own])
    return Inventory(found, await _aliases(source, found), tuple(foreign))


async def _described(source: OpenStore, physical: str) -> CollectionInfo | None:
    """The collection; None for one that nestvec cannot have made: it knows no such metric, or no such vectors."""
    try:
        return await source.backend.describe(Describe(physical))
    except (Unsupported, CollectionConflict):
        return None


def _foreign(source: OpenStore, names: Sequence[str], wanted: str) -> CollectionConflict:
    listed = ", ".join(map(repr, names))
    return CollectionConflict(
        f"{source.place} holds collections that other programs made ({listed}), and {wanted!r} keeps nestvec's own "
        f"alone; leave them out with --leave-foreign (leave_foreign=True), or bring what nestvec reads of them into "
        f"collections of its own first, with `nestvec copy`. Nothing was converted"
    )


def _require_possible(
    source: OpenStore, own: Sequence[tuple[CollectionInfo, StoredCollection]], target: BackendCapabilities, wanted: str
) -> None:
    problems = [
        f"collection {info.physical!r} {problem}"
        for info, stored in own
        for problem in _problems(info, stored, source.capabilities, target)
    ]
    if problems:
        raise Unsupported(
            f"backend {wanted!r} cannot keep what {source.place} holds: {'; '.join(problems)}. Choose another backend "
            f"(--to); nothing was converted"
        )


def _problems(
    info: CollectionInfo, stored: StoredCollection, source: BackendCapabilities, target: BackendCapabilities
) -> list[str]:
    """Why a backend cannot keep a collection, in a sentence without a subject for each reason."""
    longest, most = max(info.vectors.values(), default=0), target.max_vectors
    found = []
    if not _keeps_name(stored, info.physical, source, target):
        found.append("would have another name there")
    if target.max_dimensions is not None and longest > target.max_dimensions:
        found.append(f"has vectors of {longest} dimensions, and {target.max_dimensions} are the most")
    if most is not None and len(info.vectors) > most:
        found.append(f"has {len(info.vectors)} vectors for each record, and {most} are the most")
    elif len(info.vectors) > 1 and not target.funnels:
        found.append("is searched coarse to fine, which it cannot be there")
    if info.metric not in target.metrics:
        found.append(f"compares vectors by {info.metric.value}, which is not known there")
    if stored.storage.value not in target.storage:
        found.append(f"keeps vectors as {stored.storage.value}, which it cannot there")
    return found


def _keeps_name(
    stored: StoredCollection, physical: str, source: BackendCapabilities, target: BackendCapabilities
) -> bool:
    """Whether a generation, and the alias that leads to it, are called the same on both."""
    try:
        same = source.names.encode(stored.name) == target.names.encode(stored.name)
        numbers = [each.names.generation(stored.name, physical) for each in (source, target)]
    except InvalidName:
        return False
    return same and numbers[0] == numbers[1]


async def _read_whole(source: OpenStore, info: CollectionInfo, stored: StoredCollection, wanted: str) -> StoredWhole:
    physical, notes, renamed = info.physical, {}, False
    for name in NOTES:
        text = await source.backend.read_note(ReadNote(physical, name))
        if text is not None:
            notes[name] = _renamed(name, text, physical, source.plugin, wanted)
            renamed |= notes[name] != text
    tenants = {}
    for tenant in sorted(await source.backend.list_tenants(ListTenants(physical))):
        tenants[tenant] = await source.of(tenant).count(Count(physical))
    nobodys = await source.backend.count(Count(physical)) - sum(tenants.values())
    return StoredWhole(info, stored, notes, tenants, nobodys, renamed)


def _renamed(name: str, text: str, physical: str, old: str, new: str) -> str:
    """A note, with its places on the new backend where it names the old one.

    Without a configuration a backend is called as its plugin is; blocks have names of their own, which stay.
    """
    if name == write_fence.NOTE:
        fence = WriteFence.from_text(text, physical)
        if fence.to is not None and fence.to.backend == old:
            return replace(fence, to=GenerationPlace(new, fence.to.physical)).to_text()
    if name == generations.NOTE:
        note = MigrationNote.from_text(text, physical)
        if note.source.backend == old:
            return replace(note, source=GenerationPlace(new, note.source.physical)).to_text()
    return text


async def _aliases(source: OpenStore, found: Sequence[StoredWhole]) -> dict[str, str]:
    """Where the names of collections lead."""
    aliases = {}
    for name in {each.stored.name for each in found}:
        alias = source.capabilities.names.encode(name)
        physical = await source.backend.resolve_alias(ResolveAlias(alias))
        if physical is not None:
            aliases[alias] = physical
    return dict(sorted(aliases.items()))


# ---------------------------------------------------------------- writing it


async def bring(
    source: OpenStore, target: OpenStore, inventory: Inventory, heard: ConversionCallback | None = None
) -> None:
    """Write all of it into a store that holds nothing yet."""
    advance = Advance(ConversionStage.CONVERTING, inventory, heard)
    for each in inventory.collections:
        await target.backend.create(each.creation())
        for owner in each.owners:
            async for batch in _records(source, target, each, owner):
                assert batch.vectors is not None  # noqa: S101 - asked for
                await target.of(owner).write(Write(each.physical, batch.records, batch.vectors))
                advance(len(batch.records), each.physical)
        for name, text in each.notes.items():
            await target.backend.write_note(WriteNote(each.physical, name, text))
    for alias, physical in inventory.aliases.items():
        await target.backend.set_alias(SetAlias(alias, physical))


async def _records(source: OpenStore, target: OpenStore, each: StoredWhole, owner: str | None) -> AsyncIterator[Batch]:
    """An owner's records, page by page. What is in a page fits into one request to either store."""
    request = Scroll(each.physical, None, _page(each, source.capabilities, target.capabilities), vectors=True)
    async for batch in pages(source.of(owner), request):
        kept = batch if owner is not None else await _unowned(source, each, batch)
        if kept.records:
            yield kept


def _page(each: StoredWhole, source: BackendCapabilities, target: BackendCapabilities) -> int:
    limits = [source.max_limit, source.max_fetch_ids, target.max_fetch_ids, target.max_write_records]
    fitting = _BYTES // (4 * max(1, sum(each.info.vectors.values())))
    return max(1, min([_RECORDS, fitting, *(limit for limit in limits if limit is not None)]))


async def _unowned(source: OpenStore, each: StoredWhole, batch: Batch) -> Batch:
    """Without the records of tenants, which are seen where no tenant is named, too."""
    owned = set[str]()
    ids = [record.id for record in batch.records]
    for tenant in each.tenants if ids else ():
        there = await source.of(tenant).fetch(Fetch(each.physical, ids, content=False))
        owned |= {record.id for record in there.records}
    rows = [row for row, record in enumerate(batch.records) if record.id not in owned]
    vectors = batch.vectors and {name: matrix[rows] for name, matrix in batch.vectors.items()}
    return replace(batch, records=[batch.records[row] for row in rows], vectors=vectors)


# ---------------------------------------------------------------- comparing


async def compare(
    source: OpenStore, target: OpenStore, inventory: Inventory, heard: ConversionCallback | None = None
) -> None:
    """Read both stores and compare all that they hold. Raises `CollectionError` saying what differs."""
    advance = Advance(ConversionStage.COMPARING, inventory, heard)
    names = sorted(await target.backend.list_collections(ListCollections()))
    _require_same("the names of its collections", [each.physical for each in inventory.collections], names)
    for each in inventory.collections:
        await _compare_collection(target, each)
        for owner in each.owners:
            async for batch in _records(source, target, each, owner):
                await _compare_page(target, each, owner, batch)
                advance(len(batch.records), each.physical)
    for alias, physical in inventory.aliases.items():
        found = await target.backend.resolve_alias(ResolveAlias(alias))
        _require_same(f"where alias {alias!r} leads", physical, found)


async def _compare_collection(target: OpenStore, each: StoredWhole) -> None:
    """What is said of it, its notes, and how many records of whom there are."""
    physical, wanted = each.physical, each.creation()
    info = await target.backend.describe(Describe(physical))
    described = None if info is None else (dict(info.vectors), info.metric, _plain(info.record))
    expected = (dict(wanted.vectors), wanted.metric, _plain(wanted.record))
    _require_same(f"the description of collection {physical!r}", expected, described)
    for name in NOTES:
        text = await target.backend.read_note(ReadNote(physical, name))
        _require_same(f"note {name!r} of collection {physical!r}", each.notes.get(name), text)
    tenants = await target.backend.list_tenants(ListTenants(physical))
    with_records = [tenant for tenant, count in each.tenants.items() if count]
    _require_same(f"the tenants of collection {physical!r}", with_records, sorted(tenants))
    for tenant in with_records:
        count = await target.of(tenant).count(Count(physical))
        _require_same(f"the number of records of {tenant!r:.80} in {physical!r}", each.tenants[tenant], count)
    count = await target.backend.count(Count(physical))
    _require_same(f"the number of records in collection {physical!r}", each.records, count)


async def _compare_page(target: OpenStore, each: StoredWhole, owner: str | None, batch: Batch) -> None:
    there = await target.of(owner).fetch(Fetch(each.physical, [record.id for record in batch.records], vectors=True))
    rows = {record.id: row for row, record in enumerate(there.records)}
    assert batch.vectors is not None and there.vectors is not None  # noqa: S101, PT018 - asked for
    for row, record in enumerate(batch.records):
        what = f"record {record.id!r} of document {record.document_id!r:.80} in collection {each.physical!r}"
        other = rows.get(record.id)
        if other is None:
            raise _differing(f"{what} is missing")
        if _plain(record) != _plain(there.records[other]):
            raise _differing(f"{what} has another text, other metadata or other system fields")
        exact = target.capabilities.stores_exact
        if batch.vectors.keys() != there.vectors.keys() or not all(
            _same_vector(vectors[row], there.vectors[name][other], exact=exact)
            for name, vectors in batch.vectors.items()
        ):
            raise _differing(f"{what} has other vectors")


def _same_vector(one: FloatArray, two: FloatArray, *, exact: bool) -> bool:
    if exact:
        return one.tobytes() == two.tobytes()
    return one.shape == two.shape and bool(np.allclose(one, two, atol=TOLERANCE))


def _plain(value: Record | Mapping[str, Any] | None) -> str:
    """As JSON: numbers of other types differ, and the order of keys does not count."""
    if isinstance(value, Record):
        parts = [value.id, value.document_id, value.text, dict(value.metadata), dict(value.system)]
        return json.dumps(parts, default=_text, sort_keys=True)
    return json.dumps(value, default=_text, sort_keys=True)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return format_datetime(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _require_same(what: str, wanted: object, found: object) -> None:
    if wanted != found:
        raise _differing(f"{what} is not the same ({wanted!r:.200} became {found!r:.200})")


def _differing(what: str) -> CollectionError:
    return CollectionError(
        f"the new store is not what the old one is: {what}. It was removed, and the old one is as it was. Convert "
        f"while nobody writes to it; if nobody did, the target backend cannot keep this"
    )

"""Plan and apply: the difference between what a configuration says and what a database holds.

Nothing here ever drops or recreates a collection. What cannot be changed in place is a conflict. What adopting a
foreign collection means stands in `nestvec._collections.adopt`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from nestvec._chunking import EMPTY, GIVEN
from nestvec._collections import adopt as adoption
from nestvec._collections.checks import require_origin
from nestvec._collections.differences import Difference, differences, storage_change
from nestvec._collections.intents import find_intents
from nestvec._collections.opening import HEADS, OpenCollection, locate
from nestvec._collections.superseded import advice, superseding_spec
from nestvec._collections.write_fence import FenceState, WriteFence, moved, read_fence
from nestvec._specs import CollectionSpec, StoredCollection
from nestvec.capabilities import BackendCapabilities, Freshness, Power, TaskPair
from nestvec.contract import (
    Adopt,
    CollectionInfo,
    Count,
    Describe,
    Event,
    ListCollections,
    ResolveAlias,
    SetAlias,
    Update,
)
from nestvec.errors import CollectionConflict, SpaceError
from nestvec.filters import system
from nestvec.types import FieldType, Storage

Action: TypeAlias = Literal["create", "update", "adopt", "migrate", "conflict", "none"]


@dataclass(frozen=True, slots=True)
class Change:
    """What applying would do to one collection, or did.

    Attributes:
        collection: Its name.
        action: "create", "update", "adopt", "migrate", "conflict" or "none".
        details: Sentences for people.
    """

    collection: str
    action: Action
    details: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, as printed by `nestvec plan --json`.

        Returns:
            The fields by name.

        Example:
            >>> nv.plan("docs")[0].to_dict()
            {'collection': 'docs', 'action': 'none', 'details': []}
        """
        return {"collection": self.collection, "action": self.action, "details": list(self.details)}


@dataclass(frozen=True, slots=True)
class Status:
    """What is there. Everything but the first three is None for a collection that does not exist.

    Attributes:
        collection, backend: Its name, and its backend's in the configuration.
        change: What `apply` would do.
        physical, generation: The physical collection that its name leads to, and its number.
        space: The fingerprint of its embedding space.
        tasks: What its texts and its questions are embedded for.
        documents, chunks: How many there are.
        outdated: Documents that still have an earlier chunking; ingesting them again brings them up to date.
        leftovers: Documents that a writer was at work on when it died, and which nobody has put in order since;
            `repair` does. None where only one process writes.
    """

    collection: str
    backend: str
    change: Change
    physical: str | None = None
    generation: int | None = None
    space: str | None = None
    tasks: TaskPair | None = None
    documents: int | None = None
    chunks: int | None = None
    outdated: int | None = None
    leftovers: int | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """A spec beside what is there. `fence` is what a migration has put on it."""

    collection: OpenCollection
    change: Change
    info: CollectionInfo | None
    fence: WriteFence | None = None

    @property
    def moved(self) -> bool:
        """Whether nobody reads or writes it any more."""
        return self.fence is not None and self.fence.state is FenceState.MOVED

    @property
    def usable(self) -> bool:
        """Whether handles can bind to it."""
        return self.info is not None and self.change.action in ("update", "none")


async def apply(collection: OpenCollection) -> Change:
    """Create or update. Raises `CollectionConflict`, having changed nothing, where that is impossible."""
    return await carry_out(await compare(collection))


async def carry_out(compared: Compared) -> Change:
    """Do what a comparison found; a migration is no business of this. Raises as `apply` does."""
    collection, change, info = compared.collection, compared.change, compared.info
    spec = collection.spec
    if change.action == "conflict":
        raise CollectionConflict(
            f"collection {spec.name!r} cannot be brought to what the configuration says:\n  "
            + "\n  ".join(change.details)
            + "\nNothing was changed."
        )
    if change.action == "create":
        await _create(collection)
    if change.action == "adopt" and info is not None:
        await adoption.adopt(collection, info)
    if change.action == "update" and info is not None:
        await _update(collection, info)
        collection.session.emit(Event("collection_updated", spec.name, {"details": list(change.details)}))
    if change.action != "none":
        collection.state.forget()
    return change


async def measure(compared: Compared) -> Status:
    """What is there, counted. In a collection with namespaces, all of them together."""
    collection, spec, info = compared.collection, compared.collection.spec, compared.info
    known = Status(spec.name, spec.backend, compared.change)
    if info is None:
        return known
    known = replace(known, physical=info.physical)
    try:
        stored = StoredCollection.read(info.record, info.physical)
    except SpaceError:
        return known
    space = stored.space
    known = replace(known, space=space.fingerprint, tasks=TaskPair(space.index_task, space.query_task))
    chunks = await collection.records.count(Count(info.physical))
    if spec.foreign is not None:
        return replace(known, documents=chunks, chunks=chunks, outdated=0)
    documents = await collection.records.count(Count(info.physical, HEADS))
    layout = system("layout", FieldType.KEYWORD)
    old = ~layout.in_([spec.layout, GIVEN, EMPTY])  # what came split is not split in any other way
    outdated = await collection.records.count(Count(info.physical, HEADS & old))
    known = replace(known, generation=stored.generation, documents=documents, chunks=chunks, outdated=outdated)
    return replace(known, leftovers=await _leftovers(collection, info.physical)) if collection.shared else known


async def _leftovers(collection: OpenCollection, physical: str) -> int:
    """How many documents dead writers speak of: a cheap look, at intents alone."""
    now, lease = collection.state.wall(), collection.state.lease
    intents = await find_intents(collection.intents, physical)
    return len({name for each in intents if each.over(now, lease) for name in each.documents})


async def compare(collection: OpenCollection) -> Compared:
    """Compare the spec with the database. Reads only. A collection that was shrunk is compared as what it is now."""
    spec = collection.spec
    if spec.foreign is not None:
        change, info = await _compare_foreign(collection)
        return Compared(collection, change, info)
    physical = await collection.backend.resolve_alias(ResolveAlias(collection.state.alias))
    info = await collection.backend.describe(Describe(physical or collection.state.alias))
    if info is None:
        return Compared(collection, Change(spec.name, "create", _description(spec, collection.capabilities)), None)
    if physical is None:
        return Compared(collection, Change(spec.name, "conflict", (_foreign(spec, collection.state.alias),)), info)
    try:
        stored = StoredCollection.read(info.record, physical)
        require_origin(spec, stored)
    except (SpaceError, CollectionConflict) as error:
        return Compared(collection, Change(spec.name, "conflict", (str(error),)), info)
    fence = await read_fence(collection.backend, physical)
    if fence is not None and fence.state is FenceState.MOVED:
        reason = str(moved(spec.name, physical, fence))
        return Compared(collection, Change(spec.name, "conflict", (reason,)), info, fence)
    return await _compare_own(collection, info, stored, fence)


async def _compare_own(
    collection: OpenCollection, info: CollectionInfo, stored: StoredCollection, fence: WriteFence | None
) -> Compared:
    shrunk = await superseding_spec(collection, stored, info.physical)
    told = _late(collection.capabilities)
    told += (advice(collection.spec, stored),) if shrunk is not None else ()
    if shrunk is not None:
        collection = collection.knowing(replace(collection.state, spec=shrunk, target=None, admission=None))
    spec = collection.spec
    found = differences(spec, info, stored, collection.capabilities)
    conflicts = _conflicts(spec, found)
    if conflicts:
        return Compared(collection, Change(spec.name, "conflict", (*told, *conflicts)), info, fence)
    updates = tuple(each.sentence for each in found)
    return Compared(collection, Change(spec.name, "update" if updates else "none", (*updates, *told)), info, fence)


async def _compare_foreign(collection: OpenCollection) -> tuple[Change, CollectionInfo | None]:
    spec = collection.spec
    try:
        _, info = await locate(collection)
        if info is None:
            return Change(spec.name, "conflict", await adoption.missing(collection)), None
        if info.record is None:
            details, conflicts = await adoption.describe(collection, info)
            return Change(spec.name, "conflict" if conflicts else "adopt", conflicts or details), info
        stored = StoredCollection.read(info.record, info.physical)
        require_origin(spec, stored)
    except (SpaceError, CollectionConflict) as error:
        return Change(spec.name, "conflict", (str(error),)), None
    conflicts = _conflicts(spec, differences(spec, info, stored, collection.capabilities))
    if conflicts:
        return Change(spec.name, "conflict", conflicts), info
    changed = info.record != spec.record(1)
    details, conflicts = await adoption.describe(collection, info) if changed else ((), ())
    action: Action = "conflict" if conflicts else "update" if changed else "none"
    return Change(spec.name, action, conflicts or (("the mapping changed",) if changed else ())), info


async def _update(collection: OpenCollection, info: CollectionInfo) -> None:
    spec = collection.spec
    if spec.foreign is not None:
        await collection.backend.adopt(Adopt(info.physical, spec.foreign, spec.record(1)))
        return
    stored = StoredCollection.read(info.record, info.physical)
    change = storage_change(spec, info, stored)
    record = spec.record(stored.generation, stored)
    await collection.backend.update(
        Update(info.physical, spec.fields, record, spec.storage if change is not None else None)
    )


def _description(spec: CollectionSpec, can: BackendCapabilities) -> tuple[str, ...]:
    space = spec.space
    tasks = f"tasks {space.index_task} / {space.query_task}" if space.index_task or space.query_task else "no tasks"
    fields = [f"{name} ({kind}{_from(spec, name)})" for name, kind in spec.fields.items()]
    fields += ["whatever else there is"] if spec.open_fields else []
    cost = late_cost(spec)
    return (
        f"{space.dimensions} dimensions, {spec.metric.value}, {space.model}, {tasks}",
        f"fields: {', '.join(fields) or 'none'}",
        *([f"storage: {spec.storage}"] if spec.storage is not Storage.FLOAT32 else []),
        *([f"funnel: candidates by prefixes of {_listed(spec.funnel)} dimensions"] if spec.funnel else []),
        *([cost] if cost else []),
        *_late(can),
    )


def _late(can: BackendCapabilities) -> tuple[str, ...]:
    """A warning where nobody can tell when searches find what was written."""
    if can.fresh is not Freshness.UNCERTAIN:
        return ()
    why = can.why_not.get(Power.SETTLING)
    return ("searches may miss what was just written, and nobody can tell for how long" + (f": {why}" if why else ""),)


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))


def late_cost(spec: CollectionSpec) -> str | None:
    """What late chunking costs under the embedder's quota, in a sentence; None where it costs nothing more."""
    limit = spec.model.requests_per_minute
    if not spec.space.late_chunking or limit is None:
        return None
    return (
        f"late chunking: at least one request a document; {limit:,} requests a minute are {limit * 60:,} documents "
        f"an hour at most"
    )


def _foreign(spec: CollectionSpec, alias: str) -> str:
    return (
        f"backend {spec.backend!r} already has a collection {alias!r} that is not nestvec's; "
        f"choose another collection name, or adopt it (adopt = true) to read it as it is"
    )


def _conflicts(spec: CollectionSpec, found: Sequence[Difference]) -> tuple[str, ...]:
    """What cannot be changed in place, in sentences, and the ways out."""
    told = [each.sentence for each in found if not each.in_place]
    if not told:
        return ()
    stays = spec.foreign is not None or any(each.what == "namespaces" for each in found)
    migrate = "" if stays else f"migrate it (nestvec migrate {spec.name}), "  # not even a migration changes namespaces
    return (*told, f"set the configuration back, {migrate}or give the new settings a collection name of their own")


async def _create(collection: OpenCollection) -> None:
    """Create the next generation and let the alias lead to it. Completes what an interrupted apply began."""
    spec, rules = collection.spec, collection.capabilities.names
    existing = await collection.backend.list_collections(ListCollections())
    taken = [number for name in existing if (number := rules.generation(spec.name, name)) is not None]
    generation = await _unfinished(collection, taken)
    if generation is None:
        generation = max(taken, default=0) + 1
    physical = rules.physical(spec.name, generation)
    await collection.backend.create(spec.creation(physical, spec.record(generation)))
    await collection.backend.set_alias(SetAlias(collection.state.alias, physical))
    collection.session.emit(Event("collection_created", spec.name, {"physical": physical}))


async def _unfinished(collection: OpenCollection, taken: Sequence[int]) -> int | None:
    """A generation of exactly this spec that an interrupted apply created but did not point to."""
    spec, rules = collection.spec, collection.capabilities.names
    for number in sorted(taken, reverse=True):
        info = await collection.backend.describe(Describe(rules.physical(spec.name, number)))
        if info is not None and info.record == spec.record(number) and dict(info.vectors) == spec.vectors:
            return number
    return None


def _from(spec: CollectionSpec, name: str) -> str:
    return f", from {spec.paths[name]}" if name in spec.paths else ""

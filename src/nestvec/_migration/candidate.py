"""The generation that a migration fills: made, found again, or one that was gone back from."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nestvec._collections.opening import OpenCollection, Target
from nestvec._collections.write_fence import Gate, Place, State, read_fence
from nestvec._migration.generations import SHADOW, Generation, Journal, Standing, read_journal, write_journal
from nestvec._migration.report import Stage
from nestvec._specs import StoredCollection
from nestvec.contract import Create, Describe, ListCollections, ResolveAlias, WriteNote
from nestvec.errors import CollectionConflict

if TYPE_CHECKING:
    from nestvec._specs import CollectionSpec


@dataclass(frozen=True, slots=True)
class Shadow:
    """Where a migration goes. `used`: it was live once. `closed`: its gate says that it moved."""

    place: Place
    collection: OpenCollection
    journal: Journal
    used: bool = False
    closed: bool = False

    @property
    def physical(self) -> str:
        """Its name on its backend."""
        return self.place.physical


def pinned(collection: OpenCollection, physical: str, stored: StoredCollection) -> OpenCollection:
    """A collection that never asks where its pointer leads, nor whether a gate is open: for whoever migrates."""
    return replace(collection, target=Target(physical, stored, math.inf), standing=None)


def guarded(shadow: Shadow, source: OpenCollection, held_by_us: Callable[[], tuple[Gate, ...]]) -> OpenCollection:
    """Its collection, for passes: it holds for a lease, and then again if nobody else switches to it, or has done so.

    Another process may go on with the same migration, or have removed its generation and made one of that name for
    something else. Whoever switches raises a fence and waits longer than a lease; so nobody brings anything over any
    more when what he writes to is in use.
    """
    collection = shadow.collection
    target = collection.state.target
    assert target is not None  # noqa: S101 - it is pinned

    async def look() -> Target:
        asked_at, wall = collection.clock(), collection.wall()
        await _require_ours(shadow, source, held_by_us(), wall)
        return replace(target, until=asked_at + collection.state.lease)

    return replace(collection, target=None, look=look)


async def _require_ours(shadow: Shadow, source: OpenCollection, ours: tuple[Gate, ...], wall: float) -> None:
    """Raise `CollectionConflict` where another process holds the source's gate, or the shadow is live."""
    origin = source.state.target
    assert origin is not None  # noqa: S101 - it is pinned
    held: Gate | None = await read_fence(origin.physical)  # type: ignore[misc]  # says where it goes
    journal = await read_journal(shadow.physical)
    others = journal is None or journal.id != shadow.journal.id  # or it was removed, and made anew for something else
    live = await is_live(shadow)
    if live or others or (held is not None and held not in ours and held.holds_up(wall)):
        raise CollectionConflict(
            f"collection {source.spec.name!r} is being switched to {shadow.place}, or to another place, by another "
            f"process: two migrations of one collection cannot run at once. This one stops, and has switched nothing; "
            f"run it again when the other one has ended"
        )


async def is_live(shadow: Shadow) -> bool:
    """Whether the collection's name leads to it, and its gate does not say that it moved away."""
    pointed = await collection.backend.resolve_alias(ResolveAlias(shadow.collection.alias))
    return pointed == shadow.physical and not _moved((await read_fence(shadow.physical)))


def _moved(gate: Gate | None) -> bool:
    return gate is not None and gate.state is State.MOVED


async def prepare(
    wanted: OpenCollection,
    source: Place,
    stored: StoredCollection,
    chosen: Generation | None,
    notes: Mapping[str, str],
    *,
    back: bool = False,
) -> Shadow:
    """Make the next generation, or go on with the one that was chosen. `stored` is what the source's record says.

    Raises `CollectionConflict` where the backend could not let the collection's name lead to it, and where another
    process has just made it for something else.
    """
    await _require_name(wanted)
    if chosen is None or chosen.standing is Standing.SHADOW:
        number = chosen.number if chosen is not None else (await _next(wanted))
        shadow = await _make(wanted, number, source, stored, chosen.journal if chosen is not None else None)
    else:
        shadow = await _reuse(wanted, source, chosen, back=back)
    for name, text in notes.items():
        await collection.backend.write_note(WriteNote(shadow.physical, name, text))
    return shadow


async def _require_name(wanted: OpenCollection) -> None:
    """Before anything is brought over in vain: does a collection of somebody else's have the name?"""
    pointed = await collection.backend.resolve_alias(ResolveAlias(wanted.pointer))
    if pointed is None and (await collection.backend.describe(Describe(wanted.pointer))) is not None:
        raise CollectionConflict(
            f"backend {wanted.spec.backend!r} already has a collection {wanted.pointer!r} that is not nestvec's, so "
            f"{wanted.spec.name!r} cannot go there; rename or drop that one, or choose another backend. Nothing was "
            f"changed"
        )


async def _next(wanted: OpenCollection) -> int:
    """A number that no collection has, whoever made it."""
    spec, rules = wanted.spec, wanted.capabilities.names
    existing = await collection.backend.list_collections(ListCollections())
    return (
        max((number for name in existing if (number := rules.generation(spec.name, name)) is not None), default=0) + 1
    )


async def _make(
    wanted: OpenCollection, number: int, source: Place, stored: StoredCollection, journal: Journal | None
) -> Shadow:
    """Create it, or complete what an interrupted run created: `Create` may be repeated."""
    spec = wanted.spec
    physical = wanted.capabilities.names.physical(spec.name, number)
    record = spec.record(number, stored.known_fields) | {SHADOW: True}
    yield _creation(spec, physical, record)
    info = await collection.backend.describe(Describe(physical))
    if info is not None and info.record != record:
        raise _other_wish(spec, physical)
    if journal is None:
        journal = await read_journal(physical)  # of the same migration, begun at the same moment
    if journal is None or journal.source != source:
        journal = await _begin(wanted, physical, source)
    collection = pinned(wanted, physical, StoredCollection.read(record, physical))
    return Shadow(Place(spec.backend, physical), collection, journal)


def _other_wish(spec: CollectionSpec, physical: str) -> CollectionConflict:
    return CollectionConflict(
        f"collection {spec.name!r}: another process made {physical!r} at the same moment, for something else: two "
        f"migrations of one collection cannot run at once. This one stops, and has switched nothing; run it again "
        f"when the other one has ended"
    )


def _creation(spec: CollectionSpec, physical: str, record: dict[str, object]) -> Create:
    return Create(physical, spec.vectors, spec.metric, spec.fields, record, spec.namespaces, spec.options, spec.storage)


async def _reuse(wanted: OpenCollection, source: Place, chosen: Generation, *, back: bool) -> Shadow:
    """One that was live before: a pass brings what it lacks. Its journal now leads to where the pointer is."""
    physical, journal = chosen.place.physical, chosen.journal
    if journal is None or journal.source != source or journal.stage is Stage.DONE:
        journal = await _begin(wanted, physical, source, back=back)
    stored = StoredCollection.read(chosen.info.record, physical)
    return Shadow(chosen.place, pinned(wanted, physical, stored), journal, used=True, closed=_moved(chosen.gate))


async def _begin(wanted: OpenCollection, physical: str, source: Place, *, back: bool = False) -> Journal:
    return await write_journal(physical, Journal(uuid.uuid4().hex, source, started=wanted.wall(), back=back))

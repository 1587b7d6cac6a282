"""The generation that a migration fills: made, found again, or one that was gone back from."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nestvec._collections.opening import OpenCollection, Target
from nestvec._collections.write_fence import FenceState, GenerationPlace, WriteFence, read_fence
from nestvec._migration.generations import (
    CANDIDATE_MARK,
    Generation,
    GenerationRole,
    MigrationNote,
    next_number,
    read_note,
    write_note,
)
from nestvec._specs import StoredCollection
from nestvec.contract import Describe, ResolveAlias, WriteNote
from nestvec.errors import CollectionConflict

if TYPE_CHECKING:
    from nestvec._migration.report import MigrationStage
    from nestvec._specs import CollectionSpec


@dataclass(frozen=True, slots=True)
class CandidateGeneration:
    """Where a migration goes. `used`: it was live once. `closed`: its fence says that it moved."""

    place: GenerationPlace
    collection: OpenCollection
    note: MigrationNote
    used: bool = False
    closed: bool = False

    @property
    def physical(self) -> str:
        """Its name on its backend."""
        return self.place.physical

    async def reach(self, stage: MigrationStage) -> None:
        """Note how far the migration is."""
        await write_note(self.collection.backend, self.physical, self.note, stage=stage)

    async def is_live(self) -> bool:
        """Whether the collection's name leads to it, and its fence does not say that it moved away."""
        backend = self.collection.backend
        aliased = await backend.resolve_alias(ResolveAlias(self.collection.state.alias))
        if aliased != self.physical:
            return False
        fence = await read_fence(backend, self.physical)
        return fence is None or fence.state is not FenceState.MOVED


def pinned(collection: OpenCollection, physical: str, stored: StoredCollection) -> OpenCollection:
    """A collection that never asks where its alias leads, nor whether a fence is up: for whoever migrates."""
    target = Target(physical, stored, math.inf)
    return collection.knowing(replace(collection.state, target=target, admission=None))


def guarded(
    candidate: CandidateGeneration, source: OpenCollection, held_by_us: Callable[[], tuple[WriteFence, ...]]
) -> OpenCollection:
    """Its collection, for passes: it holds for a lease, and then again if nobody else switches to it, or has done so.

    Another process may go on with the same migration, or have removed its generation and made one of that name for
    something else. Whoever switches raises a fence and waits longer than a lease; so nobody brings anything over any
    more when what he writes to is in use.
    """
    collection = candidate.collection
    state, target = collection.state, collection.state.target
    assert target is not None  # noqa: S101 - it is pinned

    async def look() -> Target:
        asked_at, wall = state.clock(), state.wall()
        await _require_ours(candidate, source, held_by_us(), wall)
        return replace(target, until=asked_at + state.lease)

    return replace(collection.knowing(replace(state, target=None)), look=look)


async def _require_ours(
    candidate: CandidateGeneration, source: OpenCollection, ours: tuple[WriteFence, ...], wall: float
) -> None:
    """Raise `CollectionConflict` where another process holds the source's fence, or the candidate is live."""
    origin = source.state.target
    assert origin is not None  # noqa: S101 - it is pinned
    held = await read_fence(source.backend, origin.physical)
    note = await read_note(candidate.collection.backend, candidate.physical)
    others = note is None or note.id != candidate.note.id  # or it was removed, and made anew for something else
    live = await candidate.is_live()
    if live or others or (held is not None and held not in ours and held.holds_up(wall)):
        raise CollectionConflict(
            f"collection {source.spec.name!r} is being switched to {candidate.place}, or to another place, by another "
            f"process: two migrations of one collection cannot run at once. This one stops, and has switched nothing; "
            f"run it again when the other one has ended"
        )


async def prepare_candidate(
    wanted: OpenCollection,
    source: GenerationPlace,
    stored: StoredCollection,
    chosen: Generation | None,
    notes: Mapping[str, str],
    *,
    back: bool = False,
) -> CandidateGeneration:
    """Make the next generation, or go on with the one that was chosen. `stored` is what the source's record says.

    Raises `CollectionConflict` where the backend could not let the collection's name lead to it, and where another
    process has just made it for something else.
    """
    await _require_name(wanted)
    if chosen is None or chosen.role is GenerationRole.CANDIDATE:
        number = chosen.number if chosen is not None else await next_number(wanted)
        candidate = await _make(wanted, number, source, stored, chosen.note if chosen is not None else None)
    else:
        candidate = await _reuse(wanted, source, chosen, back=back)
    for name, text in notes.items():
        await wanted.backend.write_note(WriteNote(candidate.physical, name, text))
    return candidate


async def _require_name(wanted: OpenCollection) -> None:
    """Before anything is brought over in vain: does a collection of somebody else's have the name?"""
    alias = wanted.state.alias
    aliased = await wanted.backend.resolve_alias(ResolveAlias(alias))
    if aliased is None and await wanted.backend.describe(Describe(alias)) is not None:
        raise CollectionConflict(
            f"backend {wanted.spec.backend!r} already has a collection {alias!r} that is not nestvec's, so "
            f"{wanted.spec.name!r} cannot go there; rename or drop that one, or choose another backend. Nothing was "
            f"changed"
        )


async def _make(
    wanted: OpenCollection, number: int, source: GenerationPlace, stored: StoredCollection, note: MigrationNote | None
) -> CandidateGeneration:
    """Create it, or complete what an interrupted run created: creating may be repeated."""
    spec, backend = wanted.spec, wanted.backend
    physical = wanted.capabilities.names.physical(spec.name, number)
    record = spec.record(number, stored) | {CANDIDATE_MARK: True}
    await backend.create(spec.creation(physical, record))
    info = await backend.describe(Describe(physical))
    if info is not None and info.record != record:
        raise _made_for_something_else(spec, physical)
    if note is None:
        note = await read_note(backend, physical)  # of the same migration, begun at the same moment
    if note is None or note.source != source:
        note = await _begin(wanted, physical, source)
    collection = pinned(wanted, physical, StoredCollection.read(record, physical))
    return CandidateGeneration(GenerationPlace(spec.backend, physical), collection, note)


def _made_for_something_else(spec: CollectionSpec, physical: str) -> CollectionConflict:
    return CollectionConflict(
        f"collection {spec.name!r}: another process made {physical!r} at the same moment, for something else: two "
        f"migrations of one collection cannot run at once. This one stops, and has switched nothing; run it again "
        f"when the other one has ended"
    )


async def _reuse(
    wanted: OpenCollection, source: GenerationPlace, chosen: Generation, *, back: bool
) -> CandidateGeneration:
    """One that was live before: a pass brings what it lacks. Its note now leads to where the alias is."""
    physical, note = chosen.place.physical, chosen.note
    if note is None or note.source != source or note.done:
        note = await _begin(wanted, physical, source, back=back)
    stored = StoredCollection.read(chosen.info.record, physical)
    collection = pinned(wanted, physical, stored)
    return CandidateGeneration(chosen.place, collection, note, used=True, closed=chosen.moved)


async def _begin(
    wanted: OpenCollection, physical: str, source: GenerationPlace, *, back: bool = False
) -> MigrationNote:
    note = MigrationNote(uuid.uuid4().hex, source, started=wanted.state.wall(), back=back)
    return await write_note(wanted.backend, physical, note)

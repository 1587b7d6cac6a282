"""The generations of a collection, told; and the removal of those that nobody needs any more, on demand only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nestvec._collections.checks import require_own
from nestvec._collections.write_fence import FenceState, GenerationPlace, drain
from nestvec._migration.generations import (
    CollectionLocations,
    Generation,
    GenerationRole,
    Generations,
    find_generations,
    read_generation,
)
from nestvec.contract import Count, Drop, DropAlias, Event, ResolveAlias
from nestvec.errors import CollectionConflict, CollectionNotFound, InvalidInput

if TYPE_CHECKING:
    from nestvec._collections.opening import OpenCollection


@dataclass(frozen=True, slots=True)
class GenerationStatus:
    """A generation of a collection, as found.

    Attributes:
        collection, backend: The collection's name, and the backend's in the configuration.
        physical, generation: The physical collection, and its number.
        role: Whether it is live, a candidate or retired.
        space, dimensions, model, storage: What it holds; None where its record cannot be read.
        chunks: How many there are.
        created_from: The generation that a migration made it from; None: `apply` made it.
        since: When it became live, was left, or was begun; None where that is not known.
    """

    collection: str
    backend: str
    physical: str
    generation: int
    role: GenerationRole
    space: str | None
    dimensions: int | None
    model: str | None
    storage: str | None
    chunks: int
    created_from: GenerationPlace | None = None
    since: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values.

        Returns:
            The fields by name; `since` in ISO 8601, UTC.

        Example:
            >>> nv.generations("docs")[0].to_dict()["role"]
            'live'
        """
        since = None if self.since is None else self.since.isoformat(timespec="seconds")
        return {**asdict(self), "role": self.role.value, "since": since}


@dataclass(frozen=True, slots=True)
class Removal:
    """What cleaning up did with a generation, or would do.

    Attributes:
        generation: The generation.
        removed: Whether it is gone, or would be.
        reason: Why it goes, or stays.
    """

    generation: GenerationStatus
    removed: bool
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values.

        Returns:
            The fields of its generation by name, `removed` and `reason`.

        Example:
            >>> report = nv.shrink("docs", 64)
            >>> nv.cleanup("docs", dry=True)[0].to_dict()["removed"]
            False
        """
        return {**self.generation.to_dict(), "removed": self.removed, "reason": self.reason}


async def statuses(locations: CollectionLocations) -> list[GenerationStatus]:
    """All generations, those on the backend where the collection was before first, oldest first."""
    found = await _look(locations)
    return [status for each in in_order(locations, found.all) for status in await status_of(locations, found, each)]


async def cleanup(
    locations: CollectionLocations,
    *,
    number: int | None = None,
    among: Iterable[GenerationStatus] | None = None,
    dry: bool = False,
) -> list[Removal]:
    """Remove retired generations, and candidates of migrations that cannot go on: the live one is another by now.

    With `number`, that generation alone, also if a migration to it has begun. With `among`, no others than these, such
    as a dry run told of. `dry`: say what would be removed. The live one is never removed, and none without a live one.
    One that was left less than a lease ago stays, for readers may still be on it. Raises `CollectionNotFound` without a
    live one, `InvalidInput` for a number that there is not, `CollectionConflict` for that of the live one, and where a
    migration holds a fence.
    """
    found = await _look(locations)
    if not found.live:
        raise _nothing_live(locations)
    chosen = _chosen(locations, found, number)
    if among is not None:
        agreed = {GenerationPlace(each.backend, each.physical) for each in among}
        chosen = [each for each in chosen if each.place in agreed]
    return [
        await _tidy(locations, found, each, status, named=number is not None, dry=dry)
        for each in chosen
        for status in await status_of(locations, found, each)
    ]


async def _tidy(
    locations: CollectionLocations,
    found: Generations,
    each: Generation,
    status: GenerationStatus,
    *,
    named: bool,
    dry: bool,
) -> Removal:
    verdict = _verdict(locations, found, each, locations.wanted.state.wall(), named=named)
    gone = verdict.removed
    if gone and not dry:
        gone = await remove(locations.at(each.place.backend), each)
    return Removal(status, gone, verdict.reason if gone or not verdict.removed else CHANGED)


CHANGED = "it changed meanwhile; look again"


async def _look(locations: CollectionLocations) -> Generations:
    """Raises `Unsupported` for an adopted collection, which has none."""
    require_own(locations.wanted.spec, "have generations of it")
    return await find_generations(locations)


def in_order(locations: CollectionLocations, generations: Iterable[Generation]) -> list[Generation]:
    """In the order in which they are told: those on the backend where the collection was before first."""
    return sorted(generations, key=lambda each: each.place.backend == locations.wanted.spec.backend)


def _nothing_live(locations: CollectionLocations) -> CollectionNotFound:
    spec = locations.wanted.spec
    backends = " and ".join(repr(collection.spec.backend) for collection in locations)
    hint = (
        ""
        if locations.previous is not None
        else f"; if it is on another backend, say so: [collections.{spec.name}.previous] with its backend"
    )
    return CollectionNotFound(
        f"no generation of collection {spec.name!r} is live on backend {backends}; create it with `nestvec apply`{hint}"
    )


def _chosen(locations: CollectionLocations, found: Generations, number: int | None) -> list[Generation]:
    name, others = locations.wanted.spec.name, in_order(locations, found.others)
    if number is None:
        return others
    chosen = [each for each in others if each.number == number]
    if chosen:
        return chosen
    if any(each.number == number for each in found.live):
        raise CollectionConflict(
            f"generation {number} of collection {name!r} is live: it is never removed; nothing was changed"
        )
    known = ", ".join(sorted({str(each.number) for each in others})) or "none"
    raise InvalidInput(f"collection {name!r} has no generation {number}; besides the live one it has: {known}")


@dataclass(frozen=True, slots=True)
class _Verdict:
    removed: bool
    reason: str


def _verdict(
    locations: CollectionLocations, found: Generations, each: Generation, wall: float, *, named: bool
) -> _Verdict:
    """Whether a generation that is not live may go."""
    require_no_switch(locations, found, wall)
    if each.stored is None:
        return _Verdict(
            removed=False,
            reason="its record cannot be read, so nobody knows what it is; if it may go, drop it with the backend's "
            "own means",
        )
    if is_under_way(found, each) and not named:
        return _Verdict(
            removed=False,
            reason="a migration to it is under way, or was interrupted and goes on with it when it is run again; to "
            f"remove it, name it: --generation {each.number}",
        )
    if is_to_be_ended(found, each):
        return _Verdict(
            removed=False,
            reason="the switch from it was interrupted: run the same command again (migrate, shrink or rollback)",
        )
    if each.role is GenerationRole.CANDIDATE:
        return _Verdict(removed=True, reason="a migration was broken off here")
    free = _free(locations, found, each)
    if free is not None and wall < free:
        until = _moment(free).isoformat(timespec="seconds")
        return _Verdict(removed=False, reason=f"readers may still be on it until {until}")
    return _Verdict(removed=True, reason="retired")


def is_under_way(found: Generations, each: Generation) -> bool:
    """Whether a migration of the live generation to this one, or back to it, has begun."""
    return each.note is not None and not each.note.done and each.note.source == found.live[0].place


def is_to_be_ended(found: Generations, each: Generation) -> bool:
    """Whether the live generation came from this one by a switch that is not ended: nobody knows when readers left."""
    note = found.live[0].note
    return note is not None and not note.done and note.source == each.place


def _free(locations: CollectionLocations, found: Generations, each: Generation) -> float | None:
    """When the last reader has left a retired generation, where it is known that a migration left it."""
    left = _left(found, each)
    return None if left is None else left + drain(locations.wanted.state.lease)


def _left(found: Generations, each: Generation) -> float | None:
    times = [
        other.note.left
        for other in found.all
        if other.note is not None and other.note.source == each.place and other.note.left is not None
    ]
    return max(times, default=None)


def require_no_switch(locations: CollectionLocations, found: Generations, wall: float) -> None:
    """Raise `CollectionConflict` while a migration holds a fence: it may be just about to switch."""
    for each in found.all:
        fence = each.fence
        if fence is None or fence.state is FenceState.MOVED or not fence.holds_up(wall):
            continue
        name = locations.wanted.spec.name
        raise CollectionConflict(
            f"collection {name!r}: a migration ({fence.by}) holds the write fence of {each.place}, {fence.state}; wait "
            f"for its end, or run `nestvec migrate {name}` again if it was interrupted. Nothing was removed"
        )


async def remove(collection: OpenCollection, each: Generation) -> bool:
    """Remove it, if it still is what it was. An alias that leads to it goes first: it would lead nowhere."""
    backend, alias, physical = collection.backend, collection.state.alias, each.place.physical
    aliased = await backend.resolve_alias(ResolveAlias(alias))
    now = await read_generation(collection, each.number, physical, aliased)
    if now is None or (now.role, now.note, now.fence) != (each.role, each.note, each.fence):
        return False
    if aliased == physical:
        await backend.drop_alias(DropAlias(alias))
    await backend.drop(Drop(physical))
    collection.session.emit(Event("generation_removed", collection.spec.name, {"physical": physical}))
    return True


async def status_of(locations: CollectionLocations, found: Generations, each: Generation) -> list[GenerationStatus]:
    """What is told of it; nothing where it was removed meanwhile."""
    try:
        chunks = await locations.at(each.place.backend).backend.count(Count(each.place.physical))
    except CollectionNotFound:
        return []
    stored = each.stored
    space = stored.space if stored is not None else None
    storage = each.info.storage or (stored.storage if stored is not None else None)
    return [
        GenerationStatus(
            locations.wanted.spec.name,
            each.place.backend,
            each.place.physical,
            each.number,
            each.role,
            space.fingerprint if space is not None else None,
            space.dimensions if space is not None else None,
            space.model if space is not None else None,
            storage.value if storage is not None else None,
            chunks,
            each.note.source if each.note is not None else None,
            _since(found, each),
        )
    ]


def _since(found: Generations, each: Generation) -> datetime | None:
    if each.role is GenerationRole.RETIRED:
        moment = _left(found, each)
    elif each.note is None:
        moment = None
    else:
        moment = each.note.left if each.note.done else each.note.started
    return None if moment is None else _moment(moment)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

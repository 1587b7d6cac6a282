"""The generations of a collection, told; and the removal of those that nobody needs any more, on demand only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from nestvec._collections import write_fence as gates
from nestvec._collections.opening import Emit
from nestvec._collections.write_fence import Place, State
from nestvec._migration.copy import At, Side, at
from nestvec._migration.generations import Generation, Standing, generation
from nestvec._migration.report import Stage
from nestvec._migration.scenes import Scene, Sides, look, nothing_live
from nestvec.contract import Count, Drop, DropAlias, Event, ResolveAlias
from nestvec.errors import CollectionConflict, CollectionNotFound, InvalidInput


@dataclass(frozen=True, slots=True)
class GenerationStatus:
    """A generation of a collection, as found.

    `standing` is live, shadow (a migration makes it, or was broken off) or retired. `space`, `dimensions`, `model` and
    `storage` are None where its record cannot be read. `created_from` is the generation that a migration made it from
    (None: `apply` made it); `since` is when it became live, was left, or was begun, where that is known.
    """

    collection: str
    backend: str
    physical: str
    generation: int
    standing: Standing
    space: str | None
    dimensions: int | None
    model: str | None
    storage: str | None
    chunks: int
    created_from: Place | None = None
    since: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `since` in ISO 8601, UTC."""
        since = None if self.since is None else self.since.isoformat(timespec="seconds")
        return {**asdict(self), "standing": self.standing.value, "since": since}


@dataclass(frozen=True, slots=True)
class Removal:
    """What cleaning up did with a generation, or would do. `reason` says why it goes, or stays."""

    generation: GenerationStatus
    removed: bool
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**self.generation.to_dict(), "removed": self.removed, "reason": self.reason}


async def statuses(sides: Sides) -> list[GenerationStatus]:
    """All generations, those on the backend where the collection was before first, oldest first."""
    scene = await look(sides)
    return await _statuses(sides, scene)


async def cleanup(
    sides: Sides,
    wall: Callable[[], float],
    *,
    number: int | None = None,
    among: Iterable[GenerationStatus] | None = None,
    dry: bool = False,
) -> list[Removal]:
    """Remove retired generations, and shadows of migrations that cannot go on: the live one is another by now.

    With `number`, that generation alone, also if a migration to it has begun. With `among`, no others than these, such
    as a dry run told of. `dry`: say what would be removed. The live one is never removed, and none without a live one.
    One that was left less than a lease ago stays, for readers may still be on it. Raises `CollectionNotFound` without a
    live one, `InvalidInput` for a number that there is not, `CollectionConflict` for that of the live one, and where a
    migration holds a gate.
    """
    scene = await look(sides)
    if scene.live is None:
        raise nothing_live(sides)
    chosen = _chosen(sides, scene, number)
    if among is not None:
        agreed = {Place(each.backend, each.physical) for each in among}
        chosen = [(side, each) for side, each in chosen if each.place in agreed]
    removals = []
    for side, each in chosen:
        (status,) = await _statuses(sides, Scene(((side, each),)), scene)
        verdict = _verdict(sides, scene, each, wall(), named=number is not None)
        gone = verdict.removed
        if gone and not dry:
            gone = await _remove(sides, side, each)
        removals.append(Removal(status, gone, verdict.reason if gone or not verdict.removed else _CHANGED))
    return removals


_CHANGED = "it changed meanwhile; look again"


def _chosen(sides: Sides, scene: Scene, number: int | None) -> list[tuple[Side, Generation]]:
    name = sides.wanted.spec.name
    others = [(side, each) for side, each in scene.generations if each.standing is not Standing.LIVE]
    if number is None:
        return others
    found = [(side, each) for side, each in others if each.number == number]
    if found:
        return found
    if any(each.number == number for _, each in scene.generations):
        raise CollectionConflict(
            f"generation {number} of collection {name!r} is live: it is never removed; nothing was changed"
        )
    known = ", ".join(sorted({str(each.number) for _, each in others})) or "none"
    raise InvalidInput(f"collection {name!r} has no generation {number}; besides the live one it has: {known}")


@dataclass(frozen=True, slots=True)
class _Verdict:
    removed: bool
    reason: str


def _verdict(sides: Sides, scene: Scene, each: Generation, wall: float, *, named: bool) -> _Verdict:
    """Whether a generation that is not live may go."""
    _require_no_switch(sides, scene, wall)
    if each.stored is None:
        return _Verdict(
            removed=False,
            reason="its record cannot be read, so nobody knows what it is; if it may go, drop it with the backend's "
            "own means",
        )
    if _under_way(scene, each) and not named:
        return _Verdict(
            removed=False,
            reason="a migration to it is under way, or was interrupted and goes on with it when it is run again; to "
            f"remove it, name it: --generation {each.number}",
        )
    if _to_be_ended(scene, each):
        return _Verdict(
            removed=False,
            reason="the switch from it was interrupted: run the same command again (migrate, shrink or rollback)",
        )
    if each.standing is Standing.SHADOW:
        return _Verdict(removed=True, reason="a migration was broken off here")
    free = _free(sides, scene, each)
    if free is not None and wall < free:
        until = _moment(free).isoformat(timespec="seconds")
        return _Verdict(removed=False, reason=f"readers may still be on it until {until}")
    return _Verdict(removed=True, reason="retired")


def _under_way(scene: Scene, each: Generation) -> bool:
    """Whether a migration of the live generation to this one, or back to it, has begun."""
    journal, live = each.journal, scene.live
    if journal is None or live is None:
        return False
    return journal.stage is not Stage.DONE and journal.source == live[1].place


def _to_be_ended(scene: Scene, each: Generation) -> bool:
    """Whether the live generation came from this one by a switch that is not ended: nobody knows when readers left."""
    journal = scene.live[1].journal if scene.live is not None else None
    return journal is not None and journal.stage is not Stage.DONE and journal.source == each.place


def _free(sides: Sides, scene: Scene, each: Generation) -> float | None:
    """When the last reader has left a retired generation, where it is known that a migration left it."""
    left = _left(scene, each)
    return None if left is None else left + gates.drain(sides.wanted.lease)


def _left(scene: Scene, each: Generation) -> float | None:
    times = [
        other.journal.left
        for _, other in scene.generations
        if other.journal is not None and other.journal.source == each.place and other.journal.left is not None
    ]
    return max(times, default=None)


def _require_no_switch(sides: Sides, scene: Scene, wall: float) -> None:
    """Raise `CollectionConflict` while a migration holds a gate: it may be just about to switch."""
    for _, each in scene.generations:
        gate = each.gate
        if gate is None or gate.state is State.MOVED or not gate.holds_up(wall):
            continue
        raise CollectionConflict(
            f"collection {sides.wanted.spec.name!r}: a migration ({gate.by}) holds the gate of {each.place}, "
            f"{gate.state}; wait for its end, or run `nestvec migrate {sides.wanted.spec.name}` again if it was "
            f"interrupted. Nothing was removed"
        )


async def _remove(sides: Sides, side: Side, each: Generation) -> bool:
    """Remove it, if it still is what it was. A pointer that leads to it goes first: it would lead nowhere."""
    collection = sides.collection(side)
    physical = each.place.physical
    pointed: str | None = yield At(side, ResolveAlias(collection.alias))
    now = await at(side, generation(collection, each.number, physical, pointed))
    if now is None or (now.standing, now.journal, now.gate) != (each.standing, each.journal, each.gate):
        return False
    if pointed == physical:
        yield At(side, DropAlias(collection.alias))
    yield At(side, Drop(physical))
    yield At(side, Emit(Event("generation_removed", collection.spec.name, {"physical": physical})))
    return True


async def _statuses(sides: Sides, some: Scene, every: Scene | None = None) -> list[GenerationStatus]:
    found = []
    for side, each in some.generations:
        try:
            chunks: int = yield At(side, Count(each.place.physical))
        except CollectionNotFound:  # removed meanwhile
            continue
        found.append(_status(sides, every or some, each, chunks))
    return found


def _status(sides: Sides, scene: Scene, each: Generation, chunks: int) -> GenerationStatus:
    stored = each.stored
    space = stored.space if stored is not None else None
    storage = each.info.storage or (stored.storage if stored is not None else None)
    return GenerationStatus(
        sides.wanted.spec.name,
        each.place.backend,
        each.place.physical,
        each.number,
        each.standing,
        space.fingerprint if space is not None else None,
        space.dimensions if space is not None else None,
        space.model if space is not None else None,
        storage.value if storage is not None else None,
        chunks,
        each.journal.source if each.journal is not None else None,
        _since(scene, each),
    )


def _since(scene: Scene, each: Generation) -> datetime | None:
    if each.standing is Standing.RETIRED:
        moment = _left(scene, each)
    elif each.journal is None:
        moment = None
    else:
        moment = each.journal.left if each.journal.stage is Stage.DONE else each.journal.started
    return None if moment is None else _moment(moment)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

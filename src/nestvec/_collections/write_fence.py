"""The write fence of a physical collection: whether it may be written to while another one takes its place.

It is the note `gate`, which whoever migrates writes, and every handle reads with each lease
(`nestvec._collections.opening`). Readers pass, until the collection has moved. Writers find it

    down        without a note, or where a fence has run out by more than `SKEW`
    fenced      {"state": "fenced", "by": id, "until": seconds since 1970}: they wait
    switching   {"state": "switching", "by": id, "to": {"backend": …, "physical": …}}: so, `PATIENCE` at most
    moved       {"state": "moved", "to": {…}}: nobody reads or writes here any more

Whoever migrates goes through it in this order, and why no write is lost then stands in
docs/decisions/0012-following-a-switch.md:

    fence = await raise_fence(backend, wall, physical, by, seconds)
    await session.wait(drain(lease))                        # from here on no writer is inside
    …                                                       # the last pass: bring over what differs, and verify
    if await to_switching(backend, wall, physical, fence, to):
        await backend.set_alias(SetAlias(alias, to.physical))  # without any delay
        await mark_moved(backend, physical, to)

`to_switching` says no where that took too long: begin again with `raise_fence`. Broken off before it, `lift` lets
writers in at once; a process that died there holds them up no longer than its fence says.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from nestvec._damaged import DAMAGED
from nestvec.contract import ReadNote, WriteNote
from nestvec.errors import CollectionConflict, CollectionError, CollectionMoved, MigrationInterrupted

if TYPE_CHECKING:
    from nestvec._session.session import Backend

#: The name of the note.
NOTE = "gate"
#: Seconds by which the clocks of two machines may differ; and how much longer than its lease a writer is waited for.
SKEW = 5.0
#: Seconds after which a writer who waits looks again.
POLL = 1.0
#: Seconds that a writer waits for the end of a switch.
PATIENCE = 60.0


class FenceState(StrEnum):
    """What a fence can be, beside down."""

    FENCED = "fenced"
    SWITCHING = "switching"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class GenerationPlace:
    """Where a generation of a collection is.

    Attributes:
        backend: The backend's name in the configuration.
        physical: The physical collection there.
    """

    backend: str
    physical: str

    def __str__(self) -> str:
        return f"{self.physical!r} on backend {self.backend!r}"


@dataclass(frozen=True, slots=True)
class WriteFence:
    """What the note says. `by` is the migration that holds it, `until` when it runs out (wall clock)."""

    state: FenceState
    by: str | None = None
    until: float | None = None
    to: GenerationPlace | None = None

    def holds_up(self, wall: float) -> bool:
        """Whether writers wait, if it was read after this moment of the wall clock. See `SKEW`."""
        return self.state is not FenceState.FENCED or self.until is None or wall <= self.until + SKEW

    def to_text(self) -> str:
        """JSON, without what is not set."""
        return json.dumps({key: value for key, value in asdict(self).items() if value is not None})

    @classmethod
    def from_text(cls, text: str, physical: str) -> WriteFence:
        """Read what `to_text` wrote. Raises `CollectionError` for anything else."""
        try:
            return cls._parse(json.loads(text))
        except DAMAGED as error:
            raise CollectionError(
                f"the note {NOTE!r} of collection {physical!r} cannot be read ({error!r}): another version of nestvec "
                f"migrates it: run that version; or it was changed by hand: then remove the note with the backend's "
                f"own means, if no migration is under way"
            ) from error

    @classmethod
    def _parse(cls, value: dict[str, Any]) -> WriteFence:
        state, by, to = FenceState(value["state"]), value.get("by"), value.get("to")
        until = None if value.get("until") is None else float(value["until"])
        # One that never runs out would hold writers up for ever.
        if state is FenceState.FENCED and (until is None or not math.isfinite(until)):
            raise ValueError(f"until is {value.get('until')!r:.40}")
        place = None if to is None else GenerationPlace(**to)
        names = (by,) if place is None else (by, place.backend, place.physical)
        if not all(name is None or isinstance(name, str) for name in names):
            raise TypeError("a name is no text")
        return cls(state, by, until, place)


def drain(lease: float) -> float:
    """Seconds after raising a fence for which writers that came before it may still be inside."""
    return lease + SKEW


async def read_fence(backend: Backend, physical: str) -> WriteFence | None:
    """The fence of a collection; None: it is down, nobody migrates it."""
    text: str | None = await backend.read_note(ReadNote(physical, NOTE))
    return None if text is None else WriteFence.from_text(text, physical)


async def raise_fence(
    backend: Backend,
    wall: Callable[[], float],
    physical: str,
    by: str,
    seconds: float,
    about_to: Callable[[WriteFence], object] | None = None,
) -> WriteFence:
    """Hold writers up, for so many seconds at most. Those inside have left after `drain`.

    The same `by` may do so again: its earlier fence, or its switch that was not finished, begins anew. Raises
    `CollectionConflict` where another migration holds the fence, and `CollectionMoved` where nobody may any more.
    `about_to` hears the fence just before it is there: broken off in between, nobody else would know of it.
    """
    held = await read_fence(backend, physical)
    if held is not None:
        _refuse_others(held, physical, by, wall())
    fence = WriteFence(FenceState.FENCED, by, wall() + seconds)
    if about_to is not None:
        about_to(fence)
    await _write(backend, physical, fence)
    await _require(backend, physical, fence)
    return fence


async def to_switching(
    backend: Backend, wall: Callable[[], float], physical: str, fence: WriteFence, to: GenerationPlace
) -> bool:
    """Let the fence become a switch, which does not run out. True: point at once. False: too late, fence again.

    False leaves a fence that only `raise_fence`, of the same migration, opens. Raises `CollectionConflict` where
    another migration took it over.
    """
    if fence.until is None or wall() >= fence.until - SKEW:
        return False
    await _require(backend, physical, fence)
    switching = WriteFence(FenceState.SWITCHING, fence.by, to=to)
    await _write(backend, physical, switching)
    await _require(backend, physical, switching)
    return wall() < fence.until - SKEW


async def mark_moved(backend: Backend, physical: str, to: GenerationPlace) -> None:
    """After the alias leads to the new place, also on the same backend: nobody reads or writes here any more."""
    await _write(backend, physical, WriteFence(FenceState.MOVED, to=to))


async def lift(backend: Backend, physical: str, by: str) -> None:
    """Lift a fence that this migration holds, before the alias was set. Others' are left alone."""
    held = await read_fence(backend, physical)
    if held is not None and held.by == by:
        await backend.write_note(WriteNote(physical, NOTE, None))


async def reopen(backend: Backend, physical: str) -> None:
    """Lift the fence of a collection that the alias is to lead to again, as for going back to it.

    Not sooner than `drain` after the alias left it: who resolved it before that would write here.
    """
    await backend.write_note(WriteNote(physical, NOTE, None))


def moved(name: str, physical: str, fence: WriteFence) -> CollectionMoved:
    """The error of whoever comes to a collection that has moved."""
    to = fence.to
    where = f"to {to}" if to is not None else "elsewhere"
    return CollectionMoved(
        f"collection {name!r} moved from {physical!r} {where}; set [collections.{name}] of the configuration to what "
        f"it is now"
    )


def interrupted(name: str, physical: str, fence: WriteFence) -> MigrationInterrupted:
    """The error of a writer whose patience is at its end."""
    return MigrationInterrupted(
        f"collection {name!r}: a migration of {physical!r} to {fence.to} was interrupted while it switched; run "
        f"`nestvec migrate {name}` again, then repeat this"
    )


def _refuse_others(held: WriteFence, physical: str, by: str, wall: float) -> None:
    if held.state is FenceState.MOVED:
        raise moved(physical, physical, held)
    if held.by != by and held.holds_up(wall):
        raise _taken(physical, held)


async def _require(backend: Backend, physical: str, wanted: WriteFence) -> None:
    """Raise `CollectionConflict` unless the fence is as it was left."""
    held = await read_fence(backend, physical)
    if held != wanted:
        raise _taken(physical, held)


def _taken(physical: str, held: WriteFence | None) -> CollectionConflict:
    by = "nobody" if held is None else f"migration {held.by!r} ({held.state})"
    return CollectionConflict(
        f"the write fence of collection {physical!r} is held by {by}: two migrations of one collection cannot run "
        f"at once; wait for the other one to end, then run `nestvec migrate` again. Nothing was switched"
    )


async def _write(backend: Backend, physical: str, fence: WriteFence) -> None:
    await backend.write_note(WriteNote(physical, NOTE, fence.to_text()))

"""The gate of a physical collection: whether it may be written to while another one takes its place.

It is the note `gate`, which whoever migrates writes, and every handle reads with each lease
(`nestvec._collections.opening`). Readers pass, until the collection has moved. Writers find it

    open        without a note, or where a fence has run out by more than `SKEW`
    fenced      {"state": "fenced", "by": id, "until": seconds since 1970}: they wait
    switching   {"state": "switching", "by": id, "to": {"backend": …, "physical": …}}: so, `PATIENCE` at most
    moved       {"state": "moved", "to": {…}}: nobody reads or writes here any more

Whoever migrates goes through it in this order, and why no write is lost then stands in
docs/decisions/0012-following-a-switch.md:

    fence = yield from raise_fence(wall, physical, by, seconds)
    yield Wait(drain(lease))                # from here on no writer is inside
    …                                       # the last pass: bring over what differs, and verify
    if (yield from to_switching(wall, physical, fence, to)):
        yield SetAlias(pointer, to.physical)   # without any delay
        yield from mark_moved(physical, to)

`to_switching` says no where that took too long: begin again with `raise_fence`. Broken off before it, `lift` lets
writers in at once; a process that died there holds them up no longer than its fence says.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from nestvec.contract import ReadNote, WriteNote
from nestvec.errors import CollectionConflict, CollectionError, CollectionMoved, MigrationInterrupted

if TYPE_CHECKING:
    from nestvec._collections.opening import Flow

#: The name of the note.
NOTE = "gate"
#: Seconds by which the clocks of two machines may differ; and how much longer than its lease a writer is waited for.
SKEW = 5.0
#: Seconds after which a writer who waits looks again.
POLL = 1.0
#: Seconds that a writer waits for the end of a switch.
PATIENCE = 60.0


class State(StrEnum):
    """What a gate can be, beside open."""

    FENCED = "fenced"
    SWITCHING = "switching"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a collection moves: the backend's name in the configuration, and the physical collection there."""

    backend: str
    physical: str

    def __str__(self) -> str:
        return f"{self.physical!r} on backend {self.backend!r}"


@dataclass(frozen=True, slots=True)
class Gate:
    """What the note says. `by` is the migration that holds the gate, `until` when its fence runs out (wall clock)."""

    state: State
    by: str | None = None
    until: float | None = None
    to: Place | None = None

    def holds_up(self, wall: float) -> bool:
        """Whether writers wait, if it was read after this moment of the wall clock. See `SKEW`."""
        return self.state is not State.FENCED or self.until is None or wall <= self.until + SKEW

    def to_text(self) -> str:
        """JSON, without what is not set."""
        return json.dumps({key: value for key, value in asdict(self).items() if value is not None})

    @classmethod
    def from_text(cls, text: str, physical: str) -> Gate:
        """Read what `to_text` wrote. Raises `CollectionError` for anything else."""
        try:
            return cls._parse(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CollectionError(
                f"the note {NOTE!r} of collection {physical!r} can not be read ({error!r}): another version of nestvec "
                f"migrates it: run that version; or it was changed by hand: then remove the note with the backend's "
                f"own means, if no migration is under way"
            ) from error

    @classmethod
    def _parse(cls, value: dict[str, Any]) -> Gate:
        until, to = value.get("until"), value.get("to")
        return cls(
            State(value["state"]),
            value.get("by"),
            None if until is None else float(until),
            None if to is None else Place(**to),
        )


def drain(lease: float) -> float:
    """Seconds after raising a fence for which writers that came before it may still be inside."""
    return lease + SKEW


def read_gate(physical: str) -> Flow[Gate | None]:
    """What the gate of a collection is; None: open, nobody migrates it."""
    text: str | None = yield ReadNote(physical, NOTE)
    return None if text is None else Gate.from_text(text, physical)


def raise_fence(
    wall: Callable[[], float],
    physical: str,
    by: str,
    seconds: float,
    about_to: Callable[[Gate], object] | None = None,
) -> Flow[Gate]:
    """Close the gate for writers, for so many seconds at most. Writers inside leave it after `drain`.

    The same `by` may do so again: its earlier fence, or its switch that was not finished, begins anew. Raises
    `CollectionConflict` where another migration holds the gate, and `CollectionMoved` where nobody may any more.
    `about_to` hears the fence just before it is there: broken off in between, nobody else would know of it.
    """
    held = yield from read_gate(physical)
    if held is not None:
        _refuse_others(held, physical, by, wall())
    fence = Gate(State.FENCED, by, wall() + seconds)
    if about_to is not None:
        about_to(fence)
    yield from _write(physical, fence)
    yield from _require(physical, fence)
    return fence


def to_switching(wall: Callable[[], float], physical: str, fence: Gate, to: Place) -> Flow[bool]:
    """Let the fence become a switch, which does not run out. True: point at once. False: too late, fence again.

    False leaves a gate that only `raise_fence`, of the same migration, opens. Raises `CollectionConflict` where
    another migration took the gate over.
    """
    if fence.until is None or wall() >= fence.until - SKEW:
        return False
    yield from _require(physical, fence)
    switching = Gate(State.SWITCHING, fence.by, to=to)
    yield from _write(physical, switching)
    yield from _require(physical, switching)
    return wall() < fence.until - SKEW


def mark_moved(physical: str, to: Place) -> Flow[None]:
    """After the pointer leads to the new place, also on the same backend: nobody reads or writes here any more."""
    yield from _write(physical, Gate(State.MOVED, to=to))


def lift(physical: str, by: str) -> Flow[None]:
    """Open a gate that this migration holds, before anything was pointed elsewhere. Others' are left alone."""
    held = yield from read_gate(physical)
    if held is not None and held.by == by:
        yield WriteNote(physical, NOTE, None)


def reopen(physical: str) -> Flow[None]:
    """Open the gate of a collection that is to be pointed to again, as for going back to it.

    Not sooner than `drain` after the pointer left it: who looked the pointer up before that would write here.
    """
    yield WriteNote(physical, NOTE, None)


def moved(name: str, physical: str, gate: Gate) -> CollectionMoved:
    """The error of whoever comes to a collection that has moved."""
    to = gate.to
    where = f"to {to}" if to is not None else "elsewhere"
    return CollectionMoved(
        f"collection {name!r} moved from {physical!r} {where}; set [collections.{name}] of the configuration to what "
        f"it is now"
    )


def interrupted(name: str, physical: str, gate: Gate) -> MigrationInterrupted:
    """The error of a writer whose patience is at its end."""
    return MigrationInterrupted(
        f"collection {name!r}: a migration of {physical!r} to {gate.to} was interrupted while it switched; run "
        f"`nestvec migrate {name}` again, then repeat this"
    )


def _refuse_others(held: Gate, physical: str, by: str, wall: float) -> None:
    if held.state is State.MOVED:
        raise moved(physical, physical, held)
    if held.by != by and held.holds_up(wall):
        raise _taken(physical, held)


def _require(physical: str, wanted: Gate) -> Flow[None]:
    """Raise `CollectionConflict` unless the gate is as it was left."""
    held = yield from read_gate(physical)
    if held != wanted:
        raise _taken(physical, held)


def _taken(physical: str, held: Gate | None) -> CollectionConflict:
    by = "nobody" if held is None else f"migration {held.by!r} ({held.state})"
    return CollectionConflict(
        f"the gate of collection {physical!r} is held by {by}: two migrations of one collection can not run at once; "
        f"wait for the other one to end, then run `nestvec migrate` again. Nothing was switched"
    )


def _write(physical: str, gate: Gate) -> Flow[None]:
    yield WriteNote(physical, NOTE, gate.to_text())

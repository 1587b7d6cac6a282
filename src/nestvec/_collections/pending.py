"""Plan, apply and status of a collection that the configuration describes twice: as wanted, and as it was before.

While it still is what it was before, a migration is pending: `plan` says so, `apply` leaves it alone, and handles serve
what is there (see `nestvec._collections.following`). So services can be deployed before the migration is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nestvec._collections.apply import Change, Compared, Status, carry_out, compare, measure
from nestvec._collections.differences import differences
from nestvec._collections.following import PREVIOUS, WANTED, Alternatives
from nestvec._collections.opening import OpenCollection
from nestvec._session.session import Session
from nestvec._specs import StoredCollection


@dataclass(frozen=True, slots=True)
class PendingChange:
    """What there is to do, and which alternative it is about."""

    number: int
    compared: Compared

    @property
    def change(self) -> Change:
        """What there is to do."""
        return self.compared.change


async def plan(among: Alternatives, sessions: Sequence[Session]) -> Change:
    """Compare the configuration with the database. Reads only."""
    return (await _look(among, sessions)).change


async def apply(among: Alternatives, sessions: Sequence[Session]) -> Change:
    """Create or update; what a migration is for is left alone.

    Raises `CollectionConflict`, having changed nothing, where that is impossible.
    """
    found = await _look(among, sessions)
    change = await carry_out(found.compared)
    if change.action != "none":
        among.forget()
    return change


async def status(among: Alternatives, sessions: Sequence[Session]) -> Status:
    """What is there, counted. In a collection with namespaces, all of them together."""
    found = await _look(among, sessions)
    return await measure(found.compared)


async def _look(among: Alternatives, sessions: Sequence[Session]) -> PendingChange:
    wanted = await compare(OpenCollection(among.wanted, sessions[WANTED]))
    if among.previous is None:
        return PendingChange(WANTED, wanted)
    previous = await compare(OpenCollection(among.previous, sessions[PREVIOUS]))
    if _grows(among, wanted, previous):
        change = replace(wanted.change, action="conflict")
        wanted = replace(wanted, collection=wanted.collection.knowing(among.wanted), change=change)
    return _judge(wanted, previous)


def _grows(among: Alternatives, wanted: Compared, previous: Compared) -> bool:
    """Whether it was shrunk, and is to become again what it was: `previous` says just what is there."""
    one, two = wanted.info, previous.info
    shrunk, there = wanted.collection.state is not among.wanted, previous.collection.state is among.previous
    return shrunk and there and wanted.usable and previous.usable and one is not None and one == two


def _judge(wanted: Compared, previous: Compared) -> PendingChange:
    """Which of the two is there; a conflict where that cannot be told, or is neither."""
    name, apart = wanted.change.collection, wanted.collection.spec.backend != previous.collection.spec.backend
    if wanted.usable:
        if apart and previous.usable and wanted.fence is None and previous.fence is None:
            return _conflict(wanted, (_both(wanted, previous),))
        # Not before: without it nobody looks on the backend where the collection was.
        done = f"`nestvec cleanup {name}`, then take [collections.{name}.previous] out"
        return _told(WANTED, wanted, f"when nobody wants to go back any more: {done}")
    in_the_way = apart and wanted.change.action == "conflict" and not wanted.moved
    if previous.usable and not in_the_way:
        change = Change(name, "migrate", _pending(wanted, previous))
        return PendingChange(PREVIOUS, replace(previous, change=change))
    if wanted.change.action == previous.change.action == "create":
        return PendingChange(WANTED, wanted)
    details = () if wanted.change.action == "create" else wanted.change.details
    before = () if previous.usable else _why_not(previous)
    return _conflict(wanted, (*details, *before))


def _told(number: int, compared: Compared, detail: str) -> PendingChange:
    change = compared.change
    return PendingChange(number, replace(compared, change=replace(change, details=(*change.details, detail))))


def _conflict(wanted: Compared, details: tuple[str, ...]) -> PendingChange:
    return PendingChange(WANTED, replace(wanted, change=replace(wanted.change, action="conflict", details=details)))


def _both(wanted: Compared, previous: Compared) -> str:
    name, there, here = wanted.change.collection, previous.collection.spec.backend, wanted.collection.spec.backend
    return (
        f"there is one on backend {there!r}, as [collections.{name}.previous] says, and one on backend {here!r}, as "
        f"wanted, and neither came of the other: take `previous` out to use the latter only, or if both blocks lead to "
        f"one store; else choose another collection name to migrate the former"
    )


def _why_not(previous: Compared) -> tuple[str, ...]:
    if previous.change.action == "create":
        backend = previous.collection.spec.backend
        return (
            f"nor is there one on backend {backend!r}, as [collections.{previous.change.collection}.previous] says",
        )
    return tuple(f"previous: {detail}" for detail in previous.change.details)


def _pending(wanted: Compared, previous: Compared) -> tuple[str, ...]:
    """What differs, in sentences, and what to do."""
    was, now, info = previous.collection.spec, wanted.collection.spec, previous.info
    assert info is not None  # noqa: S101 - it is usable
    stored = StoredCollection.read(info.record, info.physical)
    can = wanted.collection.capabilities
    found = differences(now, info, stored, can, backend=was.backend)
    return (
        *(each.sentence for each in found if not each.in_place),
        f"until you run `nestvec migrate {now.name}`, it is served as [collections.{now.name}.previous] says",
    )

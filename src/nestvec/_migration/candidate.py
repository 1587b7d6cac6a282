"""The generation that a migration fills: made, found again, or one that was gone back from."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nestvec._collections.opening import Binding, Flow, Target
from nestvec._collections.write_fence import Gate, Place, State, read_gate
from nestvec._migration.copy import at
from nestvec._migration.generations import SHADOW, Generation, Journal, Standing, read_journal, write_journal
from nestvec._migration.report import Stage
from nestvec._specs import StoredCollection
from nestvec.contract import Create, Describe, ListCollections, ResolveAlias, WriteNote
from nestvec.errors import CollectionConflict

if TYPE_CHECKING:
    from nestvec._specs import CollectionSpec
    from nestvec.contract import CollectionInfo


@dataclass(frozen=True, slots=True)
class Shadow:
    """Where a migration goes. `used`: it was live once. `closed`: its gate says that it moved."""

    place: Place
    binding: Binding
    journal: Journal
    used: bool = False
    closed: bool = False

    @property
    def physical(self) -> str:
        """Its name on its backend."""
        return self.place.physical


def pinned(binding: Binding, physical: str, stored: StoredCollection) -> Binding:
    """A binding that never asks where its pointer leads, nor whether a gate is open: for whoever migrates."""
    return replace(binding, target=Target(physical, stored, math.inf), standing=None)


def guarded(shadow: Shadow, source: Binding, held_by_us: Callable[[], tuple[Gate, ...]]) -> Binding:
    """Its binding, for passes: it holds for a lease, and then again if nobody else switches to it, or has done so.

    Another process may go on with the same migration, or have removed its generation and made one of that name for
    something else. Whoever switches raises a fence and waits longer than a lease; so nobody brings anything over any
    more when what he writes to is in use.
    """
    binding = shadow.binding
    target = binding.target
    assert target is not None  # noqa: S101 - it is pinned

    def look() -> Flow[Target]:
        asked_at, wall = binding.clock(), binding.wall()
        yield from _require_ours(shadow, source, held_by_us(), wall)
        return replace(target, until=asked_at + binding.lease)

    return replace(binding, target=None, look=look)


def _require_ours(shadow: Shadow, source: Binding, ours: tuple[Gate, ...], wall: float) -> Flow[None]:
    """Raise `CollectionConflict` where another process holds the source's gate, or the shadow is live."""
    origin = source.target
    assert origin is not None  # noqa: S101 - it is pinned
    held: Gate | None = yield from at("source", read_gate(origin.physical))  # type: ignore[misc]  # says where it goes
    journal = yield from read_journal(shadow.physical)
    others = journal is None or journal.id != shadow.journal.id  # or it was removed, and made anew for something else
    live = yield from is_live(shadow)
    if live or others or (held is not None and held not in ours and held.holds_up(wall)):
        raise CollectionConflict(
            f"collection {source.spec.name!r} is being switched to {shadow.place}, or to another place, by another "
            f"process: two migrations of one collection can not run at once. This one stops, and has switched nothing; "
            f"run it again when the other one has ended"
        )


def is_live(shadow: Shadow) -> Flow[bool]:
    """Whether the collection's name leads to it, and its gate does not say that it moved away."""
    pointed: str | None = yield ResolveAlias(shadow.binding.pointer)
    return pointed == shadow.physical and not _moved((yield from read_gate(shadow.physical)))


def _moved(gate: Gate | None) -> bool:
    return gate is not None and gate.state is State.MOVED


def prepare(
    wanted: Binding,
    source: Place,
    stored: StoredCollection,
    chosen: Generation | None,
    notes: Mapping[str, str],
    *,
    back: bool = False,
) -> Flow[Shadow]:
    """Make the next generation, or go on with the one that was chosen. `stored` is what the source's record says.

    Raises `CollectionConflict` where the backend could not let the collection's name lead to it, and where another
    process has just made it for something else.
    """
    yield from _require_name(wanted)
    if chosen is None or chosen.standing is Standing.SHADOW:
        number = chosen.number if chosen is not None else (yield from _next(wanted))
        shadow = yield from _make(wanted, number, source, stored, chosen.journal if chosen is not None else None)
    else:
        shadow = yield from _reuse(wanted, source, chosen, back=back)
    for name, text in notes.items():
        yield WriteNote(shadow.physical, name, text)
    return shadow


def _require_name(wanted: Binding) -> Flow[None]:
    """Before anything is brought over in vain: does a collection of somebody else's have the name?"""
    pointed: str | None = yield ResolveAlias(wanted.pointer)
    if pointed is None and (yield Describe(wanted.pointer)) is not None:
        raise CollectionConflict(
            f"backend {wanted.spec.backend!r} already has a collection {wanted.pointer!r} that is not nestvec's, so "
            f"{wanted.spec.name!r} can not go there; rename or drop that one, or choose another backend. Nothing was "
            f"changed"
        )


def _next(wanted: Binding) -> Flow[int]:
    """A number that no collection has, whoever made it."""
    spec, rules = wanted.spec, wanted.capabilities.names
    existing: Sequence[str] = yield ListCollections()
    return (
        max((number for name in existing if (number := rules.generation(spec.name, name)) is not None), default=0) + 1
    )


def _make(
    wanted: Binding, number: int, source: Place, stored: StoredCollection, journal: Journal | None
) -> Flow[Shadow]:
    """Create it, or complete what an interrupted run created: `Create` may be repeated."""
    spec = wanted.spec
    physical = wanted.capabilities.names.physical(spec.name, number)
    record = spec.record(number, stored.known_fields) | {SHADOW: True}
    yield _creation(spec, physical, record)
    info: CollectionInfo | None = yield Describe(physical)
    if info is not None and info.record != record:
        raise _other_wish(spec, physical)
    if journal is None:
        journal = yield from read_journal(physical)  # of the same migration, begun at the same moment
    if journal is None or journal.source != source:
        journal = yield from _begin(wanted, physical, source)
    binding = pinned(wanted, physical, StoredCollection.read(record, physical))
    return Shadow(Place(spec.backend, physical), binding, journal)


def _other_wish(spec: CollectionSpec, physical: str) -> CollectionConflict:
    return CollectionConflict(
        f"collection {spec.name!r}: another process made {physical!r} at the same moment, for something else: two "
        f"migrations of one collection can not run at once. This one stops, and has switched nothing; run it again "
        f"when the other one has ended"
    )


def _creation(spec: CollectionSpec, physical: str, record: dict[str, object]) -> Create:
    return Create(physical, spec.vectors, spec.metric, spec.fields, record, spec.namespaces, spec.options, spec.storage)


def _reuse(wanted: Binding, source: Place, chosen: Generation, *, back: bool) -> Flow[Shadow]:
    """One that was live before: a pass brings what it lacks. Its journal now leads to where the pointer is."""
    physical, journal = chosen.place.physical, chosen.journal
    if journal is None or journal.source != source or journal.stage is Stage.DONE:
        journal = yield from _begin(wanted, physical, source, back=back)
    stored = StoredCollection.read(chosen.info.record, physical)
    return Shadow(chosen.place, pinned(wanted, physical, stored), journal, used=True, closed=_moved(chosen.gate))


def _begin(wanted: Binding, physical: str, source: Place, *, back: bool = False) -> Flow[Journal]:
    return (yield from write_journal(physical, Journal(uuid.uuid4().hex, source, started=wanted.wall(), back=back)))

"""Following a collection that is migrated: what it may be, and running an operation on what it is.

A handle knows up to three descriptions of its collection: what the configuration wants, what it was before
(`[collections.NAME.previous]`), and, once that was found, what it was shrunk to. An operation runs on the one that
worked last. Where that one is not to be found (any more), the whole operation is begun again on the other one. So each
run has one spec, one embedder, one backend, and no result mixes two.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from nestvec._collections import write_fence as gates
from nestvec._collections.opening import REFUSALS, Binding, Emit, Flow, Request, T, Wait, bind, relayed
from nestvec._collections.superseded import find_shrunk
from nestvec.contract import Event
from nestvec.errors import CollectionMoved, NestvecError, SpaceMismatch


@dataclass(frozen=True, slots=True)
class Via:
    """A request to one of the places where the collection may be, by number."""

    place: int
    request: Request


ViaFlow: TypeAlias = Generator[Via, Any, T]
WANTED, PREVIOUS = 0, 1
#: How often it is looked for where it is said to have moved to.
_LOOKS = 6


@dataclass(frozen=True, slots=True)
class Live:
    """What worked last: the place, and the binding there."""

    place: int
    binding: Binding


@dataclass(slots=True)
class Alternatives:
    """What a handle's collection may be. Shared by threads: what changes is replaced as a whole."""

    wanted: Binding
    previous: Binding | None = None
    known: Live | None = field(default=None, repr=False)

    @property
    def live(self) -> Live:
        """What worked last; before anything did, what is wanted."""
        return self.known or Live(WANTED, self.wanted)

    def configured(self, place: int) -> Binding:
        """The binding of a place, as the configuration describes it."""
        return self.wanted if place == WANTED or self.previous is None else self.previous

    def order(self) -> tuple[int, ...]:
        """Where to look: first where it was last, and there once more, as it may move between two looks."""
        if self.previous is None:
            return (WANTED,)
        first = self.live.place
        return (first, PREVIOUS if first == WANTED else WANTED, first)

    def forget(self) -> None:
        """Look everything up at the next use."""
        for binding in (self.wanted, self.previous, self.live.binding):
            if binding is not None:
                binding.forget()


def follow(among: Alternatives, work: Callable[[Binding], Flow[T]]) -> ViaFlow[T]:
    """Run an operation where the collection is. `work` is called anew for each try.

    Raises what the operation raises; and where the collection is nowhere to be found, the error of what is wanted,
    which says also why it is not what it was before. Where one place says that it moved, the other one gets a few
    seconds to show it: pointers of some backends are seen late.
    """
    refusals: list[tuple[int, NestvecError]] = []
    for place in _places(among, refusals):
        if place is None:
            yield Via(WANTED, Wait(gates.POLL))
            continue
        try:
            binding, result = yield from via(place, _try(among, place, work))
        except REFUSALS as error:
            if not error.unbound:
                raise
            refusals.append((place, error))
        else:
            yield from via(place, _settle(among, Live(place, binding)))
            return result
    raise _refusal(among, refusals)


def _places(among: Alternatives, refusals: Sequence[tuple[int, NestvecError]]) -> Iterator[int | None]:
    """Where to look, as long as it makes sense; None: wait a moment before."""
    for number in range(_LOOKS):
        if number:
            yield None
        yield from among.order()
        if among.previous is None or not any(isinstance(error, CollectionMoved) for _, error in refusals):
            return


def located(among: Alternatives) -> ViaFlow[Live]:
    """Where the collection is now. Where it is nowhere, what is wanted: whoever uses that says why."""
    try:
        yield from follow(among, bind)
    except REFUSALS as error:
        if not error.unbound:
            raise
        return Live(WANTED, among.wanted)
    return among.live


def via(place: int, flow: Flow[T]) -> ViaFlow[T]:
    """Let all requests of a flow go to one place."""
    return relayed(flow, partial(Via, place))


def _try(among: Alternatives, place: int, work: Callable[[Binding], Flow[T]]) -> Flow[tuple[Binding, T]]:
    """Run it in one place: as what the collection was shrunk to, if it was, or as the configuration describes it."""
    configured, live = among.configured(place), among.live
    if live.place == place and live.binding is not configured:
        try:
            return live.binding, (yield from _entered(live.binding, work))
        except REFUSALS as error:  # shrunk again, or brought back
            if not error.unbound:
                raise
    try:
        # Where there is one alternative, what can be checked beforehand is checked before anything is sent.
        run = work(configured) if among.previous is None else _entered(configured, work)
        return configured, (yield from run)
    except SpaceMismatch as error:
        if not error.unbound:
            raise
        shrunk = yield from find_shrunk(configured, error)
        if shrunk is None:
            raise
    return shrunk, (yield from _entered(shrunk, work))


def _entered(binding: Binding, work: Callable[[Binding], Flow[T]]) -> Flow[T]:
    """Only once it is known to be there: what is asked for may be wrong for what the collection is not."""
    yield from bind(binding)
    return (yield from work(binding))


def _settle(among: Alternatives, live: Live) -> Flow[None]:
    """Begin there the next time, and tell listeners if it was another one before."""
    before, among.known = among.known, live
    was, now = before.binding.target if before is not None else None, live.binding.target
    if before is None or was is None or now is None or before.binding is live.binding:
        return
    moved = {"from": was.physical, "to": now.physical, "backend": live.binding.spec.backend}
    yield Emit(Event("pointer_moved", live.binding.spec.name, moved))


def _refusal(among: Alternatives, refusals: Sequence[tuple[int, NestvecError]]) -> NestvecError:
    """The latest error of what is wanted; with the other one's reason, too."""
    latest = dict(refusals)
    error, other = latest[WANTED], latest.get(PREVIOUS)
    if other is not None:
        name = among.wanted.spec.name
        error.args = (f"{error}\nNor is it what [collections.{name}.previous] says: {other}",)
    return error

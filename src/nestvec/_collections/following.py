"""Following a collection that is migrated: what it may be, and running an operation on what it is.

A handle knows up to three descriptions of its collection: what the configuration wants, what it was before
(`[collections.NAME.previous]`), and, once that was found, what it was shrunk to. An operation runs on the one that
worked last. Where that one is not to be found (any more), the whole operation is begun again on the other one. So each
run has one spec, one embedder, one backend, and no result mixes two.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from nestvec._collections import write_fence
from nestvec._collections.opening import REFUSALS, CollectionState, OpenCollection, T, open_to_read
from nestvec._collections.superseded import find_superseding
from nestvec._session.session import Session
from nestvec.contract import Event
from nestvec.errors import CollectionMoved, NestvecError, SpaceMismatch

#: The alternatives by number: what the configuration wants, and what the collection was before.
WANTED, PREVIOUS = 0, 1
#: How often it is looked for where it is said to have moved to.
_LOOKS = 6


@dataclass(frozen=True, slots=True)
class LiveAlternative:
    """What worked last: the number of the alternative, and what is known of the collection there."""

    number: int
    state: CollectionState


@dataclass(slots=True)
class Alternatives:
    """What a handle's collection may be. Shared by threads: what changes is replaced as a whole."""

    wanted: CollectionState
    previous: CollectionState | None = None
    known: LiveAlternative | None = field(default=None, repr=False)

    @property
    def live(self) -> LiveAlternative:
        """What worked last; before anything did, what is wanted."""
        return self.known or LiveAlternative(WANTED, self.wanted)

    def configured(self, number: int) -> CollectionState:
        """The state of an alternative, as the configuration describes it."""
        return self.wanted if number == WANTED or self.previous is None else self.previous

    def order(self) -> tuple[int, ...]:
        """Where to look: first where it was last, and there once more, as it may move between two looks."""
        if self.previous is None:
            return (WANTED,)
        first = self.live.number
        return (first, PREVIOUS if first == WANTED else WANTED, first)

    def forget(self) -> None:
        """Look everything up at the next use."""
        for state in (self.wanted, self.previous, self.live.state):
            if state is not None:
                state.forget()


async def follow(
    among: Alternatives,
    sessions: Sequence[Session],
    work: Callable[[OpenCollection], Awaitable[T]],
    tenant: str | None = None,
) -> T:
    """Run an operation where the collection is; each alternative has a session. `work` is called anew for each try.

    Raises what the operation raises; and where the collection is nowhere to be found, the error of what is wanted,
    which says also why it is not what it was before. Where one alternative says that it moved, the other one gets a few
    seconds to show it: aliases of some backends are seen late.
    """
    refusals: list[tuple[int, NestvecError]] = []
    for look in range(_LOOKS):
        if look:
            await sessions[WANTED].wait(write_fence.POLL)
        for number in among.order():
            try:
                state, result = await _try(among, number, sessions[number], work, tenant)
            except REFUSALS as error:
                if not error.unbound or among.previous is None:
                    raise
                refusals.append((number, error))
            else:
                if among.known is None or among.known.state is not state:
                    _settle(among, LiveAlternative(number, state), sessions[number])
                return result
        if not any(isinstance(error, CollectionMoved) for _, error in refusals):
            break
    raise _refusal(among, refusals)


async def located(among: Alternatives, sessions: Sequence[Session]) -> LiveAlternative:
    """Where the collection is now. Where it is nowhere, what is wanted: whoever uses that says why."""
    try:
        await follow(among, sessions, open_to_read)
    except REFUSALS as error:
        if not error.unbound:
            raise
        return LiveAlternative(WANTED, among.wanted)
    return among.live


async def _try(
    among: Alternatives,
    number: int,
    session: Session,
    work: Callable[[OpenCollection], Awaitable[T]],
    tenant: str | None,
) -> tuple[CollectionState, T]:
    """Run it in one place: as what the collection was shrunk to, if it was, or as the configuration describes it."""
    configured, live = among.configured(number), among.live
    if live.number == number and live.state is not configured:
        try:
            return live.state, await _entered(OpenCollection(live.state, session, tenant), work)
        except REFUSALS as error:  # shrunk again, or brought back
            if not error.unbound:
                raise
    collection = OpenCollection(configured, session, tenant)
    try:
        # Where there is one alternative, what can be checked beforehand is checked before anything is sent.
        run = work(collection) if among.previous is None else _entered(collection, work)
        return configured, await run
    except SpaceMismatch as error:
        if not error.unbound:
            raise
        shrunk = await find_superseding(collection, error)
        if shrunk is None:
            raise
    return shrunk, await _entered(OpenCollection(shrunk, session, tenant), work)


async def _entered(collection: OpenCollection, work: Callable[[OpenCollection], Awaitable[T]]) -> T:
    """Only once it is known to be there: what is asked for may be wrong for what the collection is not."""
    await open_to_read(collection)
    return await work(collection)


def _settle(among: Alternatives, live: LiveAlternative, session: Session) -> None:
    """Begin there the next time, and tell listeners if it was another one before."""
    before, among.known = among.known, live
    was, now = before.state.target if before is not None else None, live.state.target
    if was is None or now is None:
        return
    moved = {"from": was.physical, "to": now.physical, "backend": live.state.spec.backend}
    session.emit(Event("alias_moved", live.state.spec.name, moved))


def _refusal(among: Alternatives, refusals: Sequence[tuple[int, NestvecError]]) -> NestvecError:
    """The latest error of what is wanted; with the other one's reason, too."""
    latest = dict(refusals)
    error, other = latest[WANTED], latest.get(PREVIOUS)
    if other is not None:
        name = among.wanted.spec.name
        error.args = (f"{error}\nNor is it what [collections.{name}.previous] says: {other}",)
    return error

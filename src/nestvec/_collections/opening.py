"""Opening a collection: from its logical name to the physical collection behind it, for reading and for writing.

A handle keeps what it knows of its collection (`CollectionState`); each call looks at that through a session of its own
(`OpenCollection`).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from nestvec._chunking import EMPTY
from nestvec._collections import write_fence
from nestvec._collections.checks import check_tenant, vouch
from nestvec._collections.intents import Intent, WithoutIntents
from nestvec._collections.write_fence import FenceState, WriteFence
from nestvec._session.retry import LEASE
from nestvec.contract import CollectionInfo, Describe, Event, ForeignLayout, Remove, ResolveAlias, Write
from nestvec.errors import (
    BackendUnavailable,
    CollectionConflict,
    CollectionMoved,
    CollectionNotFound,
    GenerationMoved,
    HostMismatch,
    SpaceMismatch,
    SpaceUnknown,
)
from nestvec.filters import Filter, FilterLike, all_of, resolve, system, to_foreign
from nestvec.types import FieldType

if TYPE_CHECKING:
    from nestvec._session.session import Backend, Session
    from nestvec._specs import CollectionSpec, StoredCollection
    from nestvec.capabilities import BackendCapabilities

T = TypeVar("T")

#: How many leases a write that keeps failing may outlive.
_LEASES = 3
#: What is raised where a collection is not to be found as the spec describes it.
REFUSALS = (CollectionNotFound, CollectionMoved, CollectionConflict, SpaceMismatch, SpaceUnknown)


@dataclass(frozen=True, slots=True)
class Target:
    """A physical collection that an alias led to, known to be in the wanted space."""

    physical: str
    stored: StoredCollection
    until: float
    #: How to read it, if somebody else made it.
    foreign: ForeignLayout | None = None
    #: What holds writers up there; None: nothing does.
    fence: WriteFence | None = None

    @property
    def generation(self) -> int:
        """Which generation of the logical collection this is."""
        return self.stored.generation


@dataclass(frozen=True, slots=True)
class HostAdmission:
    """What is known of the embedder's host at a physical collection; see `nestvec._hosts.admission`."""

    physical: str
    until: float
    admitted: bool = False
    refusal: Callable[[], HostMismatch] | None = None


@dataclass(frozen=True, slots=True)
class IntentLook:
    """Which intents there were; looked at again when the lease has passed."""

    until: float
    found: tuple[Intent, ...]
    #: The documents of which searches have to ask what is current; None: nobody has searched since.
    doubtful: frozenset[str] | None = None


@dataclass(slots=True)
class WriteTurn:
    """One try at changing some documents: under which revision, until when by the handle's clock.

    Only where others may write, too. The revision is a random one that nobody else writes under. Nothing is sent after
    `ends`: others may take what is left for dead then. It is `clean` while each of its requests took effect once, at
    once.
    """

    revision: str
    ends: float
    clean: bool = True

    def soil(self) -> None:
        """A request may yet take effect."""
        self.clean = False


class TurnEnded(Exception):
    """Raised where a turn ends before its last request: begin another one. Never seen by users."""

    def __init__(self, reason: BackendUnavailable) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(slots=True)
class CollectionState:
    """What a handle knows of its collection. Shared by threads: what changes is replaced as a whole, never altered."""

    spec: CollectionSpec
    capabilities: BackendCapabilities
    clock: Callable[[], float]
    lease: float = LEASE
    #: The time of day, in seconds since 1970: see `nestvec._collections.write_fence`.
    wall: Callable[[], float] = time.time
    target: Target | None = field(default=None, repr=False)
    admission: HostAdmission | None = field(default=None, repr=False)
    #: The intents that were found, by physical collection and tenant.
    looks: dict[tuple[str, str | None], IntentLook] = field(default_factory=dict, repr=False)

    @property
    def alias(self) -> str:
        """The collection's name under the backend's rules."""
        return self.capabilities.names.encode(self.spec.name)

    def forget(self) -> None:
        """Resolve again at the next use."""
        self.target = None

    def knows_host(self, target: Target, *, writing: bool) -> bool:
        """Whether the embedder's host needs no looking up there. Raises `HostMismatch` again where it was refused."""
        if not self.spec.model.host:
            return True
        known = self.admission
        if known is None or known.physical != target.physical or self.clock() >= known.until:
            return False
        if known.refusal is not None:
            raise known.refusal()
        return known.admitted or not writing


@dataclass(slots=True)
class OpenCollection:
    """One call's view of a collection: what its handle knows, whom to ask, and on behalf of which tenant."""

    state: CollectionState
    session: Session
    tenant: str | None = None
    #: How the target is looked up, where not by its alias: for whoever migrates.
    look: Callable[[], Awaitable[Target]] | None = field(default=None, repr=False)
    spec: CollectionSpec = field(init=False)
    capabilities: BackendCapabilities = field(init=False)
    clock: Callable[[], float] = field(init=False)
    #: For requests about the collection as a whole.
    backend: Backend = field(init=False)
    #: For requests about records: those of the tenant, if there is one.
    records: Backend = field(init=False)
    #: The same, with the intents of writers among them.
    intents: Backend = field(init=False)
    #: Whether other processes may write it, too: it is nestvec's own, on a server that finds records by an index.
    shared: bool = field(init=False)

    def __post_init__(self) -> None:
        state, backend = self.state, self.session.backend
        self.spec, self.capabilities, self.clock = state.spec, state.capabilities, state.clock
        self.backend = backend
        foreign = state.spec.foreign
        self.shared = foreign is None and not (state.capabilities.embedded or state.capabilities.scans)
        if foreign is not None:
            self.records = self.intents = backend.reading(foreign)
            return
        self.records = self.intents = backend if self.tenant is None else backend.of_tenant(self.tenant)
        if self.shared:
            self.backend = WithoutIntents(self.session)
            self.records = self.backend if self.tenant is None else self.backend.of_tenant(self.tenant)

    def of_tenant(self, tenant: str | None) -> OpenCollection:
        """The same, on behalf of another tenant; None: of all of them."""
        return replace(self, tenant=tenant)

    def knowing(self, state: CollectionState) -> OpenCollection:
        """The same, with other knowledge: as another spec describes it."""
        return replace(self, state=state)


async def open_to_read(collection: OpenCollection) -> Target:
    """The current target, for reading: resolved once, and again when its lease has passed.

    Raises `CollectionNotFound`, `CollectionMoved`, `SpaceMismatch`, `SpaceUnknown` or `CollectionConflict`.
    """
    target = collection.state.target
    if target is not None and collection.clock() < target.until:
        return target
    return await renew(collection)


async def open_to_write(collection: OpenCollection) -> Target:
    """The current target, within its lease and unfenced: waits where a migration holds writers up.

    Raises as `open_to_read` does; `MigrationInterrupted` where a switch does not come to an end; and
    `BackendUnavailable` where the backend takes longer than a lease to say where the collection is.
    """
    late, switching = 0, None
    while True:
        target = await open_to_read(collection)
        if target.fence is None:
            if collection.clock() < target.until:
                return target
            late += 1
            if late == _LEASES:
                raise _too_slow(collection.state)
            continue
        if target.fence.state is not FenceState.SWITCHING:
            switching = None
        elif switching is None:
            switching = collection.clock()
        elif collection.clock() - switching >= write_fence.PATIENCE:
            raise write_fence.interrupted(collection.spec.name, target.physical, target.fence)
        await collection.session.wait(write_fence.POLL)
        if collection.state.target is target:  # of several that wait, one looks for all
            await renew(collection)


def _too_slow(state: CollectionState) -> BackendUnavailable:
    return BackendUnavailable(
        f"backend {state.spec.backend!r} takes longer than {state.lease:g} seconds to say where collection "
        f"{state.spec.name!r} is; nothing was written, try again"
    )


async def renew(collection: OpenCollection) -> Target:
    """Look the target up, whatever is known. Raises as `open_to_read` does, and marks what it raises (`unbound`)."""
    if collection.look is not None:
        collection.state.target = await collection.look()
        return collection.state.target
    try:
        return await _renew(collection)
    except REFUSALS as error:
        error.unbound = True
        raise


async def _renew(collection: OpenCollection) -> Target:
    known = collection.state.target
    fresh = await _look_up(collection)
    if fresh.fence is not None and fresh.fence.state is FenceState.MOVED:
        # The alias may have been read just before it moved. If it still leads here, then the way out is elsewhere.
        fresh, left = await _look_up(collection), fresh
        if fresh.fence is not None and fresh.fence.state is FenceState.MOVED:
            raise write_fence.moved(collection.spec.name, left.physical, fresh.fence)
    if known is not None and known.physical != fresh.physical:
        moved = {"from": known.physical, "to": fresh.physical}
        collection.session.emit(Event("alias_moved", collection.spec.name, moved))
    collection.state.target = fresh
    return fresh


async def _look_up(collection: OpenCollection) -> Target:
    # The lease counts from before the question, so that it never outlives the answer; so does the fence's end.
    state = collection.state
    asked_at, wall = state.clock(), state.wall()
    spec = state.spec
    physical, info = await locate(collection)
    if info is None or physical is None:
        raise CollectionNotFound(
            f"collection {spec.name!r} does not exist on backend {spec.backend!r}; "
            f"create it with `nestvec apply` or apply()"
        )
    stored = vouch(spec, info, state.capabilities)
    # An adopted collection has no fence: nothing of it is altered. It is read after the alias, never before.
    fence = await write_fence.read_fence(collection.backend, physical) if spec.foreign is None else None
    held = fence if fence is not None and fence.holds_up(wall) else None
    return Target(physical, stored, asked_at + state.lease, spec.foreign, held)


async def locate(collection: OpenCollection) -> tuple[str | None, CollectionInfo | None]:
    """Where the alias leads, and what is there. An adopted collection has no alias: nothing of it is altered."""
    foreign = collection.spec.foreign
    if foreign is not None:
        return foreign.collection, await collection.records.describe(Describe(foreign.collection))
    physical = await collection.backend.resolve_alias(ResolveAlias(collection.state.alias))
    if physical is None:
        return None, None
    return physical, await collection.backend.describe(Describe(physical))


#: First chunks: one record for each document.
HEADS: Filter = system("chunk", FieldType.INTEGER) == 0


#: Documents that have something to be found by.
_WITH_TEXT: Filter = ~(system("layout", FieldType.KEYWORD) == EMPTY)


def with_text(spec: CollectionSpec, target: Target, where: Filter | None) -> Filter | None:
    """The filter, without documents that have no text, where there may be such: their vectors mean nothing."""
    return all_of(where, _WITH_TEXT) if spec.keep_empty or target.stored.keep_empty else where


def checked_filter(collection: OpenCollection, where: FilterLike | None) -> Filter | None:
    """The filter, resolved. Raises `InvalidFilter`, and `InvalidName` for a call without its tenant."""
    spec, tenant = collection.spec, collection.tenant
    if spec.namespaces or tenant is not None:
        check_tenant(spec, tenant)
    return None if where is None else resolve(where, spec.fields, open_fields=spec.open_fields)


def foreign_filter(target: Target, where: Filter | None) -> Filter | None:
    """The filter in the words of the collection that it goes to."""
    return where if target.foreign is None else to_foreign(where, target.foreign.fields)


async def require_unmoved(collection: OpenCollection, target: Target) -> Target:
    """Before a write: renew the target's lease if it has passed, and wait while a migration holds writers up.

    Raises `GenerationMoved` if the alias moved.
    """
    current = await open_to_write(collection)
    if current.physical != target.physical:
        raise GenerationMoved(
            f"collection {collection.spec.name!r} moved from {target.physical!r} to {current.physical!r} while it "
            f"was written to; the write was refused, repeat it"
        )
    return current


async def write_within_lease(
    collection: OpenCollection, target: Target, request: Write | Remove, turn: WriteTurn | None = None
) -> None:
    """Write or remove within the lease, and within a turn. A repetition after it asks anew where the alias leads.

    Raises `GenerationMoved` if the alias moved, `TurnEnded`, and whatever the backend raises.
    """
    soil, ends = (None, None) if turn is None else (turn.soil, turn.ends)
    for _ in range(_LEASES):
        current = await require_unmoved(collection, target)
        until = current.until if ends is None else min(ends, current.until)
        fenced = replace(request, generation=target.generation, until=until)
        try:
            if isinstance(fenced, Write):
                return await collection.records.write(fenced, soil)
            return await collection.records.remove(fenced, soil)
        except BackendUnavailable as error:
            if ends is not None and collection.clock() >= ends:
                raise TurnEnded(error) from error
            if collection.clock() < current.until:
                raise  # its repetitions are at their end
            failure = error
    raise failure


async def on_target(collection: OpenCollection, use: Callable[[Target], Awaitable[T]]) -> T:
    """Run a reading rule on the current target; if that collection is gone, resolve again, once."""
    target = await open_to_read(collection)
    try:
        return await use(target)
    except CollectionNotFound as error:
        gone = error
    collection.state.forget()
    again = await open_to_read(collection)
    if again.physical == target.physical:
        raise gone
    return await use(again)


async def on_current(collection: OpenCollection, work: Callable[[Target], Awaitable[T]]) -> T:
    """Run a writing rule on the current target; if the alias moves meanwhile, run it again on the new one.

    What it read and wrote counts if the target is still the current one when it is done: an answer that came after
    the lease may be of a collection that somebody else has left already. If the target is gone, it is looked up again.
    """
    gone, left = None, ""
    while True:
        target = await open_to_write(collection)
        if gone is not None and target.physical == left:
            raise gone
        try:
            result = await work(target)
            await require_unmoved(collection, target)
        except GenerationMoved:
            continue
        except CollectionNotFound as error:
            if collection.look is not None:
                raise
            gone, left = error, target.physical
            collection.state.forget()
        else:
            return result

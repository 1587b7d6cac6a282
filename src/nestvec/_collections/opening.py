"""What all flows share: their type, and the binding from a logical name to a physical collection."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

from nestvec._collections import write_fence as gates
from nestvec._collections.write_fence import Gate, State
from nestvec._specs import CollectionSpec, StoredCollection
from nestvec.capabilities import BackendCapabilities
from nestvec.contract import (
    BackendRequest,
    CollectionInfo,
    Describe,
    Encode,
    Event,
    ForeignLayout,
    Remove,
    ResolveAlias,
    Write,
)
from nestvec.errors import (
    BackendUnavailable,
    CollectionConflict,
    CollectionMoved,
    CollectionNotFound,
    GenerationMoved,
    HostMismatch,
    InvalidName,
    SpaceMismatch,
    SpaceUnknown,
    Unsupported,
)
from nestvec.filters import Filter, to_foreign
from nestvec.spaces import require_same
from nestvec.types import Storage
from nestvec.values import is_unicode

T = TypeVar("T")
R = TypeVar("R")

#: How many leases a write that keeps failing may outlive.
_FENCES = 3
#: Seconds for which a handle trusts the pointer it resolved. Readers follow a switch within one lease.
LEASE = 30.0


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell listeners. Answered with None by the driver itself."""

    event: Event


@dataclass(frozen=True, slots=True)
class Alone:
    """Run another flow while no second one runs so for the same handle. Answered with its result by the driver itself.

    Of several flows that need the same thing done first, one does it; the others wait, and look again.
    """

    flow: Callable[[], Generator[Any, Any, Any]]


@dataclass(frozen=True, slots=True)
class Wait:
    """Let seconds pass. Answered with None by the driver itself; an ingestion that is broken off does not wait on."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Splitting:
    """What splits the documents of the collection. Answered with a `Splitter` by the driver itself."""


Request: TypeAlias = BackendRequest | Encode | Emit | Alone | Wait | Splitting
Flow: TypeAlias = Generator[Request, Any, T]


@dataclass(frozen=True, slots=True)
class Target:
    """A physical collection that a pointer led to, known to be in the wanted space."""

    physical: str
    stored: StoredCollection
    until: float
    #: How to read it, if somebody else made it.
    foreign: ForeignLayout | None = None
    #: What holds writers up there; None: its gate is open.
    gate: Gate | None = None

    @property
    def generation(self) -> int:
        """Which generation of the logical collection this is."""
        return self.stored.generation


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of the embedder's host at a physical collection; see `nestvec._hosts.admission`."""

    physical: str
    until: float
    admitted: bool = False
    refusal: Callable[[], HostMismatch] | None = None


@dataclass(slots=True)
class Binding:
    """What a handle knows of its collection. Shared by threads: what changes is replaced as a whole, never altered."""

    spec: CollectionSpec
    capabilities: BackendCapabilities
    clock: Callable[[], float]
    lease: float = LEASE
    #: The time of day, in seconds since 1970: see `nestvec._collections.write_fence`.
    wall: Callable[[], float] = time.time
    target: Target | None = field(default=None, repr=False)
    standing: Standing | None = field(default=None, repr=False)
    #: How the target is looked up, where not by its pointer: for whoever migrates.
    look: Callable[[], Flow[Target]] | None = field(default=None, repr=False, compare=False)

    @property
    def pointer(self) -> str:
        """The collection's name under the backend's rules."""
        return self.capabilities.names.encode(self.spec.name)

    def forget(self) -> None:
        """Resolve again at the next use."""
        self.target = None


def bind(binding: Binding) -> Flow[Target]:
    """The current target, for reading: resolved once, and again when its lease has passed.

    Raises `CollectionNotFound`, `CollectionMoved`, `SpaceMismatch`, `SpaceUnknown` or `CollectionConflict`.
    """
    target = binding.target
    if target is not None and binding.clock() < target.until:
        return target
    return (yield from renew(binding))


def bind_to_write(binding: Binding) -> Flow[Target]:
    """The current target, within its lease and with an open gate: waits where a migration holds writers up.

    Raises as `bind` does; `MigrationInterrupted` where a switch does not come to an end; and `BackendUnavailable` where
    the backend takes longer than a lease to say where the collection is.
    """
    late, switching = 0, None
    while True:
        target = yield from bind(binding)
        if target.gate is None:
            if binding.clock() < target.until:
                return target
            late += 1
            if late == _FENCES:
                raise _too_slow(binding)
            continue
        if target.gate.state is not State.SWITCHING:
            switching = None
        elif switching is None:
            switching = binding.clock()
        elif binding.clock() - switching >= gates.PATIENCE:
            raise gates.interrupted(binding.spec.name, target.physical, target.gate)
        yield Wait(gates.POLL)
        if binding.target is target:  # of several that wait, one looks for all
            yield from renew(binding)


def _too_slow(binding: Binding) -> BackendUnavailable:
    return BackendUnavailable(
        f"backend {binding.spec.backend!r} takes longer than {binding.lease:g} seconds to say where collection "
        f"{binding.spec.name!r} is; nothing was written, try again"
    )


#: What is raised where a collection is not to be found as the spec describes it.
REFUSALS = (CollectionNotFound, CollectionMoved, CollectionConflict, SpaceMismatch, SpaceUnknown)


def renew(binding: Binding) -> Flow[Target]:
    """Look the target up, whatever is known of it. Raises as `bind` does, and marks what it raises (`unbound`)."""
    if binding.look is not None:
        binding.target = yield from binding.look()
        return binding.target
    try:
        return (yield from _renew(binding))
    except REFUSALS as error:
        error.unbound = True
        raise


def _renew(binding: Binding) -> Flow[Target]:
    known = binding.target
    fresh = yield from _look(binding)
    if fresh.gate is not None and fresh.gate.state is State.MOVED:
        # The pointer may have been read just before it moved. If it still leads here, then the way out is elsewhere.
        fresh, left = (yield from _look(binding)), fresh
        if fresh.gate is not None and fresh.gate.state is State.MOVED:
            raise gates.moved(binding.spec.name, left.physical, fresh.gate)
    if known is not None and known.physical != fresh.physical:
        yield Emit(Event("pointer_moved", binding.spec.name, {"from": known.physical, "to": fresh.physical}))
    binding.target = fresh
    return fresh


def _look(binding: Binding) -> Flow[Target]:
    # The lease counts from before the question, so that it never outlives the answer; so does the fence's end.
    asked_at, wall = binding.clock(), binding.wall()
    spec = binding.spec
    physical, info = yield from locate(binding)
    if info is None or physical is None:
        raise CollectionNotFound(
            f"collection {spec.name!r} does not exist on backend {spec.backend!r}; "
            f"create it with `nestvec apply` or apply()"
        )
    stored = vouch(spec, info, binding.capabilities)
    # An adopted collection has no gate: nothing of it is altered. The gate is read after the pointer, never before.
    gate = (yield from gates.read_gate(physical)) if spec.foreign is None else None
    held = gate if gate is not None and gate.holds_up(wall) else None
    return Target(physical, stored, asked_at + binding.lease, spec.foreign, held)


def locate(binding: Binding) -> Flow[tuple[str | None, CollectionInfo | None]]:
    """Where the pointer leads, and what is there. An adopted collection has no pointer: nothing of it is altered."""
    foreign = binding.spec.foreign
    physical: str | None = foreign.collection if foreign is not None else (yield ResolveAlias(binding.pointer))
    info: CollectionInfo | None = (yield Describe(physical, foreign)) if physical is not None else None
    return physical, info


def require_own(spec: CollectionSpec, action: str) -> None:
    """Raise `Unsupported` for what is done only to collections that nestvec made."""
    if spec.foreign is not None:
        raise Unsupported(
            f"collection {spec.name!r} was adopted: nestvec only reads {spec.foreign.collection!r} and can not "
            f"{action}; copy it into a collection of nestvec's own: nestvec copy {spec.name} NEW"
        )


def foreign_filter(target: Target, where: Filter | None) -> Filter | None:
    """The filter in the words of the collection that it goes to."""
    return where if target.foreign is None else to_foreign(where, target.foreign.fields)


def fence(binding: Binding, target: Target) -> Flow[Target]:
    """Before a write: renew the target's lease if it has passed, and wait while a migration holds writers up.

    Raises `GenerationMoved` if the pointer moved.
    """
    current = yield from bind_to_write(binding)
    if current.physical != target.physical:
        raise GenerationMoved(
            f"collection {binding.spec.name!r} moved from {target.physical!r} to {current.physical!r} while it "
            f"was written to; the write was refused, repeat it"
        )
    return current


def send_fenced(binding: Binding, target: Target, request: Write | Remove) -> Flow[None]:
    """Write or remove within the lease. A repetition after it asks anew where the pointer leads.

    Raises `GenerationMoved` if the pointer moved, and whatever the backend raises.
    """
    for _ in range(_FENCES):
        current = yield from fence(binding, target)
        try:
            yield replace(request, generation=target.generation, until=current.until)
        except BackendUnavailable as error:
            if binding.clock() < current.until:
                raise  # the driver gave up by itself
            failure = error
        else:
            return
    raise failure


def vouch(spec: CollectionSpec, info: CollectionInfo, can: BackendCapabilities) -> StoredCollection:
    """Check that a physical collection is what the spec says. Raises a `SpaceError` or `CollectionConflict`."""
    if spec.foreign is not None and not info.record:
        raise SpaceUnknown(
            f"collection {spec.name!r} is not adopted yet: {info.physical!r} carries no embedding space; adopt it with "
            f"`nestvec apply {spec.name}` or apply()"
        )
    stored = StoredCollection.read(info.record, info.physical)
    require_origin(spec, stored)
    require_same(stored.space, spec.space, spec.name, migrates=spec.foreign is None)
    for what, was, now in disagreements(spec, info, stored, can):
        raise CollectionConflict(
            f"collection {spec.name!r} has {what} {was}, but {now} is wanted; nothing was changed{way_out(spec, what)}"
        )
    if spec.foreign is None:
        _require_types(spec, stored)
    return stored


def _require_types(spec: CollectionSpec, stored: StoredCollection) -> None:
    """Raise `CollectionConflict` where a field is kept as another type: filters would find nothing."""
    for name, kind in spec.fields.items():
        was = stored.known_fields.get(name, kind)
        if was != kind:
            raise CollectionConflict(
                f"collection {spec.name!r} keeps field {name!r} as {was}, but {kind} is wanted; nothing was changed; "
                f"set it back, or migrate: nestvec migrate {spec.name}"
            )


def require_origin(spec: CollectionSpec, stored: StoredCollection) -> None:
    """Raise `CollectionConflict` where nestvec's own collection is to be adopted, or an adopted one to be its own."""
    if (spec.foreign is None) != (stored.foreign is None):
        made = "nestvec's own: leave adopt and foreign out" if stored.foreign is None else "adopted: set adopt = true"
        raise CollectionConflict(f"collection {spec.name!r} is {made}; nothing was changed")


def disagreements(
    spec: CollectionSpec, info: CollectionInfo, stored: StoredCollection, can: BackendCapabilities
) -> list[tuple[str, Any, Any]]:
    """What can not be changed in place and differs, as (what, stored, wanted). The space is compared elsewhere."""
    vectors: tuple[str, Any, Any] = ("vectors", dict(info.vectors), spec.vectors)
    if stored.funnel != spec.funnel:
        vectors = ("funnel", list(stored.funnel), list(spec.funnel))
    pairs = [
        vectors,
        ("metric", str(info.metric), str(spec.metric)),
        ("namespaces", stored.namespaces, spec.namespaces),
    ]
    change = storage_change(spec, info, stored)
    if change is not None and change not in can.storage_updates:
        pairs.append(("storage", str(change[0]), str(change[1])))
    return [(what, was, now) for what, was, now in pairs if was != now]


def storage_change(
    spec: CollectionSpec, info: CollectionInfo, stored: StoredCollection
) -> tuple[Storage, Storage] | None:
    """From what to what the vectors' storage has to change, if at all: what the engine says counts, else the record."""
    was = stored.storage if info.storage is None else info.storage
    return None if spec.foreign is not None or was is spec.storage else (was, spec.storage)


def way_out(spec: CollectionSpec, what: str) -> str:
    """What helps where vectors have to be stored anew, as the end of a sentence."""
    rebuilds = what in ("storage", "funnel", "metric") and spec.foreign is None
    return f"; needs a rebuild: nestvec migrate {spec.name}" if rebuilds else ""


def relayed(flow: Flow[T], wrap: Callable[[Request], R]) -> Generator[R, Any, T]:
    """The same flow, with each of its requests wrapped: for drivers that need to know more of it."""

    def wrapped(request: Request) -> Generator[R, Any, Any]:
        return (yield wrap(request))

    return through(flow, wrapped)


def through(flow: Flow[T], answer: Callable[[Request], Generator[R, Any, Any]]) -> Generator[R, Any, T]:
    """The same flow, its requests answered by another generator, which may ask on. The flow hears of errors."""
    try:
        request = next(flow)
        while True:
            try:
                found = yield from answer(request)
            except Exception as error:  # noqa: BLE001 - handed on to the flow, whose business it is
                request = flow.throw(error)
            else:
                request = flow.send(found)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()


def with_target(binding: Binding, use: Callable[[Target], Flow[T]]) -> Flow[T]:
    """Run a reading flow on the current target; if that collection is gone, resolve again, once."""
    target = yield from bind(binding)
    try:
        return (yield from use(target))
    except CollectionNotFound:
        binding.forget()
        again = yield from bind(binding)
        if again.physical == target.physical:
            raise
        return (yield from use(again))


def check_tenant(spec: CollectionSpec, tenant: str | None) -> str | None:
    """Return the tenant, or raise `InvalidName`: a collection with namespaces needs one, others take none."""
    if spec.namespaces and tenant is None:
        raise InvalidName(
            f"collection {spec.name!r} is declared with namespaces: name one, as in "
            f'nv["{spec.name}"].namespace("acme") or --namespace acme'
        )
    if not spec.namespaces and tenant is not None:
        raise InvalidName(
            f"collection {spec.name!r} is declared without namespaces; set namespaces = true, or leave {tenant!r} out"
        )
    if tenant is not None and (not isinstance(tenant, str) or not tenant.strip() or not is_unicode(tenant)):
        raise InvalidName(f"collection {spec.name!r}: a namespace is a non-empty string, not {ascii(tenant)[:80]}")
    return tenant

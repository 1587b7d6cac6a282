"""The switch: writers wait, a last pass brings what they wrote, the pointer moves. See docs/decisions/0012.

What a run that dies here leaves behind is seen by the next one: before the pointer moved, the shadow and its journal;
after it, a live generation whose journal is not done (`finish`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from nestvec._collections import write_fence as gates
from nestvec._collections.opening import OpenCollection
from nestvec._collections.write_fence import Gate
from nestvec._migration.candidate import is_live
from nestvec._migration.generations import SHADOW, Journal, write_journal
from nestvec._migration.report import Stage
from nestvec._specs import StoredCollection
from nestvec.contract import Describe, SetAlias, Update
from nestvec.errors import (
    BackendDenied,
    BackendRefused,
    CollectionError,
    CollectionNotFound,
    MigrationInterrupted,
    NestvecError,
)

if TYPE_CHECKING:
    from nestvec._collections.write_fence import Place
    from nestvec._migration.candidate import Shadow
    from nestvec._migration.passes import Tally
    from nestvec.contract import CollectionInfo

#: How often a fence is raised before a migration gives up.
TRIES = 3
#: Seconds that a last pass may take at least, and how many times as long as the pass before it.
LEAST, FACTOR = 60.0, 2.0


@dataclass(slots=True)
class Hold:
    """The fence that a running migration has raised, for whoever has to lift it when the migration breaks off."""

    origin: Place | None = None
    shadow: Shadow | None = None
    #: What the gate may say because of this run, and not because of another that goes on with the same migration.
    gates: tuple[Gate, ...] = ()
    #: From here on the pointer may have moved: only running it again tells.
    pointing: bool = False

    def expect(self, origin: Place, shadow: Shadow, gate: Gate) -> None:
        """From here on the gate may say this because of this run. Not sooner: it could be another run's."""
        self.origin, self.shadow = origin, shadow
        self.gates = (*self.gates, gate)


@dataclass(frozen=True, slots=True)
class Switched:
    """How a switch went. `switched` is False where documents could not be brought over: writers go on as before."""

    switched: bool
    tally: Tally
    waited: float = 0.0


async def switch(
    source: OpenCollection,
    origin: Place,
    shadow: Shadow,
    hold: Hold,
    last_pass: Callable[[], Awaitable[Tally]],
    expected: float,
) -> Switched:
    """Let the collection's name lead to the shadow. `expected` is how many seconds the last pass may take.

    Raises `CollectionConflict` where another migration holds the gate, `CollectionError` where the last pass takes
    longer than its fence, however long that is made, and `MigrationInterrupted` where nobody knows whether it switched.
    """
    clock, wall, raised = source.clock, source.state.wall, None
    for number in range(TRIES):
        begun = clock()
        seconds = gates.drain(source.state.lease) + max(LEAST, FACTOR * expected) * 2**number + gates.SKEW
        raising = partial(hold.expect, origin, shadow)
        fence = await gates.raise_fence(wall, origin.physical, shadow.journal.id, seconds, raising)
        raising(Gate(FenceState.SWITCHING, fence.by, to=shadow.place))
        raised = clock() if raised is None else raised
        await source.session.wait(gates.drain(source.state.lease))
        tally = await last_pass()
        if tally.failed:
            await lift(hold)
            return Switched(False, tally, clock() - raised)
        if await gates.to_switching(wall, origin.physical, fence, shadow.place):
            waited = await _go_over(source, origin, shadow, hold, raised)
            return Switched(True, tally, waited)
        expected = max(expected, clock() - begun)
    raise CollectionError(
        f"collection {source.spec.name!r} changes faster than it can be brought over: the last pass, while writers "
        f"wait, took {expected:.0f} seconds and no longer fits a fence of {seconds:.0f}. Nothing was switched; run it "
        f"again when less is written"
    )


async def _go_over(source: OpenCollection, origin: Place, shadow: Shadow, hold: Hold, raised: float) -> float:
    """The switch itself; returns for how long writers waited. Raises `MigrationInterrupted` where it is half done."""
    try:
        await _point(shadow, hold)
        waited = source.clock() - raised
        await finish(origin, shadow.place, shadow.collection, shadow.journal)
    except NestvecError as error:
        if not hold.pointing:
            raise
        raise MigrationInterrupted(
            f"collection {source.spec.name!r}: switching from {origin} to {shadow.place} was interrupted, and the name "
            f"may lead there already: {error}. Run the same command again to bring it to its end; until then writers "
            f"may have to wait"
        ) from error
    return waited


async def _point(shadow: Shadow, hold: Hold) -> None:
    """Without any delay. A gate that says that the collection moved away from here is opened just before.

    It is not too soon: the fence was raised after that switch, and outlasted everybody who came before it.
    """
    hold.pointing = True
    if shadow.closed:
        await gates.reopen(shadow.physical)
    try:
        await target.backend.set_alias(SetAlias(shadow.collection.alias, shadow.physical))
    except (BackendRefused, BackendDenied):
        hold.pointing = shadow.closed  # the pointer is where it was; but an opened gate may have let somebody in
        raise


async def finish(origin: Place, place: Place, target: OpenCollection, journal: Journal) -> None:
    """After the pointer moved; may be repeated. The time that the journal gets is never too early."""
    with suppress(CollectionNotFound):  # somebody dropped it by the backend's own means
        await gates.mark_moved(origin.physical, place)
    await _complete(place.physical)
    await write_journal(place.physical, journal, stage=Stage.DONE, left=target.wall())


async def _complete(physical: str) -> None:
    """Take the mark of a shadow from its record."""
    info: CollectionInfo = await collection.backend.describe(Describe(physical))
    record = {key: value for key, value in (info.record or {}).items() if key != SHADOW}
    if record != info.record:
        await collection.backend.update(Update(physical, StoredCollection.read(record, physical).fields, record))


async def lift(hold: Hold) -> None:
    """Let writers in again, if this run holds them up and the pointer has certainly not moved.

    Another run may have switched while this one raised its fence: then what it left has moved, as it had said.
    """
    if hold.origin is None or hold.shadow is None or hold.pointing:
        return
    physical = hold.origin.physical
    held = await gates.read_fence(physical)
    if held is not None and held.by is not None and held in hold.gates:
        if await is_live(hold.shadow):
            await gates.mark_moved(physical, hold.shadow.place)
        else:
            await gates.lift(physical, held.by)
    hold.gates = ()

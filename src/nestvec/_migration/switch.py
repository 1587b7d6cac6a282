"""The switch: writers wait, a last pass brings what they wrote, the alias moves. See docs/decisions/0012.

What a run that dies here leaves behind is seen by the next one: before the alias moved, the candidate and its note;
after it, a live generation whose note is not done (`finish`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from nestvec._collections import write_fence
from nestvec._collections.write_fence import FenceState, GenerationPlace, WriteFence
from nestvec._migration.generations import CANDIDATE_MARK, MigrationNote, write_note
from nestvec._migration.report import MigrationStage
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
    from nestvec._collections.opening import OpenCollection
    from nestvec._migration.candidate import CandidateGeneration
    from nestvec._migration.transfer import TransferStatistics
    from nestvec._session.session import Backend

#: How often a fence is raised before a migration gives up.
TRIES = 3
#: Seconds that a last pass may take at least, and how many times as long as the pass before it.
LEAST, FACTOR = 60.0, 2.0


@dataclass(slots=True)
class HeldFence:
    """The fence that a running migration has raised, for whoever has to lift it when the migration breaks off."""

    source: OpenCollection
    origin: GenerationPlace
    candidate: CandidateGeneration | None = None
    #: What the fence may say because of this run, and not because of another that goes on with the same migration.
    fences: tuple[WriteFence, ...] = ()
    #: From here on the alias may have moved: only running it again tells.
    pointing: bool = False

    def expect(self, candidate: CandidateGeneration, fence: WriteFence) -> None:
        """From here on the fence may say this because of this run. Not sooner: it could be another run's."""
        self.candidate = candidate
        self.fences = (*self.fences, fence)

    async def lift(self) -> None:
        """Let writers in again, if this run holds them up and the alias has certainly not moved.

        Another run may have switched while this one raised its fence: then what it left has moved, as it had said.
        """
        if self.candidate is None or self.pointing:
            return
        backend, physical = self.source.backend, self.origin.physical
        held = await write_fence.read_fence(backend, physical)
        if held is not None and held.by is not None and held in self.fences:
            if await self.candidate.is_live():
                await write_fence.mark_moved(backend, physical, self.candidate.place)
            else:
                await write_fence.lift(backend, physical, held.by)
        self.fences = ()


@dataclass(frozen=True, slots=True)
class SwitchOutcome:
    """How a switch went. `switched` is False where documents could not be brought over: writers go on as before."""

    switched: bool
    statistics: TransferStatistics
    waited: float = 0.0


async def switch(
    candidate: CandidateGeneration,
    hold: HeldFence,
    last_pass: Callable[[], Awaitable[TransferStatistics]],
    expected: float,
) -> SwitchOutcome:
    """Let the collection's name lead to the candidate. `expected` is how many seconds the last pass may take.

    Raises `CollectionConflict` where another migration holds the fence, `CollectionError` where the last pass takes
    longer than its fence, however long that is made, and `MigrationInterrupted` where nobody knows whether it switched.
    """
    source, physical = hold.source, hold.origin.physical
    clock, wall, lease, raised = source.clock, source.state.wall, source.state.lease, None
    for number in range(TRIES):
        begun = clock()
        seconds = write_fence.drain(lease) + max(LEAST, FACTOR * expected) * 2**number + write_fence.SKEW
        expect = partial(hold.expect, candidate)
        fence = await write_fence.raise_fence(source.backend, wall, physical, candidate.note.id, seconds, expect)
        expect(WriteFence(FenceState.SWITCHING, fence.by, to=candidate.place))
        raised = clock() if raised is None else raised
        await source.session.wait(write_fence.drain(lease))
        statistics = await last_pass()
        if statistics.failed:
            await hold.lift()
            return SwitchOutcome(False, statistics, clock() - raised)
        if await write_fence.to_switching(source.backend, wall, physical, fence, candidate.place):
            waited = await _go_over(candidate, hold, raised)
            return SwitchOutcome(True, statistics, waited)
        expected = max(expected, clock() - begun)
    raise CollectionError(
        f"collection {source.spec.name!r} changes faster than it can be brought over: the last pass, while writers "
        f"wait, took {expected:.0f} seconds and no longer fits a fence of {seconds:.0f}. Nothing was switched; run it "
        f"again when less is written"
    )


async def _go_over(candidate: CandidateGeneration, hold: HeldFence, raised: float) -> float:
    """The switch itself; returns for how long writers waited. Raises `MigrationInterrupted` where it is half done."""
    source, origin = hold.source, hold.origin
    try:
        await _set_alias(candidate, hold)
        waited = source.clock() - raised
        await finish(source.backend, origin, candidate.collection, candidate.place, candidate.note)
    except NestvecError as error:
        if not hold.pointing:
            raise
        raise MigrationInterrupted(
            f"collection {source.spec.name!r}: switching from {origin} to {candidate.place} was interrupted, and the "
            f"name may lead there already: {error}. Run the same command again to bring it to its end; until then "
            f"writers may have to wait"
        ) from error
    return waited


async def _set_alias(candidate: CandidateGeneration, hold: HeldFence) -> None:
    """Without any delay. A fence that says that the collection moved away from here is lifted just before.

    It is not too soon: the source's was raised after that switch, and outlasted everybody who came before it.
    """
    backend = candidate.collection.backend
    hold.pointing = True
    if candidate.closed:
        await write_fence.reopen(backend, candidate.physical)
    try:
        await backend.set_alias(SetAlias(candidate.collection.state.alias, candidate.physical))
    except (BackendRefused, BackendDenied):
        hold.pointing = candidate.closed  # the alias is where it was; but a lifted fence may have let somebody in
        raise


async def finish(
    left: Backend, origin: GenerationPlace, target: OpenCollection, place: GenerationPlace, note: MigrationNote
) -> None:
    """After the alias moved; may be repeated. `left` is the origin's backend.

    The time that the note gets is never too early.
    """
    with suppress(CollectionNotFound):  # somebody dropped it by the backend's own means
        await write_fence.mark_moved(left, origin.physical, place)
    await _unmark(target.backend, place.physical)
    await write_note(target.backend, place.physical, note, stage=MigrationStage.DONE, left=target.state.wall())


async def _unmark(backend: Backend, physical: str) -> None:
    """Take the mark of a candidate from its record. Raises `CollectionNotFound` where it is gone."""
    info = await backend.describe(Describe(physical))
    if info is None:
        raise CollectionNotFound(f"collection {physical!r} does not exist (any more)")
    record = {key: value for key, value in (info.record or {}).items() if key != CANDIDATE_MARK}
    if record != info.record:
        await backend.update(Update(physical, StoredCollection.read(record, physical).fields, record))

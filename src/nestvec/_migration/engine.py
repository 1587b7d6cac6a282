"""Migrating: from the live generation of a collection to another one, which takes its place. See docs/decisions.

Whatever differs is brought over by passes; then writers wait while the last pass runs and the name switches. It may die
anywhere: run again, it finds what it made by the record and note there, and goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from nestvec._collections.opening import HEADS, open_to_read
from nestvec._collections.write_fence import POLL, drain, raise_fence, read_fence
from nestvec._documents.settling import settled_everything
from nestvec._hosts.note import Canaries
from nestvec._migration.candidate import guarded, prepare_candidate
from nestvec._migration.copy import carry_canaries
from nestvec._migration.generations import GenerationRole
from nestvec._migration.passes import BLOCK, run_pass
from nestvec._migration.report import MigrationProgress, MigrationReport, MigrationStage
from nestvec._migration.routes import Route, Transform, Way
from nestvec._migration.switch import HeldFence, switch
from nestvec._migration.transfer import Transfer, TransferStatistics
from nestvec._migration.verify import compare, overlap, paired, require_count
from nestvec.capabilities import Freshness
from nestvec.contract import Count, Event, Scroll
from nestvec.errors import NestvecError, Unsupported
from nestvec.types import merged_misfits

if TYPE_CHECKING:
    from nestvec._chunking import Splitter
    from nestvec._collections.opening import OpenCollection
    from nestvec._collections.write_fence import GenerationPlace
    from nestvec._migration.candidate import CandidateGeneration
    from nestvec._migration.generations import Generation
    from nestvec._migration.report import Overlap, ProgressCallback
    from nestvec._migration.transfer import PassProgress, Phase

#: Passes over what changed meanwhile, before writers have to wait; and how little is left to the last one.
CATCH_UPS, FEW = 3, BLOCK
#: Seconds that the target's backend has to let searches find what was brought over.
_SETTLE = 600.0
_STAGES: Mapping[Phase, MigrationStage] = {
    "documents": MigrationStage.COPYING,
    "changes": MigrationStage.CATCHING_UP,
    "last changes": MigrationStage.SWITCHING,
}


@dataclass(frozen=True, slots=True)
class MigrationJob:
    """What a migration, a shrinking or a rollback needs to know. `source` is pinned to `origin`; `target` is not.

    `chosen` is the generation on the target's backend to go on with, None: a new one. `texts` are of documents whose
    texts are not stored, by document hash. `notes` are left beside the new generation. `asks`: the source's embedder is
    at hand. `embeds`: so is the target's; without it, nothing may have to be embedded. `leaves`: what differs is left
    behind. `back`: it is a rollback.
    """

    source: OpenCollection
    origin: GenerationPlace
    target: OpenCollection
    route: Route
    transform: Transform
    splitter: Splitter
    chosen: Generation | None = None
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    questions: Sequence[str] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    asks: bool = True
    embeds: bool = True
    leaves: bool = False
    back: bool = False
    progress: ProgressCallback | None = None

    def tell(self, stage: MigrationStage, note: str = "") -> None:
        """Let the user hear how far it is."""
        if self.progress is not None:
            self.progress(MigrationProgress(stage, note=note))

    def hear(self, state: PassProgress) -> None:
        """The progress of a pass."""
        if self.progress is not None:
            self.progress(MigrationProgress(_STAGES[state.phase], state.seen, state.total, state.brought))


@dataclass(frozen=True, slots=True)
class _Done:
    """What the passes did so far, how long the latest took, and what was verified."""

    first: TransferStatistics
    latest: TransferStatistics
    changed: int = 0
    deleted: int = 0
    seconds: float = 0.0
    verified: int = 0
    overlap: Overlap | None = None

    def then(self, statistics: TransferStatistics, seconds: float) -> _Done:
        """After one more pass."""
        misfits = merged_misfits((*self.latest.misfits, *statistics.misfits))
        latest = replace(statistics, usage=self.latest.usage + statistics.usage, misfits=misfits)
        return replace(
            self,
            latest=latest,
            changed=self.changed + statistics.brought,
            deleted=self.deleted + statistics.deleted,
            seconds=seconds,
        )


async def migrate(job: MigrationJob) -> MigrationReport:
    """Bring everything over, verify it, and switch. What could not be brought over is reported; then nothing moved.

    Raises `Unsupported` where texts or an embedder are missing, `CollectionConflict` where another migration is under
    way, `CollectionError` where what was brought over is not what it should be, and whatever backends and embedders
    raise. Then, too, nothing moved, unless it happened while switching; running it again goes on.
    """
    hold = HeldFence(job.source, job.origin)
    try:
        return await _migrate(job, hold)
    except GeneratorExit:
        raise  # closed: nobody can be asked any more, and the fence runs out by itself
    except BaseException:  # Ctrl-C and cancellation, too
        with suppress(NestvecError):  # the first error is the one to be told
            await hold.lift()
        raise


async def _migrate(job: MigrationJob, hold: HeldFence) -> MigrationReport:
    begun = job.source.clock()
    await _require_texts(job)
    await _take_over(job)
    stored = (await open_to_read(job.source)).stored
    candidate = await prepare_candidate(job.target, job.origin, stored, job.chosen, job.notes, back=job.back)
    candidate = replace(candidate, collection=guarded(candidate, job.source, lambda: hold.fences))
    transfer = _transfer(job, candidate)
    if job.leaves or not job.embeds:
        done = await _nothing(job, transfer)
    else:
        done = await _bring(job, transfer, candidate)
    if done.latest.failed:
        return _report(job, candidate, done, begun)
    return await _switch(job, transfer, candidate, hold, done, begun)


async def _require_texts(job: MigrationJob) -> None:
    """Before anything is made: are there texts to embed? What was live once lacks only what was written since."""
    used = job.chosen is not None and job.chosen.role is not GenerationRole.CANDIDATE
    if job.route.way is not Way.EMBED or job.texts or job.leaves or not job.embeds or used:
        return
    spec = job.source.spec
    batch = await job.source.backend.scroll(Scroll(job.origin.physical))
    if batch.records and all(record.text is None for record in batch.records):
        raise Unsupported(
            f"collection {spec.name!r} cannot be migrated from what it holds: {job.route.reason}, so its texts have "
            f"to be embedded, and they are not stored (store_text = false). Give the files that they came from "
            f"(nestvec migrate {spec.name} --from PATH, or documents=…). Nothing was changed"
        )


async def _take_over(job: MigrationJob) -> None:
    """End a fence or a switch that an earlier run of this migration left, and wait: that run may not be dead."""
    source, physical = job.source, job.origin.physical
    note = job.chosen.note if job.chosen is not None else None
    wall = source.state.wall()
    held = await read_fence(source.backend, physical)
    if note is None or held is None or held.by != note.id or not held.holds_up(wall):
        return
    wait = drain(source.state.lease)
    job.tell(
        MigrationStage.COPYING,
        f"an earlier run broke off while writers waited: going on in {wait:.0f} s, in case it is still at work",
    )
    await raise_fence(source.backend, source.state.wall, physical, note.id, 0.0)
    await source.session.wait(wait)


def _transfer(job: MigrationJob, candidate: CandidateGeneration) -> Transfer:
    return Transfer(
        job.source,
        candidate.collection,
        job.route.way,
        job.transform,
        job.splitter,
        job.texts,
        job.hear,
        used=candidate.used,
    )


async def _nothing(job: MigrationJob, transfer: Transfer) -> _Done:
    """Where nothing can or shall be brought over: nothing may differ, or it is left behind."""
    if job.leaves:
        return _Done(TransferStatistics(), TransferStatistics())
    statistics = await run_pass(replace(transfer, dry=True), "documents")
    if statistics.failed:
        raise _no_embedder(job, len(statistics.failed))
    return _Done(statistics, statistics)


def _no_embedder(job: MigrationJob, count: int) -> Unsupported:
    name, space = job.source.spec.name, job.target.spec.space
    return Unsupported(
        f"collection {name!r}: {count} documents changed since it left {job.target.spec.backend!r}, and no embedder of "
        f"the configuration gives vectors of that space ({space.model}, {space.dimensions} dimensions) for them. "
        f"Nothing was switched. Describe what the collection was in [collections.{name}.previous], or go back without "
        f"these changes: nestvec rollback {name} --discard"
    )


async def _bring(job: MigrationJob, transfer: Transfer, candidate: CandidateGeneration) -> _Done:
    """Passes, until little is left to the last one; then look at what is there."""
    await _carry_canaries(job, candidate)
    await candidate.reach(MigrationStage.COPYING)
    first = await run_pass(transfer, "documents")
    done = _Done(first, first, deleted=first.deleted)
    await candidate.reach(MigrationStage.CATCHING_UP)
    for _ in range(CATCH_UPS):
        begun = job.source.clock()
        statistics = await run_pass(transfer, "changes")
        done = done.then(statistics, job.source.clock() - begun)
        if statistics.changes <= FEW:
            break
    if statistics.failed:
        return done
    await candidate.reach(MigrationStage.VERIFYING)
    await _settle(job, candidate)
    asked = not job.questions or job.asks
    job.tell(
        MigrationStage.VERIFYING,
        "" if asked else "no embedder gives the stored space: documents ask instead of questions",
    )
    pairs = await paired(transfer, statistics.sample)
    seen = await overlap(transfer, pairs, job.questions, ask=job.asks)
    return replace(done, verified=compare(transfer, pairs), overlap=seen)


async def _settle(job: MigrationJob, candidate: CandidateGeneration) -> None:
    """Whoever follows the switch shall find everything. Last changes are few: searches find those at once."""
    if candidate.collection.capabilities.fresh is Freshness.WHEN_SETTLED:
        missing = await settled_everything(candidate.collection, candidate.place.physical, _SETTLE)
        if missing is not None:
            job.tell(MigrationStage.VERIFYING, missing)


async def _carry_canaries(job: MigrationJob, candidate: CandidateGeneration) -> None:
    """Vectors that are not embedded anew go on being vouched for by the host that made them."""
    if job.route.way is not Way.EMBED:
        await carry_canaries(job.source, candidate.collection, lambda canaries: _converted(job, canaries))


def _converted(job: MigrationJob, canaries: Canaries) -> Canaries:
    """The canaries' vectors go the way of all others. That other hosts agree, too, was measured on longer ones."""
    if job.route.way is Way.COPY:
        return canaries
    vectors = {leg: job.transform(rows) for leg, rows in canaries.vectors.items()}
    return Canaries.of(canaries.host, vectors, canaries.version)


async def _switch(
    job: MigrationJob,
    transfer: Transfer,
    candidate: CandidateGeneration,
    hold: HeldFence,
    done: _Done,
    begun: float,
) -> MigrationReport:
    await candidate.reach(MigrationStage.SWITCHING)
    wait = drain(job.source.state.lease) + POLL
    note = f"writers wait {wait:.0f} s at most, and for the last pass (the one before took {done.seconds:.1f} s)"
    job.tell(MigrationStage.DRAINING, note)
    switched = await switch(candidate, hold, partial(_last_pass, job, transfer, candidate), done.seconds)
    done = done.then(switched.statistics, done.seconds)
    if not switched.switched:
        return _report(job, candidate, done, begun)
    report = replace(_report(job, candidate, done, begun, switched.waited), switched=True)
    if job.leaves:
        report = await counted(report, candidate.collection)
    job.tell(MigrationStage.DONE)
    moved = {"from": str(job.origin), "to": str(candidate.place), "way": job.route.way.value, "chunks": report.chunks}
    job.target.session.emit(Event("collection_migrated", job.target.spec.name, moved))
    return report


async def _last_pass(job: MigrationJob, transfer: Transfer, candidate: CandidateGeneration) -> TransferStatistics:
    """While writers wait."""
    if job.leaves:
        return TransferStatistics()
    statistics = await run_pass(replace(transfer, dry=not job.embeds), "last changes")
    if statistics.failed and not job.embeds:
        raise _no_embedder(job, len(statistics.failed))
    if job.embeds:  # whoever wrote first meanwhile left canaries beside the source
        await _carry_canaries(job, candidate)
    if not statistics.failed:
        await require_count(candidate.collection, statistics.chunks)
    return statistics


async def counted(report: MigrationReport, target: OpenCollection) -> MigrationReport:
    """The report with what its target holds."""
    physical = report.target.physical
    documents = await target.backend.count(Count(physical, HEADS))
    chunks = await target.backend.count(Count(physical))
    return replace(report, documents=documents, chunks=chunks)


def _report(
    job: MigrationJob, candidate: CandidateGeneration, done: _Done, begun: float, waited: float = 0.0
) -> MigrationReport:
    return MigrationReport(
        collection=job.target.spec.name,
        way=None if job.leaves else job.route.way,
        reason="what was written since was left behind" if job.leaves else job.route.reason,
        source=job.origin,
        target=candidate.place,
        switched=False,
        documents=done.latest.seen - len(done.latest.failed),
        chunks=done.latest.chunks,
        brought=done.first.brought + done.changed,
        changed=done.changed,
        deleted=done.deleted,
        verified=done.verified,
        overlap=done.overlap,
        writers_waited=waited,
        seconds=job.source.clock() - begun,
        usage=done.latest.usage,
        failed=done.latest.failed,
        misfits=done.latest.misfits,
    )

"""Migrating: from the live generation of a collection to another one, which takes its place. See docs/decisions.

Whatever differs is brought over by passes; then writers wait while the last pass runs and the name switches. It may die
anywhere: run again, it finds what it made by the record and journal there, and goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nestvec._collections.opening import OpenCollection, open_to_read
from nestvec._collections.write_fence import POLL, drain, raise_fence, read_fence
from nestvec._documents.documents import heads_only
from nestvec._hosts.note import Canaries
from nestvec._migration import switch as switching
from nestvec._migration.candidate import Shadow, guarded, prepare
from nestvec._migration.copy import carry_canaries
from nestvec._migration.generations import Standing, write_journal
from nestvec._migration.passes import BLOCK, Crossing, Progress, Tally, run_pass
from nestvec._migration.report import MigrationProgress, MigrationReport, Stage
from nestvec._migration.routes import Route, Transform, Way
from nestvec._migration.switch import Hold
from nestvec._migration.verify import compare, overlap, require_count, twins
from nestvec.contract import Count, Event, Scroll
from nestvec.errors import Unsupported

if TYPE_CHECKING:
    from nestvec._chunking import Splitter
    from nestvec._collections.write_fence import Place
    from nestvec._migration.generations import Generation
    from nestvec._migration.passes import Phase
    from nestvec._migration.report import Overlap, ProgressCallback

#: Passes over what changed meanwhile, before writers have to wait; and how little is left to the last one.
CATCH_UPS, FEW = 3, BLOCK
_STAGES: Mapping[Phase, Stage] = {
    "documents": Stage.COPYING,
    "changes": Stage.CATCHING_UP,
    "last changes": Stage.SWITCHING,
}


@dataclass(frozen=True, slots=True)
class Job:
    """What a migration, a shrinking or a rollback needs to know. `source` is pinned to `origin`; `target` is not.

    `chosen` is the generation on the target's backend to go on with, None: a new one. `texts` are of documents whose
    texts are not stored, by document hash. `notes` are left beside the new generation. `asks`: the source's embedder is
    at hand. `embeds`: so is the target's; without it, nothing may have to be embedded. `leaves`: what differs is left
    behind. `back`: it is a rollback.
    """

    source: OpenCollection
    origin: Place
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
    hold: Hold = field(default_factory=Hold)

    def tell(self, stage: Stage, note: str = "") -> None:
        """Let the user hear how far it is."""
        if self.progress is not None:
            self.progress(MigrationProgress(stage, note=note))

    def hear(self, state: Progress) -> None:
        """The progress of a pass."""
        if self.progress is not None:
            self.progress(MigrationProgress(_STAGES[state.phase], state.seen, state.total, state.brought))


@dataclass(frozen=True, slots=True)
class _Done:
    """What the passes did so far, how long the latest took, and what was verified."""

    first: Tally
    latest: Tally
    changed: int = 0
    deleted: int = 0
    seconds: float = 0.0
    verified: int = 0
    overlap: Overlap | None = None

    def then(self, tally: Tally, seconds: float) -> _Done:
        """After one more pass."""
        latest = replace(tally, usage=self.latest.usage + tally.usage)
        return replace(
            self,
            latest=latest,
            changed=self.changed + tally.brought,
            deleted=self.deleted + tally.deleted,
            seconds=seconds,
        )


async def migrate(job: Job) -> MigrationReport:
    """Bring everything over, verify it, and switch. What could not be brought over is reported; then nothing moved.

    Raises `Unsupported` where texts or an embedder are missing, `CollectionConflict` where another migration is under
    way, `CollectionError` where what was brought over is not what it should be, and whatever backends and embedders
    raise. Then, too, nothing moved, unless it happened while switching; running it again goes on.
    """
    begun = job.source.clock()
    await _require_texts(job)
    await _take_over(job)
    stored = (await open_to_read(job.source)).stored
    shadow = await prepare(job.target, job.origin, stored, job.chosen, job.notes, back=job.back)
    shadow = replace(shadow, collection=guarded(shadow, job.source, lambda: job.hold.gates))
    crossing = _crossing(job, shadow)
    if job.leaves or not job.embeds:
        done = await _nothing(job, crossing)
    else:
        done = await _bring(job, crossing, shadow)
    if done.latest.failed:
        return _report(job, shadow, done, begun)
    return await _switch(job, crossing, shadow, done, begun)


async def _require_texts(job: Job) -> None:
    """Before anything is made: are there texts to embed? What was live once lacks only what was written since."""
    used = job.chosen is not None and job.chosen.standing is not Standing.SHADOW
    if job.route.way is not Way.EMBED or job.texts or job.leaves or not job.embeds or used:
        return
    spec = job.source.spec
    batch = await source.records.scroll(Scroll(job.origin.physical))
    if batch.records and all(record.text is None for record in batch.records):
        raise Unsupported(
            f"collection {spec.name!r} cannot be migrated from what it holds: {job.route.reason}, so its texts have "
            f"to be embedded, and they are not stored (store_text = false). Give the files that they came from "
            f"(nestvec migrate {spec.name} --from PATH, or documents=…). Nothing was changed"
        )


async def _take_over(job: Job) -> None:
    """End a fence or a switch that an earlier run of this migration left, and wait: that run may not be dead."""
    journal = job.chosen.journal if job.chosen is not None else None
    wall = job.source.wall()
    held = await read_fence(job.origin.physical)
    if journal is None or held is None or held.by != journal.id or not held.holds_up(wall):
        return
    wait = drain(job.source.state.lease)
    job.tell(
        Stage.COPYING,
        f"an earlier run broke off while writers waited: going on in {wait:.0f} s, in case it is still at work",
    )
    await raise_fence(job.source.state.wall, job.origin.physical, journal.id, 0.0)
    await source.session.wait(wait)


def _crossing(job: Job, shadow: Shadow) -> Crossing:
    return Crossing(
        job.source,
        shadow.collection,
        job.route.way,
        job.transform,
        job.splitter,
        job.texts,
        job.hear,
        used=shadow.used,
    )


async def _nothing(job: Job, crossing: Crossing) -> _Done:
    """Where nothing can or shall be brought over: nothing may differ, or it is left behind."""
    if job.leaves:
        return _Done(Tally(), Tally())
    tally = await run_pass(replace(crossing, dry=True), "documents")
    if tally.failed:
        raise _no_embedder(job, len(tally.failed))
    return _Done(tally, tally)


def _no_embedder(job: Job, count: int) -> Unsupported:
    name, space = job.source.spec.name, job.target.spec.space
    return Unsupported(
        f"collection {name!r}: {count} documents changed since it left {job.target.spec.backend!r}, and no embedder of "
        f"the configuration gives vectors of that space ({space.model}, {space.dimensions} dimensions) for them. "
        f"Nothing was switched. Describe what the collection was in [collections.{name}.previous], or go back without "
        f"these changes: nestvec rollback {name} --discard"
    )


async def _bring(job: Job, crossing: Crossing, shadow: Shadow) -> _Done:
    """Passes, until little is left to the last one; then look at what is there."""
    await _carry_canaries(job, shadow)
    await _at_stage(shadow, Stage.COPYING)
    first = await run_pass(crossing, "documents")
    done = _Done(first, first, deleted=first.deleted)
    await _at_stage(shadow, Stage.CATCHING_UP)
    for _ in range(CATCH_UPS):
        begun = job.source.clock()
        tally = await run_pass(crossing, "changes")
        done = done.then(tally, job.source.clock() - begun)
        if tally.changes <= FEW:
            break
    if tally.failed:
        return done
    await _at_stage(shadow, Stage.VERIFYING)
    asked = not job.questions or job.asks
    job.tell(Stage.VERIFYING, "" if asked else "no embedder gives the stored space: documents ask instead of questions")
    pairs = await twins(crossing, tally.sample)
    seen = await overlap(crossing, pairs, job.questions, ask=job.asks)
    return replace(done, verified=compare(crossing, pairs), overlap=seen)


async def _carry_canaries(job: Job, shadow: Shadow) -> None:
    """Vectors that are not embedded anew go on being vouched for by the host that made them."""
    if job.route.way is not Way.EMBED:
        await carry_canaries(job.source, shadow.collection, lambda canaries: _converted(job, canaries))


async def _at_stage(shadow: Shadow, stage: Stage) -> None:
    await write_journal(shadow.physical, shadow.journal, stage=stage)


def _converted(job: Job, canaries: Canaries) -> Canaries:
    """The canaries' vectors go the way of all others. That other hosts agree, too, was measured on longer ones."""
    if job.route.way is Way.COPY:
        return canaries
    vectors = {leg: job.transform(rows) for leg, rows in canaries.vectors.items()}
    return Canaries.of(canaries.host, vectors, canaries.version)


async def _switch(job: Job, crossing: Crossing, shadow: Shadow, done: _Done, begun: float) -> MigrationReport:
    await _at_stage(shadow, Stage.SWITCHING)
    wait = drain(job.source.state.lease) + POLL
    note = f"writers wait {wait:.0f} s at most, and for the last pass (the one before took {done.seconds:.1f} s)"
    job.tell(Stage.DRAINING, note)

    async def last_pass() -> Tally:
        if job.leaves:
            return Tally()
        tally = await run_pass(replace(crossing, dry=not job.embeds), "last changes")
        if tally.failed and not job.embeds:
            raise _no_embedder(job, len(tally.failed))
        if job.embeds:  # whoever wrote first meanwhile left canaries beside the source
            await _carry_canaries(job, shadow)
        if not tally.failed:
            await require_count(shadow.collection, tally.chunks)
        return tally

    switched = await switching.switch(job.source, job.origin, shadow, job.hold, last_pass, done.seconds)
    done = done.then(switched.tally, done.seconds)
    if not switched.switched:
        return _report(job, shadow, done, begun)
    report = replace(_report(job, shadow, done, begun, switched.waited), switched=True)
    if job.leaves:
        report = await counted(report)
    job.tell(Stage.DONE)
    moved = {"from": str(job.origin), "to": str(shadow.place), "way": job.route.way.value, "chunks": report.chunks}
    target.session.emit(Event("collection_migrated", job.target.spec.name, moved))
    return report


async def counted(report: MigrationReport) -> MigrationReport:
    """The report with what its target holds."""
    physical = report.target.physical
    documents = await target.records.count(Count(physical, heads_only(None)))
    chunks = await target.records.count(Count(physical))
    return replace(report, documents=documents, chunks=chunks)


def _report(job: Job, shadow: Shadow, done: _Done, begun: float, waited: float = 0.0) -> MigrationReport:
    return MigrationReport(
        collection=job.target.spec.name,
        way=None if job.leaves else job.route.way,
        reason="what was written since was left behind" if job.leaves else job.route.reason,
        source=job.origin,
        target=shadow.place,
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
    )

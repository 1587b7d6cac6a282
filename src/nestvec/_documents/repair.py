"""Putting a whole collection in order: what dead writers left is found by reading every record, and removed.

A survey reads; `mend` looks again at what it found, document by document, and removes what is still left over. So it is
safe beside writers, and may be broken off and run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nestvec._collections.checks import require_own
from nestvec._collections.intents import is_intent, read_intents
from nestvec._collections.opening import OpenCollection, Target, on_current, on_target
from nestvec._collections.write_fence import NOTE, FenceState, read_fence
from nestvec._documents.layout import Head, head_id
from nestvec._documents.reading import tenants as tenants_of
from nestvec._documents.reading import whole
from nestvec._documents.tidying import BLOCK, Stored, add_record, remove, tidy, tidy_after_dead
from nestvec.contract import Count, Fetch, Scroll, WriteNote
from nestvec.errors import CollectionError

if TYPE_CHECKING:
    from nestvec._collections.intents import Intent
    from nestvec.types import Record

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class RepairProgress:
    """How far a repair is in reading the collection.

    Attributes:
        seen: Records that were looked at.
        total: How many there are, about.
    """

    seen: int
    total: int


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair found and did.

    Attributes:
        records, documents: How many were looked at.
        leftovers: Records that belonged to no document's current version. They were removed, unless it was a dry run.
        in_progress: Records of writers that are at work, or died less than two leases ago. They were left alone.
        torn: Ids of documents whose chunks are not all there: ingest them again.
        without_text: Records that should have their text, and have none.
        intents: Dead writers' intents, which were removed, unless it was a dry run.
        notes: What migrations left that died, in words; removed, unless it was a dry run or says otherwise.
        dry_run: Whether nothing was changed.
    """

    records: int = 0
    documents: int = 0
    leftovers: int = 0
    in_progress: int = 0
    torn: tuple[str, ...] = ()
    without_text: int = 0
    intents: int = 0
    notes: tuple[str, ...] = ()
    dry_run: bool = False

    @property
    def sound(self) -> bool:
        """Whether all is in order now, as far as a repair can bring it."""
        return not (self.torn or self.without_text) and not (self.dry_run and (self.leftovers or self.intents))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values.

        Returns:
            The fields by name.

        Example:
            >>> docs.repair().to_dict()["leftovers"]
            0
        """
        return {
            "records": self.records,
            "documents": self.documents,
            "leftovers": self.leftovers,
            "in_progress": self.in_progress,
            "torn": list(self.torn),
            "without_text": self.without_text,
            "intents": self.intents,
            "notes": list(self.notes),
            "dry_run": self.dry_run,
        }


@dataclass(slots=True)
class Survey:
    """What there is of one tenant, or of nobody in particular."""

    tenant: str | None
    stored: dict[str, Stored] = field(default_factory=dict)
    intents: tuple[Intent, ...] = ()
    records: int = 0
    without_text: int = 0
    #: By what `mend` looks at again.
    littered: dict[str, Stored] = field(default_factory=dict)
    torn: list[str] = field(default_factory=list)
    leftovers: int = 0
    in_progress: int = 0
    #: Intents that are over.
    dead: int = 0

    @property
    def documents(self) -> int:
        """How many have a head."""
        return sum(each.head is not None for each in self.stored.values())

    def blocks(self) -> Iterator[dict[str, Stored]]:
        """What is to be mended, some documents at a time."""
        keys = sorted(self.littered)
        for start in range(0, len(keys), BLOCK):
            yield {key: self.littered[key] for key in keys[start : start + BLOCK]}


async def survey(
    collection: OpenCollection, progress: Callable[[RepairProgress], object] | None = None
) -> list[Survey]:
    """Read every record, of every tenant where none is meant, and sort out what is not in order."""
    require_own(collection.spec, "repair it")

    async def use(target: Target) -> list[Survey]:
        total = await collection.records.count(Count(target.physical))
        every = collection.spec.namespaces and collection.tenant is None
        tenants: Sequence[str | None] = await tenants_of(collection) if every else [collection.tenant]
        surveys: list[Survey] = []
        for tenant in tenants:
            before = sum(each.records for each in surveys)
            surveys.append(await _survey(collection.of_tenant(tenant), target, before, total, progress))
        return surveys

    return await on_target(collection, use)


async def _survey(
    collection: OpenCollection,
    target: Target,
    before: int,
    total: int,
    progress: Callable[[RepairProgress], object] | None,
) -> Survey:
    found = Survey(collection.tenant)
    intents: list[Record] = []
    cursor: str | int | None = None
    while True:
        page = Scroll(target.physical, None, _PAGE, cursor, content=collection.spec.store_text)
        batch = await collection.intents.scroll(page)
        for record in batch.records:
            if is_intent(record):
                intents.append(record)
                continue
            add_record(found.stored, record)
            found.records += 1
            found.without_text += collection.spec.store_text and not record.text
        if progress is not None:
            progress(RepairProgress(before + found.records, max(total, before + found.records)))
        cursor = batch.cursor
        if cursor is None:
            break
    found.intents = read_intents(intents)
    await _judge(collection, target, found)
    return found


async def _judge(collection: OpenCollection, target: Target, found: Survey) -> None:
    state = collection.state
    now = state.wall()
    alive = {each.revision for each in found.intents if not each.over(now, state.lease)}
    found.dead = sum(each.revision not in alive for each in found.intents)
    for key, stored in found.stored.items():
        left = {revision: len(stored.of(revision)) for revision in stored.others}
        busy = sum(number for revision, number in left.items() if revision in alive)
        idle = sum(left.values()) - busy + len(stored.surplus)
        found.in_progress += busy
        found.leftovers += idle
        if idle:
            found.littered[key] = stored
        if not stored.complete and await _is_torn(collection, target, key):
            found.torn.append(key)


async def _is_torn(collection: OpenCollection, target: Target, key: str) -> bool:
    """Whether it is so for good: a survey takes its time, and documents are replaced meanwhile."""
    try:
        await whole(collection, target, [key])
    except CollectionError:
        return True
    return False


async def mend(collection: OpenCollection, found: Survey, block: dict[str, Stored]) -> int:
    """Look at some documents again, and remove what is left over; returns how many records."""
    view = collection.of_tenant(found.tenant)

    async def work(target: Target) -> int:
        if view.shared:
            return await tidy(view, target, sorted(block))
        return await _mend_own(view, target, block)

    return await on_current(view, work)


async def _mend_own(collection: OpenCollection, target: Target, block: dict[str, Stored]) -> int:
    """Where one process writes, and writes none of these meanwhile: what the head does not name may go."""
    ids = [head_id(collection.tenant, key) for key in block]
    batch = await collection.records.fetch(Fetch(target.physical, ids, content=False))
    heads = {record.document_id: Head.of(record) for record in batch.records}
    doomed: list[str] = []
    for key, stored in block.items():
        seen = replace(stored, head=heads.get(key))
        doomed += [identity for revision in seen.others for identity in seen.of(revision)] + seen.surplus
    return await remove(collection, target, doomed)


async def finish(collection: OpenCollection, tenants: Sequence[str | None], *, dry_run: bool) -> tuple[str, ...]:
    """Remove dead writers' intents, and the note of a migration that died; returns what was found of the latter."""

    async def work(target: Target) -> tuple[str, ...]:
        for tenant in tenants if collection.shared and not dry_run else ():
            await tidy_after_dead(collection.of_tenant(tenant), target, fresh=True)
        return await _dead_fence(collection, target, dry_run=dry_run)

    return await on_target(collection, work)


async def _dead_fence(collection: OpenCollection, target: Target, *, dry_run: bool) -> tuple[str, ...]:
    fence = await read_fence(collection.backend, target.physical)
    if fence is None:
        return ()
    if fence.state is not FenceState.FENCED:
        return (f"a migration switched and did not end; run it again ({target.physical!r} is {fence.state})",)
    if fence.holds_up(collection.state.wall()):
        return (f"a migration is at work ({target.physical!r}); left alone",)
    if not dry_run:
        await collection.backend.write_note(WriteNote(target.physical, NOTE, None))
    return (f"the fence of a migration that died ({target.physical!r})",)


def report_of(surveys: Sequence[Survey], removed: int | None, notes: tuple[str, ...], *, dry_run: bool) -> RepairReport:
    """The whole report. `removed` is what went, where it was no dry run."""
    return RepairReport(
        records=sum(each.records for each in surveys),
        documents=sum(each.documents for each in surveys),
        leftovers=sum(each.leftovers for each in surveys) if removed is None else removed,
        in_progress=sum(each.in_progress for each in surveys),
        torn=tuple(key for each in surveys for key in each.torn),
        without_text=sum(each.without_text for each in surveys),
        intents=sum(each.dead for each in surveys),
        notes=notes,
        dry_run=dry_run,
    )

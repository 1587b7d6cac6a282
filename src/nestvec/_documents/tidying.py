"""Putting documents in order that several processes write: whose records there are, and which of them may go.

A head says which revision is its document's. Records of another revision are leftovers, unless their writer is still at
work: then it has an intent (`nestvec._collections.intents`), and they are its own business. The look at a document's
records and at all intents is one request. What makes it exact although nobody is locked out:

* A writer's intent is there before its first record and until after its last look. So of two writers of a document
  the one whose head comes last sees either the other's intent or all that the other left.
* Whoever finds itself current removes what is left over. It leaves alone what a live intent speaks of, and looks again
  a few times. If that does not end, its own intent stays, but says that it is over: whoever comes next, the other
  writer first of all, may put the documents in order.
* Whoever finds that it is not current removes its own records: no request about them is under way, or its intent
  stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from nestvec._collections.intents import INTENTS, Intent, find_intents, intent_id, is_intent, read_intents
from nestvec._collections.opening import IntentLook, OpenCollection, Target, WriteTurn, write_within_lease
from nestvec._damaged import DAMAGED
from nestvec._documents.layout import Head, damaged_record, head_id
from nestvec.contract import Fetch, Remove, Scroll
from nestvec.filters import Filter, all_of, any_of, system
from nestvec.types import FieldType, Record

if TYPE_CHECKING:
    Revision: TypeAlias = int | str

#: Seconds between looks at documents that somebody else writes, too.
POLLS = (0.1, 0.3, 0.9)
_PAGE = 1000
#: Documents that are looked at in one request.
BLOCK = 128
_OWNER = system("document_id", FieldType.KEYWORD)
_NUMBER = system("chunk", FieldType.INTEGER)


@dataclass(slots=True)
class Stored:
    """The records of one document: its head, if there is one, and the numbers and ids of all others by revision."""

    head: Head | None = None
    chunks: dict[Revision, list[tuple[int, str]]] = field(default_factory=dict)

    @property
    def revision(self) -> Revision | None:
        """The document's own."""
        return None if self.head is None else self.head.revision

    def of(self, revision: Revision) -> list[str]:
        """The ids of a revision's records beside the head, last chunk first."""
        return [identity for _, identity in sorted(self.chunks.get(revision, ()), reverse=True)]

    @property
    def others(self) -> list[Revision]:
        """Revisions of which there are records, but not the head."""
        return [revision for revision in self.chunks if revision != self.revision]

    @property
    def surplus(self) -> list[str]:
        """The ids of records of the document's revision that its head does not count."""
        if self.head is None:
            return []
        own = sorted(self.chunks.get(self.head.revision, ()), reverse=True)
        return [identity for number, identity in own if number >= self.head.chunks]

    @property
    def complete(self) -> bool:
        """Whether every chunk is there that the head counts, if there is a head."""
        if self.head is None:
            return True
        there = {number for number, _ in self.chunks.get(self.head.revision, ())}
        return there.issuperset(range(1, self.head.chunks))


@dataclass(frozen=True, slots=True)
class Look:
    """What there is of some documents, and every intent."""

    stored: Mapping[str, Stored]
    intents: tuple[Intent, ...]


def alive(collection: OpenCollection, intents: Iterable[Intent]) -> set[Revision]:
    """The revisions whose writers are at work, or may be."""
    state = collection.state
    now = state.wall()
    return {each.revision for each in intents if not each.over(now, state.lease)}


def without(seen: Look, turn: WriteTurn) -> Look:
    """A look without the intent of this turn."""
    return replace(seen, intents=tuple(each for each in seen.intents if each.revision != turn.revision))


async def look(
    collection: OpenCollection, target: Target, whole: Collection[str], chunks: Collection[str] = ()
) -> Look:
    """Look at all records of some documents, at those of others without their heads, and at all intents."""
    where = any_of(*_about(whole, None), *_about(chunks, _NUMBER > 0), INTENTS)
    found: list[Record] = []
    cursor: str | int | None = None
    while True:
        batch = await collection.intents.scroll(Scroll(target.physical, where, _PAGE, cursor, content=False))
        found += batch.records
        cursor = batch.cursor
        if cursor is None:
            return Look(by_document(found, (*whole, *chunks)), read_intents(found))


def _about(documents: Collection[str], part: Filter | None) -> list[Filter]:
    if not documents:
        return []
    condition = all_of(_OWNER.in_(sorted(documents)), part)
    return [] if condition is None else [condition]


def by_document(records: Iterable[Record], documents: Iterable[str] = ()) -> dict[str, Stored]:
    """Records sorted out; intents are left out."""
    stored = {key: Stored() for key in documents}
    for record in records:
        if not is_intent(record):
            add_record(stored, record)
    return stored


def add_record(stored: dict[str, Stored], record: Record) -> None:
    """Sort a record out: it is a head, or a chunk of some revision."""
    document = stored.setdefault(record.document_id, Stored())
    try:
        number, revision = int(record.system["chunk"]), record.system["revision"]
    except DAMAGED as error:
        raise damaged_record(record) from error
    if number == 0:
        document.head = Head.of(record)
    else:
        document.chunks.setdefault(revision, []).append((number, record.id))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What of a look may be removed, and where somebody else is at work."""

    leftovers: list[str]
    #: The documents that somebody else is about to write.
    contested: set[str]
    #: The ids of intents that are over, and all of whose documents were looked at: they go after the leftovers.
    done: list[str] = field(default_factory=list)

    @property
    def removable(self) -> list[str]:
        """All that may go, in order."""
        return [*self.leftovers, *self.done]


async def judge(
    collection: OpenCollection,
    target: Target,
    seen: Look,
    documents: Iterable[str],
    known: Mapping[str, Revision] | None = None,
) -> Verdict:
    """What nobody's head owns and nobody is about to own.

    `known` are revisions that were documents' own before: with their intents gone, nothing of them can come again.
    Others are asked about once more, for a look is not of one moment.
    """
    documents, known = set(documents), known or {}
    at_work = alive(collection, seen.intents)
    leftovers, contested = list[str](), set[str]()
    unsure: list[tuple[str, Revision]] = []
    for key in documents:
        stored = seen.stored.get(key, Stored())
        leftovers += stored.surplus
        for revision in stored.others:
            if revision in at_work:
                contested.add(key)
            elif known.get(key) == revision:
                leftovers += stored.of(revision)
            else:
                unsure.append((key, revision))
    if unsure:
        left = await _ended(collection, target, unsure)
        contested |= {key for key, _ in set(unsure) - set(left)}
        leftovers += [identity for key, revision in left for identity in seen.stored[key].of(revision)]
    looked_at = documents - contested
    done = [each for each in seen.intents if each.revision not in at_work and each.documents <= looked_at]
    return Verdict(leftovers, contested, [identity for each in done for identity in each.ids])


async def _ended(
    collection: OpenCollection, target: Target, revisions: Sequence[tuple[str, Revision]]
) -> list[tuple[str, Revision]]:
    """Those of the documents' revisions that are not the document's, and cannot become it.

    First the intents, then the heads: whoever has no intent any more, or one that is over, has written its head.
    """
    intents = sorted({intent_id(revision) for _, revision in revisions})
    batch = await collection.intents.fetch(Fetch(target.physical, intents, content=False))
    beginning = alive(collection, read_intents(batch.records))
    owned = await current_revisions(collection, target, {key for key, _ in revisions})
    return [(key, each) for key, each in revisions if each not in beginning and owned.get(key) != each]


async def current_revisions(
    collection: OpenCollection, target: Target, documents: Collection[str]
) -> dict[str, Revision]:
    """The revisions that the heads of documents name, of those that are there: one request, or none."""
    if not documents:
        return {}
    ids = [head_id(collection.tenant, key) for key in sorted(documents)]
    batch = await collection.records.fetch(Fetch(target.physical, ids, content=False))
    return {record.document_id: Head.of(record).revision for record in batch.records}


# ------------------------------------------------------------ what dead writers left


async def known_intents(collection: OpenCollection, target: Target, *, fresh: bool = False) -> tuple[Intent, ...]:
    """The intents there, looked at once a lease, or now; none where nobody else writes."""
    if not collection.shared:
        return ()
    state, place = collection.state, (target.physical, collection.tenant)
    known = state.looks.get(place)
    if fresh or known is None or state.clock() >= known.until:
        asked_at = state.clock()
        found = await find_intents(collection.intents, target.physical)
        known = IntentLook(asked_at + state.lease, found)
        current = {each: look for each, look in state.looks.items() if asked_at < look.until}
        state.looks = {**current, place: known}
    return known.found


async def tidy_after_dead(collection: OpenCollection, target: Target, *, fresh: bool = False) -> int:
    """Put in order what dead writers left, by any writer that comes along; returns how many records went."""
    known = await known_intents(collection, target, fresh=fresh)
    at_work = alive(collection, known) if known else set()
    left = [each for each in known if each.revision not in at_work]
    if not left:
        return 0
    removed = await tidy(collection, target, sorted({name for each in left for name in each.documents}))
    await remove(collection, target, [identity for each in left for identity in each.ids])
    state, place = collection.state, (target.physical, collection.tenant)
    rest = tuple(each for each in known if each.revision in at_work)
    state.looks = {**state.looks, place: IntentLook(state.looks[place].until, rest)}
    return removed


async def tidy(collection: OpenCollection, target: Target, documents: Sequence[str]) -> int:
    """Remove what no head owns of these documents; returns how many records."""
    removed = 0
    for start in range(0, len(documents), BLOCK):
        block = documents[start : start + BLOCK]
        seen = await look(collection, target, block)
        verdict = await judge(collection, target, seen, block)
        removed += await remove(collection, target, verdict.leftovers)
    return removed


async def remove(collection: OpenCollection, target: Target, ids: Sequence[str], turn: WriteTurn | None = None) -> int:
    """Remove records by id, in order; returns how many."""
    if ids:
        await write_within_lease(collection, target, Remove(target.physical, ids), turn)
    return len(ids)

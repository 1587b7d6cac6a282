"""Promises of docs/concepts/guarantees.md that are about one moment rather than about any history."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from tests.writers.world import Process, World, repair

from nestvec._collections.apply import compare, measure
from nestvec._collections.intents import Intent, is_intent
from nestvec._collections.opening import LEASE, CollectionState, OpenCollection
from nestvec._collections.write_fence import NOTE, SKEW, FenceState, GenerationPlace, WriteFence
from nestvec._documents import repair as repairing
from nestvec._documents.reading import count
from nestvec._documents.replacing import begin_turn
from nestvec._documents.scroll import scroll
from nestvec._documents.search import SearchOptions, search
from nestvec._documents.upsert import IncomingDocument, upsert
from nestvec.contract import Fetch, Query, ReadNote, Scroll, Write, WriteNote
from nestvec.filters import Filter, system
from nestvec.types import Document, FieldType
from nestvec_testing.memory import CAPABILITIES


class Embedded(World):
    """A store that this process alone writes."""

    def state(self) -> CollectionState:
        return CollectionState(self.spec, CAPABILITIES, self.clock, wall=self.clock)


def text(word: str, chunks: int) -> str:
    return " ".join(f"{word}{number:07d}" for number in range(chunks))


OLD, NEW = text("o", 3), text("n", 4)


def put(words: str) -> Any:
    return partial(upsert, incoming=[IncomingDocument(Document("a", words))])


def ask(collection: OpenCollection, limit: int = 50, where: Filter | None = None) -> Any:
    return search(collection, ["what is there?"], SearchOptions(limit=limit, where=where))


async def status(collection: OpenCollection) -> Any:
    return await measure(await compare(collection))


def filled(kind: type[World] = World) -> World:
    world = kind()
    world.run(put(OLD))
    return world


def writing(world: World, words: str) -> Process:
    """A writer of document a whose chunks are there, and whose head is not."""
    writer = Process(world, [put(words)])
    while not isinstance(writer.request(), Write):
        writer.go_on("do", 0)
    writer.go_on("do", 0)
    return writer


def found(world: World) -> set[str]:
    return {hit.text.strip() for hit in world.run(ask)[0]}


def of(document: str) -> Filter:
    """Selects its records, and no intents."""
    return system("document_id", FieldType.KEYWORD) == document


def kinds(process: Process, **options: Any) -> list[type]:
    """What a search asks the database for, once it knows where the collection is."""
    process.left.append(partial(ask, **options))
    process.request()
    step = process.step
    while process.step is not None:
        process.go_on("do", 0)
    assert step is not None
    return [type(request) for request in step.requests if isinstance(request, Query | Fetch | Scroll)]


def test_a_search_is_one_request_and_looks_at_intents_once_a_lease() -> None:
    world = filled()
    reader = Process(world, [])
    assert kinds(reader) == [Scroll, Query]
    world.now += LEASE * 0.9  # the handle's own lease began a moment earlier
    assert kinds(reader) == [Query]


def test_a_search_asks_for_heads_only_where_an_intent_speaks_of_a_hit() -> None:
    world = filled()
    world.run(partial(upsert, incoming=[IncomingDocument(Document("b", text("b", 2)))]))
    writer = writing(world, NEW)
    writer.go_on("do", 0)  # its head: what is left over, and its intent, are to be removed
    assert kinds(Process(world, []), limit=4, where=of("a")) == [Scroll, Query, Fetch]
    assert kinds(Process(world, []), limit=2, where=of("b")) == [Scroll, Query]


def test_a_search_asks_for_more_where_hits_may_fall_out() -> None:
    world = filled()
    writing(world, NEW)
    reader = Process(world, [])
    assert kinds(reader) == [Scroll, Query, Fetch]
    assert kinds(reader, limit=3) == [Query, Fetch]
    reader.done.pop()
    (hits,) = reader.done.pop()
    assert {hit.text.strip() for hit in hits} == set(OLD.split())


def test_a_writer_that_was_overtaken_says_so() -> None:
    world = filled()
    first = writing(world, NEW)
    first.go_on("do", 0)  # its head
    second = Process(world, [put(text("s", 2))])
    while not (first.over and second.over):
        second.go_on("do", 0)
        if second.over:
            first.go_on("do", 0)
    (overtaken,), (last,) = first.done, second.done
    assert (overtaken.documents, overtaken.superseded) == (0, 1)
    assert (last.documents, last.superseded) == (1, 0)
    assert found(world) == set(text("s", 2).split())


def test_an_intent_is_over_a_lease_and_five_seconds_after_its_last_request() -> None:
    intent = Intent("r", frozenset("a"), until=100.0)
    assert not intent.over(100.0 + LEASE + 5.0, LEASE)
    assert intent.over(100.1 + LEASE + 5.0, LEASE)


def test_a_writer_of_many_records_has_a_longer_turn() -> None:
    world = World()
    turns = [begin_turn(world.handle(world.blocking), records).ends - world.now for records in (0, 1000, 5000)]
    assert turns == [LEASE, 2 * LEASE, 6 * LEASE]


def test_what_a_dead_writer_left_goes_with_the_next_write_of_any_document() -> None:
    world = filled()
    writing(world, NEW).die()
    world.advance(2 * LEASE + SKEW + 2)
    other = partial(upsert, incoming=[IncomingDocument(Document("b", text("b", 2)))])
    world.run(other)
    assert world.check() == {"a": OLD, "b": text("b", 2)}


def test_a_writer_at_work_is_left_alone_by_a_repair() -> None:
    world = filled()
    writer = writing(world, NEW)
    (survey,) = world.run(repairing.survey)
    assert (survey.leftovers, survey.in_progress) == (0, 3)
    while not writer.over:
        writer.go_on("do", 0)
    assert world.check() == {"a": NEW}


def test_status_counts_documents_of_dead_writers() -> None:
    world = filled()
    writing(world, NEW).die()
    assert world.run(status).leftovers == 0, "it may be at work yet"
    world.advance(2 * LEASE + SKEW + 2)
    assert world.run(status).leftovers == 1


def test_what_is_being_written_is_no_document_and_intents_are_no_records() -> None:
    world = filled()
    writing(world, NEW)
    assert world.run(count) == 1
    assert world.run(partial(count, chunks=True)) == 6, "three old chunks, and three new ones beside no head yet"
    page = world.run(scroll)
    assert {record.document_id for record in page.records} == {"a"}


@pytest.mark.parametrize("way", ["repair", "write"])
def test_an_embedded_store_shows_nothing_that_a_dead_process_did_not_finish(way: str) -> None:
    world = filled(Embedded)
    writing(world, NEW).die()
    assert found(world) == set(OLD.split())
    if way == "write":
        world.run(put(OLD))
    else:
        world.run(repair)
    assert world.check() == {"a": OLD}


def test_who_meets_a_writer_that_has_looked_already_leaves_word() -> None:
    """That writer takes itself for current, and its chunks would stay: the other's intent is all that tells of them."""
    world = filled()
    first = writing(world, NEW)
    first.go_on("do", 0)  # its head
    first.go_on("do", 0)  # its look
    second = Process(world, [put(text("s", 2))])
    for process in (second, first):
        while not process.over:
            process.go_on("do", 0)
    (intent,) = [record for record in world.records() if is_intent(record)]
    assert intent.system["until"] == 0
    world.now += LEASE
    world.run(put(text("s", 2)))
    assert world.check() == {"a": text("s", 2)}


def with_surplus(kind: type[World]) -> World:
    """A document, and a chunk under its own revision that its head does not count."""
    world = filled(kind)
    for adapter in (world.adapter, world.adapter.searched):
        points = adapter._collections["docs_1"].points
        last = next(each for each in points.values() if each.record.system["chunk"] == 2)
        record = replace(last.record, id="surplus", system={**last.record.system, "chunk": 3})
        points["surplus"] = replace(last, record=record)
    return world


@pytest.mark.parametrize("kind", [World, Embedded])
def test_repair_removes_chunks_of_a_documents_own_revision_that_its_head_does_not_count(kind: type[World]) -> None:
    world = with_surplus(kind)
    (survey,) = world.run(repairing.survey)
    assert (survey.leftovers, survey.in_progress, survey.torn) == (1, 0, [])
    assert world.run(repair).leftovers == 1
    assert world.check() == {"a": OLD}
    assert world.run(repair).leftovers == 0


def test_repair_removes_such_chunks_beside_a_writer_at_work() -> None:
    world = with_surplus(World)
    writer = writing(world, NEW)
    report = world.run(repair)
    assert (report.leftovers, report.in_progress) == (1, 3)
    assert "surplus" not in world.adapter._collections["docs_1"].points
    while not writer.over:
        writer.go_on("do", 0)
    assert world.check() == {"a": NEW}


FENCED = WriteFence(FenceState.FENCED, "m", until=1000.0)
SWITCHING = WriteFence(FenceState.SWITCHING, "m", to=GenerationPlace("store", "docs_2"))


def fenced(fence: WriteFence, later: float) -> World:
    """A store with the fence of a migration, so many seconds after the fence was to end."""
    world = World()
    world.adapter.write_note(WriteNote("docs_1", NOTE, fence.to_text()))
    world.advance(later)
    return world


def fence_of(world: World) -> str | None:
    return world.adapter.read_note(ReadNote("docs_1", NOTE))


def test_repair_removes_the_fence_of_a_dead_migration() -> None:
    world = fenced(FENCED, SKEW + 1)
    told = world.run(partial(repairing.finish, tenants=[None], dry_run=True))
    assert told == ("the fence of a migration that died ('docs_1')",)
    assert fence_of(world) == FENCED.to_text()
    assert world.run(repair).notes == told
    assert fence_of(world) is None
    assert world.run(repair).notes == ()


@pytest.mark.parametrize(
    ("fence", "later", "words"),
    [(FENCED, SKEW, "a migration is at work"), (SWITCHING, 10 * LEASE, "switched and did not end; run it again")],
    ids=["at work", "switching"],
)
def test_repair_tells_of_other_fences_and_leaves_them(fence: WriteFence, later: float, words: str) -> None:
    world = fenced(fence, later)
    (told,) = world.run(repair).notes
    assert words in told
    assert fence_of(world) == fence.to_text()

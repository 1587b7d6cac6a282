"""Whatever three writers and a reader do at once, and wherever they die: nothing is torn, and nothing stays."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.writers.world import Process, World, repair

from nestvec._collections.opening import LEASE, OpenCollection
from nestvec._collections.write_fence import SKEW
from nestvec._documents import tidying
from nestvec._documents.deleting import delete, delete_any
from nestvec._documents.search import SearchOptions, search
from nestvec._documents.upsert import IncomingDocument, upsert
from nestvec.types import Document

KEYS = ("a", "b")


def text(word: str, chunks: int) -> str:
    return " ".join(f"{word}{i:07d}" for i in range(chunks))


def put(*versions: tuple[str, str]) -> Any:
    incoming = [IncomingDocument(Document(key, words)) for key, words in dict(versions).items()]
    return partial(upsert, incoming=incoming)


def drop(*keys: str) -> Any:
    return partial(delete, ids=keys)


async def everything(collection: OpenCollection) -> int:
    return await delete_any(collection, (), None, everything=True)


def ask(collection: OpenCollection) -> Any:
    return search(collection, ["what is there?"], SearchOptions(limit=50))


VERSION = st.tuples(st.sampled_from("aaab"), st.builds(text, st.sampled_from("uvwxyz"), st.integers(1, 4)))
WORK = st.one_of(
    VERSION.map(put),
    st.lists(VERSION, min_size=2, max_size=3).map(lambda versions: put(*versions)),
    st.sampled_from("aaab").map(drop),
)
PARTLY = ["half", "seen by id", "seen by filter"]
HOW = st.sampled_from(["do"] * 60 + PARTLY * 3 + ["repeat", "die", "do and die", "half and die", "late and die"])
#: Who goes on, how, and how many records are written or how late they are.
STEP = st.tuples(st.integers(0, 3), HOW, st.integers(1, 8))
CLOCK = st.tuples(st.just(4), st.just("wait"), st.sampled_from([1, 1, 1, 2, 4, 12]))
STEPS = st.integers(0, 29).flatmap(lambda number: STEP if number else CLOCK)


@pytest.fixture(scope="module", autouse=True)
def torn_looks() -> Iterator[None]:
    """A look takes several pages, between which the world goes on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tidying, "_PAGE", 2)
        yield


@st.composite
def histories(draw: Any) -> Any:
    works = draw(st.lists(st.lists(WORK, min_size=2, max_size=4), min_size=3, max_size=3))
    steps = draw(st.lists(STEPS, min_size=60, max_size=160))
    return works, steps


def played(works: Any, steps: Any, *, to_the_end: bool) -> World:
    """Let it happen, and look at what the reader finds."""
    world = World()
    for key in KEYS:
        world.run(put((key, text("o", 3))))
    writers = [Process(world, work) for work in works]
    reader = Process(world, [ask] * 12)
    everybody = [*writers, reader]
    for who, how, number in steps:
        if who == len(everybody):
            world.advance(number * LEASE / 8)
            continue
        one = everybody[who]
        one.go_on("do" if one is reader else how, number)
        if one is reader:
            look_at(world, reader)
    while to_the_end and not all(each.over for each in writers):
        for one in writers:
            one.go_on("do", 0)
    for one in everybody:
        one.stop()
    world.advance(3 * LEASE + SKEW)
    return world


def look_at(world: World, reader: Process) -> None:
    """A chunk that has not been its document's for longer than a lease is no hit."""
    while reader.done:
        for hits in reader.done.pop():
            old = [hit.text for hit in hits if world.since.get(hit.id, world.now) < reader.asked_at - LEASE]
            assert not old


@pytest.mark.parametrize("to_the_end", [False, True])
@given(histories())
@settings(max_examples=200)
def test_repair_leaves_whole_documents_and_nothing_else(to_the_end: bool, history: Any) -> None:
    world = played(*history, to_the_end=to_the_end)
    heads = {key: head.document_hash for key, head in world.current().items()}
    report = world.run(repair)
    assert report.torn == ()
    world.check()
    assert {key: head.document_hash for key, head in world.current().items()} == heads, "the last head wins"
    again = world.run(repair)
    assert (again.leftovers, again.intents, again.in_progress) == (0, 0, 0)


@given(histories(), st.booleans())
@settings(max_examples=200)
def test_writing_the_documents_again_leaves_nothing_else(history: Any, to_the_end: bool) -> None:
    world = played(*history, to_the_end=to_the_end)
    last = {key: text("q", number) for number, key in enumerate(KEYS, 1)}
    world.run(put(*last.items()))
    assert world.check() == last


@given(histories(), st.booleans())
@settings(max_examples=100)
def test_writing_what_is_there_already_leaves_nothing_else(history: Any, to_the_end: bool) -> None:
    world = played(*history, to_the_end=to_the_end)
    there = {key: "".join(each) for key, each in texts_of(world).items()}
    assume(there)
    world.run(put(*there.items()))
    assert {key: value for key, value in world.check().items() if key in there} == there


def texts_of(world: World) -> dict[str, list[str]]:
    from nestvec._documents.reading import get

    return {item.id: [item.text] for item in world.run(partial(get, ids=KEYS))}


@given(histories(), st.booleans(), st.booleans())
@settings(max_examples=200)
def test_deleting_leaves_nothing(history: Any, to_the_end: bool, by_id: bool) -> None:
    world = played(*history, to_the_end=to_the_end)
    world.run(drop(*KEYS) if by_id else everything)
    assert world.records() == []

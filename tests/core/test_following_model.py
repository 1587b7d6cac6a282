"""No interleaving of a reader, a writer and a migration mixes two spaces or loses a write."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec._client import connect
from nestvec._collections import write_fence
from nestvec._collections.following import follow
from nestvec._collections.opening import LEASE, Wait
from nestvec._documents.search import SearchOptions, search
from nestvec._documents.upsert import IncomingDocument, ingest
from nestvec._migration.copy import At, at
from nestvec.contract import SetAlias
from nestvec.types import Document, Hit

from .moving import Actor, Move, corpus, stored, text


class World:
    """A reader, a writer and a migration of one collection, whose spaces have the same size."""

    def __init__(self, *, apart: bool) -> None:
        self.move = Move(apart=apart, previous={"dimensions": 16})
        self.move.docs.upsert(corpus(3))
        self.acknowledged: list[str] = [f"d{i}" for i in range(3)]
        self.expected = self._scores()
        #: When a search began, and its best hit.
        self.answers: list[tuple[float, Hit]] = []
        self.switched_at = math.inf
        handle = self.move.docs._places
        self.actors = [
            Actor(self.move, self.reader(), lambda via: handle[via.place].answer(via.request)),
            Actor(self.move, self.writer(), lambda via: handle[via.place].answer(via.request)),
            Actor(self.move, self.migration(), lambda at: handle[at.side == "source"].answer(at.request)),
        ]

    def _scores(self) -> tuple[float, float]:
        """The score of the best hit in either space: vectors of the other one would give another."""
        found = []
        for name in ("v2", "v3"):
            ask = lambda task, name=name: self.move.client.embed([text(1)], task=task, dimensions=16, embedder=name)  # noqa: E731
            found.append(float((ask("retrieval.query") @ ask("retrieval.passage").T)[0, 0]))
        return found[0], found[1]

    def handle(self) -> Any:
        """Alternatives of one process."""
        return connect(self.move.values, self.move.runtime)["docs"]._among

    def reader(self) -> Iterator[Any]:
        among = self.handle()
        for _ in range(6):
            begun = self.move.time.now
            hits = yield from follow(among, lambda it: search(it, [text(1)], SearchOptions(limit=2)))
            self.answers.append((begun, hits[0][0]))

    def writer(self) -> Iterator[Any]:
        among = self.handle()
        for turn in range(4):
            batch = [IncomingDocument(Document(f"w{turn}", f"text of turn {turn}"))]
            yield from follow(among, lambda it, batch=batch: ingest(it, batch))
            self.acknowledged.append(f"w{turn}")

    def migration(self) -> Iterator[Any]:
        time, move = self.move.time, self.move
        move.create()
        yield from move.passing()
        while True:
            fence = yield from at("source", write_fence.raise_fence(time, "docs_1", "m", 90))
            yield At("source", Wait(write_fence.drain(LEASE)))
            yield from move.passing()
            if (yield from at("source", write_fence.to_switching(time, "docs_1", fence, move.to))):
                break
        yield At("target", SetAlias("docs", move.to.physical))
        yield from at("source", write_fence.mark_moved("docs_1", move.to))
        self.switched_at = time.now


@pytest.mark.parametrize("apart", [True, False], ids=["another backend", "another space"])
@settings(max_examples=40)
@given(moves=st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0.0, 0.0, 0.0, 2.0, 9.0, 33.0])), max_size=120))
def test_no_interleaving_mixes_two_spaces_or_loses_a_write(apart: bool, moves: list[tuple[int, float]]) -> None:
    world = World(apart=apart)
    for number, seconds in moves:
        world.move.time.pass_(seconds)
        world.actors[number].advance()
    for _ in range(5000):
        if all(actor.done for actor in world.actors):
            break
        if not sum(actor.advance() for actor in world.actors):
            world.move.time.pass_(0.5)
    assert all(actor.done for actor in world.actors)
    for begun, hit in world.answers:
        assert hit.document_id == "d1"
        assert min(abs(hit.score - each) for each in world.expected) < 1e-5, "a vector of one space met the other"
        if begun >= world.switched_at + LEASE:
            assert hit.score == pytest.approx(world.expected[1], abs=1e-5)
    world.move.time.pass_(LEASE)
    assert world.move.docs.search(text(1))[0].score == pytest.approx(world.expected[1], abs=1e-5)
    assert len(world.acknowledged) == 7
    found = stored(world.move.new, world.move.to.physical, *world.acknowledged)
    assert sorted(found) == sorted(world.acknowledged)

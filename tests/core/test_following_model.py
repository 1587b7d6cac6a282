"""No interleaving of a reader, a writer and a migration mixes two spaces or loses a write."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec._client import connect
from nestvec._collections import write_fence
from nestvec._collections.following import follow
from nestvec._collections.opening import LEASE
from nestvec._documents.search import SearchOptions, search
from nestvec._documents.upsert import IncomingDocument, upsert
from nestvec._session.session import Backend
from nestvec.contract import SetAlias
from nestvec.types import Document, Hit
from nestvec_testing.stepping import Asking, answered

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
        self.actors = [Actor(self.move, rule, self.answer) for rule in (self.reader(), self.writer(), self.migration())]

    def sessions(self) -> tuple[Asking, Asking]:
        """For what is wanted, and what it was before."""
        return Asking("0", clock=self.move.time), Asking("1", clock=self.move.time)

    def answer(self, request: Any) -> Any:
        return answered(self.move.docs._sessions[int(request.side)], request)

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

    async def reader(self) -> None:
        among, sessions = self.handle(), self.sessions()
        for _ in range(6):
            begun = self.move.time.now
            hits = await follow(among, sessions, lambda it: search(it, [text(1)], SearchOptions(limit=2)))
            self.answers.append((begun, hits[0][0]))

    async def writer(self) -> None:
        among, sessions = self.handle(), self.sessions()
        for turn in range(4):
            batch = [IncomingDocument(Document(f"w{turn}", f"text of turn {turn}"))]
            await follow(among, sessions, partial(upsert, incoming=batch))
            self.acknowledged.append(f"w{turn}")

    async def migration(self) -> None:
        time, move = self.move.time, self.move
        wanted, previous = self.sessions()
        source, target = Backend(previous), Backend(wanted)
        move.create()
        await move.passing(wanted, previous)
        while True:
            fence = await write_fence.raise_fence(source, time, "docs_1", "m", 90)
            await previous.wait(write_fence.drain(LEASE))
            await move.passing(wanted, previous)
            if await write_fence.to_switching(source, time, "docs_1", fence, move.to):
                break
        await target.set_alias(SetAlias("docs", move.to.physical))
        await write_fence.mark_moved(source, "docs_1", move.to)
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

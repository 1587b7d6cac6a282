"""Writers and a reader go on while a collection migrates: nothing acknowledged is lost, nothing read is mixed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec._client import Nestvec
from nestvec._collections.opening import OpenCollection
from nestvec._documents.deleting import delete
from nestvec._documents.search import SearchOptions, search
from nestvec._documents.upsert import IncomingDocument, upsert
from nestvec.contract import Fetch, Query
from nestvec.errors import CollectionError, MigrationInterrupted, NestvecError, SpaceError
from nestvec.types import Document
from nestvec_testing.requests import Wait, bare
from nestvec_testing.stepping import Asking, Stepper, answered
from nestvec_testing.tap import tap_in_place

from .world import CASES, World, contents, corpus, document, expected, filled

#: What is done to which of a writer's documents, with how many words.
Deed = tuple[str, int, int]


class Actor:
    """Does one thing after the other with a collection that may move, and follows it: it knows both settings."""

    def __init__(self, world: World, wanted: dict[str, Any], deeds: Sequence[Any]) -> None:
        self.time = world.time
        self.clients = [world.open(), world.open(wanted)]
        self.deeds = list(deeds)
        self.step: Stepper[Any] | None = None
        self.until = 0.0

    @property
    def done(self) -> bool:
        return not self.deeds

    def rule(self, collection: OpenCollection) -> Coroutine[Any, Any, Any]:
        """The first of the deeds that are left."""
        raise NotImplementedError

    def finished(self, step: Stepper[Any]) -> None:
        """It is acknowledged."""

    def advance(self) -> bool:
        """One request, if there is one to be made now."""
        if self.done or self.time.now < self.until:
            return False
        try:
            self._advance()
        except MigrationInterrupted:
            self.step = None
        except (CollectionError, SpaceError):  # not here: the other settings may be right
            self.step = None
            self.clients.reverse()
        return True

    def _advance(self) -> None:
        if self.step is None:
            state = self.clients[0]["docs"]._among.wanted
            self.step = Stepper(self.rule(OpenCollection(state, Asking(clock=self.time.clock))))
        step, request = self.step, self.step.request
        if isinstance(request, Wait):
            step.answer()
        elif request is not None:
            try:
                answer = answered(self.clients[0]["docs"]._sessions[0], request)
            except NestvecError as error:
                step.fail(error)
            else:
                step.answer(answer)
        if isinstance(step.request, Wait):
            self.until = self.time.now + step.request.seconds
        if step.done:
            self.finished(step)
            self.deeds.pop(0)
            self.step = None


class Writer(Actor):
    """Has documents of its own: two writers of one document would tear it."""

    def __init__(self, world: World, wanted: dict[str, Any], deeds: Sequence[Deed], owned: list[Document]) -> None:
        super().__init__(world, wanted, deeds)
        self.keys = [*(each.id for each in owned), f"new-{owned[0].id}"]
        self.model = {each.id: each for each in owned}

    @property
    def document(self) -> Document:
        what, key, words = self.deeds[0]
        return document(self.keys[key % len(self.keys)], words, what)

    def rule(self, collection: OpenCollection) -> Coroutine[Any, Any, Any]:
        if self.deeds[0][0] == "delete":
            return delete(collection, [self.document.id])
        return upsert(collection, [IncomingDocument(self.document)])

    def finished(self, step: Stepper[Any]) -> None:
        if self.deeds[0][0] == "delete":
            self.model.pop(self.document.id, None)
        else:
            assert not step.result.failed
            self.model[self.document.id] = self.document


class Reader(Actor):
    """Searches; every answer comes from one generation."""

    answered = 0

    def rule(self, collection: OpenCollection) -> Coroutine[Any, Any, Any]:
        return search(collection, ["word1 word2"], SearchOptions(limit=4))

    def finished(self, step: Stepper[Any]) -> None:
        requests = [bare(request) for request in step.requests]
        asked = {request.physical for request in requests if isinstance(request, Query | Fetch)}
        assert len(asked) == 1
        assert step.result[0]
        self.answered += 1


class Crowd:
    """Advances its actors between the requests of a migration, and while that waits."""

    def __init__(self, actors: Sequence[Actor], schedule: Sequence[int]) -> None:
        self.actors, self.turns, self.next = actors, cycle(schedule or [1]), cycle(actors)

    def around(self, client: Nestvec) -> Nestvec:
        """A client whose every request to a backend lets the others come first."""
        for name in client.config.backends:
            tap_in_place(client.adapter(name), self._crowded)
        connections = client._connections
        passing = client._runtime.pause
        assert passing is not None

        def pause(seconds: float) -> None:
            for _ in range(14):
                passing(seconds / 14)
                self.advance(next(self.turns))

        connections.waiting = replace(connections.waiting, pause=pause)
        return client

    def _crowded(self, request: Any, perform: Callable[[Any], Any]) -> Any:
        self.advance(next(self.turns))
        return perform(request)

    def advance(self, steps: int) -> None:
        for _ in range(steps):
            next(self.next).advance()

    def finish(self) -> None:
        """Until everybody has done everything."""
        for _ in range(20_000):
            if all(actor.done for actor in self.actors):
                return
            if not sum(actor.advance() for actor in self.actors):
                self.actors[0].time.pass_(0.5)
        raise AssertionError("somebody waits for ever")


DEEDS = st.lists(
    st.tuples(st.sampled_from(["word", "other", "delete"]), st.integers(0, 3), st.integers(1, 9)), max_size=12
)


@pytest.mark.parametrize("case", ["copy", "derive elsewhere", "embed", "embed elsewhere"])
@settings(max_examples=20)
@given(schedule=st.lists(st.integers(0, 4), min_size=1, max_size=60), one=DEEDS, two=DEEDS, back=st.booleans())
def test_nothing_is_lost_and_nothing_mixed(
    case: str, schedule: list[int], one: list[Deed], two: list[Deed], back: bool
) -> None:
    wanted, _ = CASES[case]
    world, documents = World(), corpus(6)
    filled(world, documents)
    first, second = Writer(world, wanted, one, documents[:3]), Writer(world, wanted, two, documents[3:])
    reader = Reader(world, wanted, range(10))
    crowd = Crowd([first, second, reader], schedule)
    client = crowd.around(world.open(wanted))
    assert client.migrate("docs").switched
    if back:
        assert client.rollback("docs").switched
    crowd.finish()
    assert reader.answered == 10
    found = contents(world.open(None if back else wanted))
    assert found == expected([*first.model.values(), *second.model.values()])
    world.close()

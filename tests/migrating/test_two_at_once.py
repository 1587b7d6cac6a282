"""Migrations are run by two processes at once: they may hinder each other, and nothing is lost or mixed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec._client import Nestvec
from nestvec._migration.lifecycle import Lifecycle
from nestvec._session.session import Session
from nestvec.contract import SetAlias
from nestvec.errors import NestvecError
from nestvec.types import Document
from nestvec_testing.requests import Wait, bare
from nestvec_testing.stepping import Asking, Stepper, answered

from .test_meanwhile import DEEDS, Deed, Writer
from .world import ELSEWHERE, MATCHING, METRIC, SHORTER, World, contents, corpus, document, expected, filled, settled


class SteppedServices:
    """A client's connections, whose sessions hand their requests out; `answer` performs one."""

    def __init__(self, client: Nestvec) -> None:
        self._connections = client._connections
        self.config, self.runtime = client.config, client._runtime
        self._sessions: dict[str, Session] = {}

    def session(self, backend: str, embedder: str) -> Asking:
        self._sessions[f"{backend}/{embedder}"] = self._connections.session(backend, embedder)
        model = self.config.embedders[embedder].capabilities
        return Asking(f"{backend}/{embedder}", model=model, clock=self.runtime.clock)

    def embedding(self, embedder: str) -> Session:
        return self._connections.embedding(embedder)

    async def embedder(self, name: str) -> Any:
        return await self._connections.embedder(name)

    async def rotation(self, connection: Any) -> Any:
        return await self._connections.rotation(connection)

    async def outside(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return work(*arguments)

    def answer(self, request: Any) -> Any:
        return answered(self._sessions[request.side], request)


class Run:
    """A migration that stops before each of its requests."""

    def __init__(self, world: World, wanted: dict[str, Any]) -> None:
        self.time, self.until = world.time, 0.0
        self.client = world.open(wanted)
        self.services = SteppedServices(self.client)
        self.step = self._begin()
        self.error: NestvecError | None = None

    def _begin(self) -> Stepper[Any]:
        return Stepper(Lifecycle(self.services, "docs").migrate((), ()))

    @property
    def request(self) -> Any:
        """The next one, which was not made yet."""
        return bare(self.step.request)

    @property
    def report(self) -> Any:
        return self.step.result if self.step.done else None

    @property
    def done(self) -> bool:
        return self.report is not None or self.error is not None

    def advance(self) -> bool:
        """Make the next request, unless it waits."""
        if self.done or self.time.now < self.until:
            return False
        self._make()
        return True

    def until_it_makes(self, kind: type) -> None:
        """Go on until the next request is one of this kind."""
        while not self.done and not isinstance(self.request, kind):
            self.run(1)

    def run(self, requests: int = 10_000) -> None:
        """Make so many requests, whatever time it takes."""
        for _ in range(requests):
            if self.done:
                return
            self.time.pass_(max(0.0, self.until - self.time.now))
            self.advance()

    def _make(self) -> None:
        try:
            self._answer()
        except NestvecError as error:
            self.error = error
        request = self.request
        self.until = self.time.now + request.seconds if isinstance(request, Wait) else 0.0

    def _answer(self) -> None:
        if isinstance(self.request, Wait):
            self.step.answer()
            return
        try:
            answer = self.services.answer(self.step.request)
        except NestvecError as error:
            self.step.fail(error)
        else:
            self.step.answer(answer)


@settings(max_examples=100)
@given(
    moves=st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 25), st.sampled_from([0.0, 0.0, 1.0, 40.0])), max_size=40
    ),
    deeds=DEEDS,
)
def test_two_processes_migrate_at_once(moves: list[tuple[int, int, float]], deeds: list[Deed]) -> None:
    world, documents = World(), corpus(3)
    filled(world, documents)
    writer = Writer(world, MATCHING, deeds, documents)
    actors: list[Any] = [Run(world, MATCHING), Run(world, MATCHING), writer]
    for number, times, seconds in moves:
        for _ in range(times):
            actors[number].advance()
        world.time.pass_(seconds)
    for _ in range(20_000):
        if all(actor.done for actor in actors):
            break
        if not sum(actor.advance() for actor in actors):
            world.time.pass_(0.5)
    assert all(actor.done for actor in actors)
    world.open(MATCHING).migrate("docs")
    left: list[Document] = list(writer.model.values())
    assert contents(world.open(MATCHING)) == expected(left)
    if left and len(world.open().adapter("store")._collections) == 2:  # type: ignore[attr-defined]
        settled(world, left, MATCHING)
    world.close()


@pytest.fixture(params=[MATCHING, {**MATCHING, **ELSEWHERE}], ids=["here", "elsewhere"])
def wanted(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


def finished(world: World, wanted: dict[str, Any], runs: Sequence[Run], documents: list[Document]) -> None:
    """Both end, one may say why; the rerun ends what is left; everything is there."""
    for run in runs:
        run.run()
    world.open(wanted).migrate("docs")
    settled(world, documents, wanted, most=3)


@pytest.mark.parametrize("waited", [1.0, 34.0, 36.0])
def test_who_comes_while_the_other_one_switches_keeps_away(wanted: dict[str, Any], waited: float) -> None:
    """He may have looked a moment before the pointer moved: what he writes then must not come to what is live."""
    for before, during in itertools.product((0, 20, 40), range(0, 60, 3)):
        world, documents = World(), corpus(3)
        filled(world, documents)
        one, two = Run(world, wanted), Run(world, wanted)
        two.run(before)
        one.until_it_makes(Wait)
        world.time.pass_(waited)
        two.run(during)
        one.run()
        documents = [*documents[1:], document("d0", 7, "new")]
        if one.report is not None:
            world.open(wanted)["docs"].upsert(documents[-1:])
        finished(world, wanted, [two], documents if one.report is not None else corpus(3))
        world.close()


@pytest.mark.parametrize("before", [*range(0, 60, 4), 25])  # 25 and 28: just before it writes
def test_who_goes_on_with_what_another_one_pointed_to_keeps_away(wanted: dict[str, Any], before: int) -> None:
    """The other one died between pointing and marking what it left."""
    world, documents = World(), corpus(3)
    filled(world, documents)
    one, two = Run(world, wanted), Run(world, wanted)
    two.run(before)
    one.until_it_makes(SetAlias)
    if one.done:  # the second had come too far for the first to switch
        finished(world, wanted, [two], documents)
        return
    one.run(1)
    documents = [*documents[1:], document("d0", 7, "new")]
    world.open(wanted)["docs"].upsert(documents[-1:])
    finished(world, wanted, [two], documents)
    world.close()


CLUSTERING = {"purpose": "clustering"}


def in_turn(*runs: Run) -> None:
    """One request each."""
    while not all(run.done for run in runs):
        if not sum(run.advance() for run in runs):
            runs[0].time.pass_(0.5)


def of_one_space(world: World, wanted: dict[str, Any]) -> None:
    """Every stored vector is the one that the space gives for its text."""
    client = world.open(wanted)
    docs, space = client["docs"], client["docs"].spec.space
    found = docs.matrix()
    texts = [record.text or "" for record in found.records]
    vectors = client.embed(texts, task=space.index_task, dimensions=space.dimensions, embedder="model")
    np.testing.assert_allclose(found.vectors, vectors, atol=1e-5)


@pytest.mark.parametrize("head", [0, 1, 2])
@pytest.mark.parametrize("wishes", [(CLUSTERING, MATCHING), (MATCHING, METRIC), (MATCHING, SHORTER), (METRIC, METRIC)])
def test_two_wishes_at_the_same_moment_never_share_a_generation(wishes: tuple[Any, Any], head: int) -> None:
    world = World()
    filled(world)
    one, two = Run(world, wishes[0]), Run(world, wishes[1])
    for _ in range(head):
        one.advance()
    in_turn(one, two)
    assert [run.error is None and run.report.switched for run in (one, two)].count(True) == 1
    of_one_space(world, wishes[0] if one.error is None else wishes[1])
    world.close()


def test_a_generation_that_is_removed_and_made_for_something_else_is_not_filled_any_more() -> None:
    world = World()
    filled(world)
    one = Run(world, MATCHING)
    for _ in range(30):
        one.advance()
    assert [each.generation.physical for each in world.open(MATCHING).cleanup("docs", generation=2)] == ["docs_2"]
    two = Run(world, CLUSTERING)
    for _ in range(30):
        two.advance()
    world.time.pass_(40)
    in_turn(one)
    in_turn(two)
    assert one.error is not None
    assert two.report.switched
    of_one_space(world, CLUSTERING)
    world.close()


def test_a_rule_that_is_closed_asks_nobody_to_lift_its_fence() -> None:
    """Nobody answers any more; the fence runs out by itself."""
    world = World()
    filled(world)
    client = world.open(MATCHING)
    services = SteppedServices(client)
    rule = Lifecycle(services, "docs").migrate((), ())
    step = Stepper(rule)
    while not isinstance(bare(step.request), Wait):
        step.answer(services.answer(step.request))
    rule.close()
    assert client.adapter("store")._collections["docs_1"].notes  # type: ignore[attr-defined]
    world.close()

"""Migrations are run by two processes at once: they may hinder each other, and nothing is lost or mixed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nestvec._client.steps import SyncSteps
from nestvec._session.sync import PairPorts

from nestvec._client import Nestvec
from nestvec._collections.opening import Wait
from nestvec._migration.copy import At
from nestvec._migration.lifecycle import Between, Lifecycle, On, Steps
from nestvec.contract import SetAlias
from nestvec.errors import NestvecError
from nestvec.types import Document

from .test_meanwhile import DEEDS, Deed, Writer
from .world import ELSEWHERE, MATCHING, METRIC, SHORTER, World, contents, corpus, document, expected, filled, settled


class Run:
    """A migration that stops before each of its requests."""

    def __init__(self, world: World, wanted: dict[str, Any]) -> None:
        self.time, self.until = world.time, 0.0
        client = world.open(wanted)
        self.client = client
        self.requests = steps(client, Lifecycle(client.config, client._runtime, "docs").migrate((), ()))
        self.request: Any = None
        self.report: Any = None
        self.error: NestvecError | None = None
        self._ask(None)

    @property
    def done(self) -> bool:
        return self.report is not None or self.error is not None

    def advance(self) -> bool:
        """Make the next request, unless it waits."""
        if self.done or self.time.now < self.until:
            return False
        self._ask(None)
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

    def _ask(self, _: None) -> None:
        try:
            self.request = request = next(self.requests)
        except StopIteration as stop:
            self.report = stop.value
        except NestvecError as error:
            self.error = error
        else:
            self.until = self.time.now + request.seconds if isinstance(request, Wait) else 0.0


def steps(owner: Nestvec, lifecycle: Steps) -> Generator[Any, None, Any]:
    """Each request to a backend, before it is made."""
    ports = SyncSteps(owner)
    try:
        step = next(lifecycle)
        while True:
            try:
                if isinstance(step, On):
                    answer = yield from each(step.flow, owner._ports(step.backend, step.like.embedder).answer)
                elif isinstance(step, Between):
                    answer = yield from between(owner, step)
                else:
                    answer = ports.answer(step)
            except NestvecError as error:
                step = lifecycle.throw(error)
            else:
                step = lifecycle.send(answer)
    except StopIteration as stop:
        return stop.value


def between(owner: Nestvec, step: Between) -> Generator[Any, None, Any]:
    source, target = (owner._ports(spec.backend, spec.embedder) for spec in (step.source, step.target))
    answer = PairPorts(source, target).answer
    try:
        return (yield from each(step.flow, answer))
    except NestvecError:
        if step.give_up is not None:
            yield from each(step.give_up(), answer)
        raise


def each(flow: Generator[Any, Any, Any], answer: Callable[[Any], Any]) -> Generator[Any, None, Any]:
    try:
        request = next(flow)
        while True:
            inner = request.request if isinstance(request, At) else request
            yield inner
            try:
                given_back = None if isinstance(inner, Wait) else answer(request)
            except NestvecError as error:
                request = flow.throw(error)
            else:
                request = flow.send(given_back)
    except StopIteration as stop:
        return stop.value


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

"""The write fence: who waits for a migration and how long; no interleaving loses a write or mixes generations."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec._client import Nestvec, connect
from nestvec._collections import write_fence
from nestvec._collections.opening import (
    CollectionState,
    OpenCollection,
    Target,
    on_current,
    open_to_read,
    open_to_write,
    write_within_lease,
)
from nestvec._collections.write_fence import FenceState, GenerationPlace, WriteFence
from nestvec._session.session import Backend, complete
from nestvec.contract import Create, Fetch, ReadNote, ResolveAlias, Scroll, SetAlias, Write, WriteNote
from nestvec.errors import CollectionConflict, CollectionError, CollectionMoved, MigrationInterrupted
from nestvec.runtime import Runtime
from nestvec.types import DENSE, Document
from nestvec_testing.data import record, vectors
from nestvec_testing.registry import test_registry
from nestvec_testing.requests import Wait
from nestvec_testing.stepping import Asking, Stepper, perform

TO = GenerationPlace("store", "docs_2")
FENCE = WriteFence(FenceState.FENCED, "m", 2000.0)


class Time:
    """Both clocks, moved by hand: `wall` is 500 seconds behind."""

    def __init__(self) -> None:
        self.now = 1000.0

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now - 500

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def client(time: Time) -> Any:
    values = {
        "backends": {"store": {"use": "memory"}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {"dimensions": 8}},
    }
    runtime = Runtime(test_registry(), clock=time.clock, wall=time.wall, pause=time.pass_)
    with connect(values, runtime) as opened:
        opened.apply()
        yield opened


def note(client: Nestvec, held: WriteFence | None, physical: str = "docs_1") -> None:
    client.adapter("store").write_note(WriteNote(physical, write_fence.NOTE, held.to_text() if held else None))


def second_generation(adapter: Any, spec: Any) -> None:
    adapter.create(Create("docs_2", spec.vectors, spec.metric, spec.fields, spec.record(2)))


def opened(client: Nestvec) -> OpenCollection:
    """The client's collection, for rules that are stepped."""
    state = client["docs"]._among.wanted
    return OpenCollection(state, Asking(clock=state.clock))


def backend(client: Nestvec) -> Backend:
    return client["docs"]._sessions[0].backend


def until(step: Stepper[Any], adapter: Any, kind: type) -> None:
    """Answer requests until the next one is of this kind."""
    while not isinstance(step.request, kind):
        step.answer(perform(adapter, step.request))


@pytest.mark.parametrize(
    "each",
    [FENCE, WriteFence(FenceState.SWITCHING, "m", to=TO), WriteFence(FenceState.MOVED, to=TO)],
    ids=lambda each: each.state,
)
def test_a_fence_comes_back_as_it_was_written(each: WriteFence) -> None:
    assert WriteFence.from_text(each.to_text(), "docs_1") == each


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"state": "ajar"}', '{"state": "moved", "to": {"x": 1}}'])
def test_a_note_that_is_no_fence_is_named(text: str) -> None:
    with pytest.raises(CollectionError, match="'gate' of collection 'docs_1'"):
        WriteFence.from_text(text, "docs_1")


def test_writers_wait_at_a_fence_until_it_has_run_out_and_readers_do_not(client: Nestvec, time: Time) -> None:
    note(client, WriteFence(FenceState.FENCED, "m", time.wall() + 100))
    started = time.now
    assert client["docs"].count() == 0
    assert time.now == started
    assert client["docs"].upsert([Document("a", "one")]).documents == 1
    assert 100 + write_fence.SKEW < time.now - started <= 100 + write_fence.SKEW + 2 * write_fence.POLL


def test_writers_go_on_as_soon_as_the_fence_is_lifted(client: Nestvec, time: Time) -> None:
    note(client, WriteFence(FenceState.FENCED, "m", time.wall() + 100))
    step = Stepper(open_to_write(opened(client)))
    adapter: Any = client.adapter("store")
    until(step, adapter, Wait)
    complete(write_fence.lift(backend(client), "docs_1", "somebody else"))
    assert adapter.read_note(ReadNote("docs_1", write_fence.NOTE)) is not None
    complete(write_fence.lift(backend(client), "docs_1", "m"))
    step.answer()
    while step.request is not None:
        assert not isinstance(step.request, Wait)
        step.answer(perform(adapter, step.request))
    assert step.result.physical == "docs_1"


def test_an_expired_fence_is_judged_by_the_time_before_it_was_read(client: Nestvec, time: Time) -> None:
    """It ran out while it was read: what was read may be of before the switch."""
    held = WriteFence(FenceState.FENCED, "m", time.wall())
    step = Stepper(open_to_write(opened(client)))
    adapter: Any = client.adapter("store")
    until(step, adapter, ReadNote)
    time.pass_(10)
    assert isinstance(step.answer(held.to_text()), Wait)


def test_writers_follow_an_alias_that_moves_while_they_wait(client: Nestvec, time: Time) -> None:
    adapter: Any = client.adapter("store")
    second_generation(adapter, client["docs"].spec)
    note(client, WriteFence(FenceState.SWITCHING, "m", to=TO))
    step = Stepper(open_to_write(opened(client)))
    until(step, adapter, Wait)
    adapter.set_alias(SetAlias("docs", "docs_2"))
    step.answer()
    while step.request is not None:
        step.answer(perform(adapter, step.request))
    assert step.result.physical == "docs_2"
    assert [event.name for event in step.events] == ["alias_moved"]


def test_a_switch_that_does_not_end_is_a_retryable_error(client: Nestvec, time: Time) -> None:
    note(client, WriteFence(FenceState.SWITCHING, "m", to=TO))
    started = time.now
    with pytest.raises(MigrationInterrupted, match=r"'docs'.*'docs_2' on backend .*migrate docs") as caught:
        client["docs"].delete(["a"])
    assert caught.value.retryable
    assert write_fence.PATIENCE <= time.now - started <= write_fence.PATIENCE + write_fence.POLL
    assert client["docs"].count() == 0


def test_a_collection_that_moved_is_neither_read_nor_written(client: Nestvec, time: Time) -> None:
    note(client, WriteFence(FenceState.MOVED, to=GenerationPlace("other", "docs_1")))
    for use in (client["docs"].count, lambda: client["docs"].upsert([Document("a", "one")])):
        with pytest.raises(CollectionMoved, match="'docs_1' on backend 'other'"):
            use()
    assert time.now == 1000, "there is nowhere else to look"


def test_an_alias_read_just_before_it_moved_is_read_again(client: Nestvec) -> None:
    adapter: Any = client.adapter("store")
    second_generation(adapter, client["docs"].spec)
    step = Stepper(open_to_read(opened(client)))
    assert step.request == ResolveAlias("docs")
    adapter.set_alias(SetAlias("docs", "docs_2"))
    complete(write_fence.mark_moved(backend(client), "docs_1", TO))
    step.answer("docs_1")
    while step.request is not None:
        step.answer(perform(adapter, step.request))
    assert step.result.physical == "docs_2"


def test_a_fence_of_another_migration_is_respected_until_it_runs_out(client: Nestvec, time: Time) -> None:
    complete(write_fence.raise_fence(backend(client), time.wall, "docs_1", "first", 60))
    with pytest.raises(CollectionConflict, match="'first'"):
        complete(write_fence.raise_fence(backend(client), time.wall, "docs_1", "second", 60))
    assert complete(write_fence.raise_fence(backend(client), time.wall, "docs_1", "first", 60)).by == "first"
    time.pass_(60 + write_fence.SKEW + 1)
    assert complete(write_fence.raise_fence(backend(client), time.wall, "docs_1", "second", 60)).by == "second"


@pytest.mark.parametrize("late", ["before", "during", None])
def test_a_switch_must_be_confirmed_in_time(client: Nestvec, time: Time, late: str | None) -> None:
    adapter: Any = client.adapter("store")
    fence = complete(write_fence.raise_fence(backend(client), time.wall, "docs_1", "m", 60))
    time.pass_(60 if late == "before" else 10)
    step = Stepper(write_fence.to_switching(opened(client).backend, time.wall, "docs_1", fence, TO))
    while step.request is not None:
        answer = perform(adapter, step.request)
        time.pass_(60 if late == "during" and isinstance(step.request, WriteNote) else 0)
        step.answer(answer)
    assert step.result is (late is None)


def test_a_switch_needs_the_fence_that_was_raised(client: Nestvec, time: Time) -> None:
    fence = complete(write_fence.raise_fence(backend(client), time.wall, "docs_1", "m", 60))
    note(client, replace(fence, by="other"))
    with pytest.raises(CollectionConflict, match="'other'"):
        complete(write_fence.to_switching(backend(client), time.wall, "docs_1", fence, TO))


# ---------------------------------------------------------------- all interleavings


class World:
    """Writers, a reader and a migration on one memory adapter, advanced one request at a time."""

    def __init__(self) -> None:
        self.time = Time()
        values = {
            "backends": {"store": {"use": "memory"}},
            "embedders": {"model": {"use": "recording"}},
            "collections": {"docs": {"dimensions": 8}},
        }
        self.client = connect(values, Runtime(test_registry(), clock=self.time.clock, wall=self.time.wall))
        self.client.apply()
        self.adapter: Any = self.client.adapter("store")
        self.spec = self.client["docs"].spec
        second_generation(self.adapter, self.spec)
        self.acknowledged: dict[str, str] = {}
        self.last_pass = False
        #: Acknowledged in the old generation after the last pass had begun.
        self.late: list[str] = []
        self.actors: list[Actor] = []

    def opened(self) -> OpenCollection:
        return opened(self.client).knowing(self.state())

    def state(self) -> CollectionState:
        return replace(self.client["docs"]._among.wanted, target=None)

    def start(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self.actors.append(Actor(self, make()))

    async def writer(self, number: int) -> None:
        collection = self.opened()
        for turn in range(4):
            name = f"w{number}-{turn}"
            physical = await on_current(collection, partial(self.write, collection, name))
            self.acknowledged[name] = physical
            if self.last_pass and physical == "docs_1":
                self.late.append(name)

    async def write(self, collection: OpenCollection, name: str, target: Target) -> str:
        rows = {DENSE: vectors(1, 8, unit=True)}
        await write_within_lease(collection, target, Write(target.physical, [record(name)], rows))
        return target.physical

    async def migration(self) -> None:
        collection = self.opened()
        backend = collection.backend
        await self.copy(backend)
        while True:
            fence = await write_fence.raise_fence(backend, self.time.wall, "docs_1", "m", 90)
            await collection.session.wait(write_fence.drain(30))
            self.last_pass = True
            await self.copy(backend)
            if await write_fence.to_switching(backend, self.time.wall, "docs_1", fence, TO):
                break
            self.last_pass = False  # it took longer than the fence held: there will be another one
            self.late.clear()
        await backend.set_alias(SetAlias("docs", "docs_2"))
        await write_fence.mark_moved(backend, "docs_1", TO)

    async def copy(self, backend: Backend) -> None:
        batch = await backend.scroll(Scroll("docs_1", None, 1000, vectors=True))
        if batch.records:
            await backend.write(Write("docs_2", batch.records, batch.vectors or {}))


class Actor:
    """A rule; what waits goes on when its time has come."""

    def __init__(self, world: World, rule: Coroutine[Any, Any, Any]) -> None:
        self.world, self.step, self.until = world, Stepper(rule), 0.0
        self._arm()

    def advance(self) -> bool:
        """One request, if it may; returns whether it did."""
        request = self.step.request
        if request is None or self.world.time.now < self.until:
            return False
        if isinstance(request, Wait):
            self.step.answer()
        else:
            self.step.answer(perform(self.world.adapter, request))
        self._arm()
        return True

    def _arm(self) -> None:
        request = self.step.request
        self.until = self.world.time.now + request.seconds if isinstance(request, Wait) else 0.0


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0.0, 0.0, 0.0, 2.0, 9.0, 33.0])), max_size=120))
def test_no_interleaving_loses_a_write(moves: list[tuple[int, float]]) -> None:
    """Every acknowledged write is in the new generation after the switch, and none comes to the old one too late."""
    world = World()
    for make in (lambda: world.writer(0), lambda: world.writer(1), world.migration):
        world.start(make)
    for number, seconds in moves:
        world.time.pass_(seconds)
        world.actors[number].advance()
    for _ in range(5000):
        if all(actor.step.done for actor in world.actors):
            break
        if not sum(actor.advance() for actor in world.actors):
            world.time.pass_(0.5)
    assert all(actor.step.done for actor in world.actors)
    ids = [record(name).id for name in world.acknowledged]
    found = world.adapter.fetch(Fetch("docs_2", ids)).records
    assert len(ids) == 8
    assert not world.late
    assert {each.id for each in found} == set(ids)


def test_a_write_that_arrives_after_the_switch_is_repeated_in_the_new_generation() -> None:
    """It was sent within the lease and took longer than everything else: what it did in the old one does not count."""
    world = World()
    world.start(lambda: world.writer(0))
    world.start(world.migration)
    writer, migration = world.actors
    while not isinstance(writer.step.request, Write):
        writer.advance()
    while not migration.step.done:
        migration.advance()
        world.time.pass_(1.0)
    while not writer.step.done:
        if not writer.advance():
            world.time.pass_(1.0)
    assert set(world.acknowledged.values()) == {"docs_2"}
    assert not world.late

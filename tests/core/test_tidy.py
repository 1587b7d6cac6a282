"""Generations, told and removed: never the live one, nothing while a migration switches, nobody's while it is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from nestvec._client import Nestvec, aconnect, connect
from nestvec._collections import write_fence
from nestvec._collections.write_fence import FenceState, GenerationPlace, WriteFence
from nestvec._migration.generations import NOTE, GenerationRole, MigrationNote
from nestvec._migration.report import MigrationStage
from nestvec.contract import Create, Drop, SetAlias, WriteNote
from nestvec.errors import CollectionConflict, CollectionError, CollectionNotFound, InvalidInput, InvalidName
from nestvec.runtime import RetryPolicy, Runtime
from nestvec.types import Document, Metric
from nestvec_testing.memory import _STORES
from nestvec_testing.registry import test_registry

NOW = 10_000.0
HERE, THERE = "tidy-here", "tidy-there"


class World:
    """A collection `docs` on two backends, whose generations are made by hand; it is `now`."""

    def __init__(self) -> None:
        self.now = NOW
        self.events: list[Any] = []
        self.opened: list[Nestvec] = []
        self.client = self.open()

    def values(self, **settings: Any) -> dict[str, Any]:
        return {
            "backends": {"here": {"use": "memory", "store": HERE}, "there": {"use": "memory", "store": THERE}},
            "embedders": {"model": {"use": "recording"}},
            "collections": {"docs": {"backend": "here", "dimensions": 32, **settings}},
        }

    @property
    def runtime(self) -> Runtime:
        registry = test_registry()
        registry.notify = self.events.append  # type: ignore[method-assign]
        return Runtime(registry, wall=lambda: self.now, retry=RetryPolicy(attempts=1))

    def open(self, **settings: Any) -> Nestvec:
        self.opened.append(connect(self.values(**settings), self.runtime))
        return self.opened[-1]

    def adapter(self, backend: str = "here") -> Any:
        return self.client.adapter(backend)

    def make(
        self,
        number: int,
        *,
        backend: str = "here",
        live: bool = False,
        candidate: bool = False,
        source: GenerationPlace | None = None,
        stage: MigrationStage = MigrationStage.DONE,
        left: float | None = NOW - 1000,
        fence: WriteFence | None = None,
        dimensions: int = 32,
    ) -> None:
        spec = self.open(dimensions=dimensions, backend=backend)["docs"].spec
        physical, adapter = f"docs_{number}", self.adapter(backend)
        record = spec.record(number) | ({"shadow": True} if candidate else {})
        adapter.create(Create(physical, spec.vectors, spec.metric, spec.fields, record))
        if source is not None:
            progress = MigrationNote("m", source, stage, NOW - 2000, left)
            adapter.write_note(WriteNote(physical, NOTE, progress.to_text()))
        if fence is not None:
            adapter.write_note(WriteNote(physical, write_fence.NOTE, fence.to_text()))
        if live:
            adapter.set_alias(SetAlias("docs", physical))

    def migrated(self, left: float = NOW - 1000) -> None:
        """Generation 1 was left for 2."""
        self.make(1, fence=WriteFence(FenceState.MOVED, to=GenerationPlace("here", "docs_2")))
        self.make(2, live=True, source=GenerationPlace("here", "docs_1"), left=left, dimensions=32)

    def there(self, backend: str = "here") -> list[str]:
        return sorted(self.adapter(backend)._collections)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    for client in made.opened:
        client.close()
    for store in (HERE, THERE):
        _STORES.pop(store, None)


def test_what_there_is(world: World) -> None:
    world.migrated()
    world.make(
        3,
        candidate=True,
        source=GenerationPlace("here", "docs_2"),
        stage=MigrationStage.COPYING,
        left=None,
        dimensions=8,
    )
    world.client["docs"].upsert([Document("a", "text")])
    one, two, three = world.client.generations("docs")
    assert [each.role for each in (one, two, three)] == [
        GenerationRole.RETIRED,
        GenerationRole.LIVE,
        GenerationRole.CANDIDATE,
    ]
    assert (two.backend, two.physical, two.generation, two.chunks) == ("here", "docs_2", 2, 1)
    assert (two.space, two.model) == (world.client["docs"].spec.space.fingerprint, "recording-v3")
    assert (two.dimensions, two.storage, two.created_from) == (32, "float32", GenerationPlace("here", "docs_1"))
    assert (one.created_from, three.created_from, three.dimensions) == (None, GenerationPlace("here", "docs_2"), 8)
    assert one.since == two.since == datetime.fromtimestamp(NOW - 1000, UTC)
    assert three.since == datetime.fromtimestamp(NOW - 2000, UTC)
    assert world.client.generations() == [one, two, three]
    told = json.loads(json.dumps(two.to_dict()))
    assert (told["role"], told["since"]) == ("live", "1970-01-01T02:30:00+00:00")


def test_a_retired_generation_goes_and_its_removal_is_an_event(world: World) -> None:
    world.migrated()
    (would,) = world.client.cleanup("docs", dry=True)
    assert (would.removed, world.there()) == (True, ["docs_1", "docs_2"])
    (removal,) = world.client.cleanup("docs")
    assert (removal.removed, removal.generation.physical) == (True, "docs_1")
    assert world.there() == ["docs_2"]
    assert [(each.name, each.data) for each in world.events] == [("generation_removed", {"physical": "docs_1"})]
    assert world.client.cleanup("docs") == []
    assert world.client["docs"].count() == 0


def test_readers_may_still_be_on_one_that_was_just_left(world: World) -> None:
    lease = world.client["docs"]._among.wanted.lease
    world.migrated(left=NOW - 1)
    (kept,) = world.client.cleanup("docs")
    assert not kept.removed
    until = datetime.fromtimestamp(NOW - 1 + write_fence.drain(lease), UTC).isoformat(timespec="seconds")
    assert kept.reason == f"readers may still be on it until {until}"
    world.now += write_fence.drain(lease)
    assert world.client.cleanup("docs")[0].removed


def test_the_live_one_is_never_removed(world: World) -> None:
    world.migrated()
    with pytest.raises(CollectionConflict, match="generation 2 of collection 'docs' is live"):
        world.client.cleanup("docs", generation=2)
    assert world.there() == ["docs_1", "docs_2"]


def test_a_number_that_there_is_not(world: World) -> None:
    world.migrated()
    with pytest.raises(InvalidInput, match="no generation 7; besides the live one it has: 1"):
        world.client.cleanup("docs", generation=7)
    with pytest.raises(InvalidName):
        world.client.cleanup("doc")


@pytest.mark.parametrize("name", ["generations", "cleanup"])
def test_a_note_that_cannot_be_read_stops_it(world: World, name: str) -> None:
    world.migrated()
    world.adapter().write_note(WriteNote("docs_2", NOTE, "?"))
    with pytest.raises(CollectionError, match="cannot be read"):
        getattr(world.client, name)("docs")


def test_without_a_live_one_nothing_goes(world: World) -> None:
    world.make(1)
    with pytest.raises(CollectionNotFound, match="no generation of collection 'docs' is live"):
        world.client.cleanup("docs")
    assert world.there() == ["docs_1"]
    assert world.client.generations()[0].role is GenerationRole.RETIRED


@pytest.mark.parametrize(
    "fence",
    [
        WriteFence(FenceState.FENCED, "m", NOW + 10),
        WriteFence(FenceState.FENCED, "m", NOW - write_fence.SKEW + 0.1),
        WriteFence(FenceState.SWITCHING, "m", to=GenerationPlace("here", "docs_3")),
    ],
    ids=["fenced", "hardly over", "switching"],
)
def test_nothing_goes_while_a_migration_holds_a_fence(world: World, fence: WriteFence) -> None:
    world.make(1)
    world.make(2, live=True, source=GenerationPlace("here", "docs_1"), fence=fence)
    world.make(3, candidate=True, source=GenerationPlace("here", "docs_2"), stage=MigrationStage.DRAINING, left=None)
    for number in (None, 1, 3):
        with pytest.raises(CollectionConflict, match="holds the write fence of 'docs_2'"):
            world.client.cleanup("docs", generation=number)
    assert world.there() == ["docs_1", "docs_2", "docs_3"]


def test_a_fence_that_ran_out_holds_nothing(world: World) -> None:
    world.make(1)
    world.make(
        2,
        live=True,
        source=GenerationPlace("here", "docs_1"),
        fence=WriteFence(FenceState.FENCED, "m", NOW - write_fence.SKEW - 0.1),
    )
    assert [each.removed for each in world.client.cleanup("docs")] == [True]


@pytest.mark.parametrize("candidate", [True, False], ids=["forwards", "back to a generation"])
def test_a_migration_that_has_begun_is_left_alone_unless_it_is_named(world: World, candidate: bool) -> None:
    world.make(2, live=True)
    moved = None if candidate else WriteFence(FenceState.MOVED, to=GenerationPlace("here", "docs_2"))
    world.make(
        3,
        candidate=candidate,
        source=GenerationPlace("here", "docs_2"),
        stage=MigrationStage.COPYING,
        left=None,
        fence=moved,
    )
    (kept,) = world.client.cleanup("docs")
    assert not kept.removed
    assert "--generation 3" in kept.reason
    (gone,) = world.client.cleanup("docs", generation=3)
    assert gone.removed
    assert world.there() == ["docs_2"]


def test_what_was_gone_back_from_goes(world: World) -> None:
    """Each of the two came from the other; neither of the migrations runs any more."""
    world.make(1, live=True, source=GenerationPlace("here", "docs_2"))
    world.make(
        2,
        source=GenerationPlace("here", "docs_1"),
        fence=WriteFence(FenceState.MOVED, to=GenerationPlace("here", "docs_1")),
    )
    assert [each.removed for each in world.client.cleanup("docs")] == [True]
    assert world.there() == ["docs_1"]


def test_a_candidate_of_a_generation_that_is_no_longer_live_goes(world: World) -> None:
    world.migrated()
    world.make(3, candidate=True, source=GenerationPlace("here", "docs_1"), stage=MigrationStage.COPYING, left=None)
    world.make(4, candidate=True)
    assert all(each.removed for each in world.client.cleanup("docs"))
    assert world.there() == ["docs_2"]


def test_what_became_live_between_looking_and_removing_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody goes back to generation 1 just then."""
    world.migrated()
    adapter = world.adapter()
    original, asked = adapter.count, []

    def count(request: Any) -> int:
        asked.append(request)
        adapter.set_alias(SetAlias("docs", "docs_1"))
        adapter.write_note(WriteNote("docs_1", write_fence.NOTE, None))
        return int(original(request))

    monkeypatch.setattr(adapter, "count", count)
    (kept,) = world.client.cleanup("docs")
    assert asked
    assert (kept.removed, kept.reason) == (False, "it changed meanwhile; look again")
    assert world.there() == ["docs_1", "docs_2"]


def test_a_pointer_to_what_is_removed_goes_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The collection moved from `there` to `here`; its old pointer stayed, and the fence tells where it went."""
    world.make(1, backend="there", live=True, fence=WriteFence(FenceState.MOVED, to=GenerationPlace("here", "docs_1")))
    world.make(1, live=True, source=GenerationPlace("there", "docs_1"))
    client = world.open(previous={"backend": "there"})
    assert [(each.backend, each.role) for each in client.generations()] == [
        ("there", GenerationRole.RETIRED),
        ("here", GenerationRole.LIVE),
    ]
    assert world.client.generations() == client.generations()[1:], "without `previous` nobody looks there"
    adapter = client.adapter("there")

    def interrupted(request: Drop) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(adapter, "drop", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client.cleanup("docs")
    assert (world.adapter("there")._aliases, world.there("there")) == ({}, ["docs_1"])
    (removal,) = client.cleanup("docs", generation=1)
    assert (removal.removed, removal.generation.backend) == (True, "there")
    assert (world.there("there"), world.there()) == ([], ["docs_1"])
    assert world.adapter()._aliases == {"docs": "docs_1"}


def test_adopted_collections_are_passed_over(world: World) -> None:
    world.migrated()
    values = world.values()
    values["collections"]["other"] = {"adopt": True, "backend": "there", "dimensions": 8}
    with connect(values, world.runtime) as nv:
        assert {each.collection for each in nv.generations()} == {"docs"}


def test_what_somebody_else_made_is_never_touched(world: World) -> None:
    """Also where its name looks like a generation's, and even if it was adopted under another name."""
    world.migrated()
    adapter = world.adapter()
    for physical in ("docs_7", "docs_8"):
        adapter.create(Create(physical, {"dense": 32}, Metric.COSINE, {}, {}))
        info = adapter._collections[physical].info
        adapter._collections[physical].info = replace(info, record=None)
    values = world.values()
    values["collections"]["theirs"] = {
        "backend": "here",
        "adopt": True,
        "dimensions": 32,
        "foreign": {"collection": "docs_8", "verify": False},
    }
    with connect(values, world.runtime) as nv:
        nv.apply("theirs")
        assert adapter._collections["docs_8"].info.record is not None
        assert [each.physical for each in nv.generations("docs")] == ["docs_1", "docs_2"]
        assert [each.generation.physical for each in nv.cleanup("docs")] == ["docs_1"]
    assert world.there() == ["docs_2", "docs_7", "docs_8"]


def test_a_record_that_cannot_be_read_is_no_licence(world: World) -> None:
    world.migrated()
    info = world.adapter()._collections["docs_1"].info
    world.adapter()._collections["docs_1"].info = replace(info, record={"nestvec": 99})
    for number in (None, 1):
        (kept,) = world.client.cleanup("docs", generation=number)
        assert not kept.removed
        assert "cannot be read" in kept.reason
    assert world.client.generations()[0].model is None


async def test_asynchronously_the_same(world: World) -> None:
    world.migrated()
    async with aconnect(world.values(), world.runtime) as nv:
        assert await nv.generations() == world.client.generations()
        (removal,) = await nv.cleanup("docs", dry=True)
        assert [removal] == world.client.cleanup("docs", dry=True)
        assert (await nv.cleanup("docs"))[0].removed
    assert world.there() == ["docs_2"]

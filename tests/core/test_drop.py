"""Dropping: all of a collection and nothing else, not while a migration is at work; of an adopted one the record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from nestvec import Document
from nestvec._client import aconnect, connect
from nestvec._collections import write_fence
from nestvec._collections.write_fence import FenceState, GenerationPlace, WriteFence
from nestvec._migration.report import MigrationStage
from nestvec.contract import Create, Describe, Drop, ReadNote, WriteNote
from nestvec.errors import CollectionConflict, CollectionMoved, CollectionNotFound, InvalidName
from nestvec.types import Metric
from nestvec_testing.memory import _STORES

from .test_tidy import HERE, NOW, THERE, World


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    for client in made.opened:
        client.close()
    for store in (HERE, THERE):
        _STORES.pop(store, None)


def test_everything_goes_and_is_created_anew(world: World) -> None:
    world.migrated()
    world.make(3, candidate=True)
    world.client["docs"].upsert([Document("a", "text"), Document("b", "text")])
    due = world.client.drop("docs", dry=True)
    assert (due.documents, due.adopted, due.done) == (2, None, True)
    assert [each.generation.physical for each in due.generations] == ["docs_1", "docs_3", "docs_2"]
    assert world.there() == ["docs_1", "docs_2", "docs_3"]
    done = world.client.drop("docs", among=[each.generation for each in due.generations])
    assert done == due
    assert (world.there(), world.adapter()._aliases) == ([], {})
    assert [each.data["physical"] for each in world.events if each.name == "generation_removed"] == [
        "docs_1",
        "docs_3",
        "docs_2",
    ]
    assert world.client.plan("docs")[0].action == "create"
    with pytest.raises(CollectionNotFound, match="nestvec apply"):
        world.client["docs"].count()
    world.client.apply()
    assert world.client["docs"].count() == 0


async def test_asynchronously_the_same(world: World) -> None:
    world.make(1, live=True)
    async with aconnect(world.values(), world.runtime) as nv:
        assert await nv["docs"].count() == 0
        assert (await nv.drop("docs")).done
        assert (await nv.plan("docs"))[0].action == "create"


def test_what_is_not_there(world: World) -> None:
    with pytest.raises(CollectionNotFound, match="'docs' does not exist on backend 'here'; there is nothing to drop"):
        world.client.drop("docs")
    with pytest.raises(InvalidName, match="'docs'"):
        world.client.drop("dcos")


@pytest.mark.parametrize(
    "fence",
    [
        WriteFence(FenceState.FENCED, "m", NOW + 10),
        WriteFence(FenceState.SWITCHING, "m", to=GenerationPlace("here", "docs_3")),
    ],
    ids=["fenced", "switching"],
)
def test_nothing_goes_while_a_migration_holds_a_fence(world: World, fence: WriteFence) -> None:
    world.make(2, live=True, fence=fence)
    for dry in (True, False):
        with pytest.raises(CollectionConflict, match=r"holds the write fence of 'docs_2'.*Nothing was removed"):
            world.client.drop("docs", dry=dry)
    assert world.there() == ["docs_2"]


def test_nothing_goes_while_one_copies(world: World) -> None:
    world.make(2, live=True)
    world.make(3, candidate=True, source=GenerationPlace("here", "docs_2"), stage=MigrationStage.COPYING, left=None)
    with pytest.raises(CollectionConflict, match=r"cleanup docs --generation 3.*Nothing was removed"):
        world.client.drop("docs")
    assert world.there() == ["docs_2", "docs_3"]
    world.client.cleanup("docs", generation=3)
    assert world.client.drop("docs").done


def test_nothing_goes_after_a_switch_that_was_interrupted(world: World) -> None:
    moved = WriteFence(FenceState.MOVED, to=GenerationPlace("here", "docs_2"))
    world.make(1, fence=moved)
    source = GenerationPlace("here", "docs_1")
    world.make(2, live=True, source=source, stage=MigrationStage.SWITCHING, left=None)
    with pytest.raises(CollectionConflict, match=r"was interrupted.*Nothing was removed"):
        world.client.drop("docs")
    assert world.there() == ["docs_1", "docs_2"]


def test_what_moved_to_a_place_that_nobody_told_of_stays(world: World) -> None:
    world.make(1, fence=WriteFence(FenceState.MOVED, to=GenerationPlace("elsewhere", "docs_1")))
    with pytest.raises(CollectionMoved, match="elsewhere"):
        world.client.drop("docs")
    assert world.there() == ["docs_1"]


def test_where_two_count_neither_goes(world: World) -> None:
    world.make(1, live=True)
    world.make(1, live=True, backend="there")
    client = world.open(previous={"backend": "there"})
    with pytest.raises(CollectionConflict, match="in use in two places"):
        client.drop("docs")
    assert (world.there(), world.there("there")) == (["docs_1"], ["docs_1"])


def test_generations_on_the_backend_where_it_was_go_too(world: World) -> None:
    world.make(1, backend="there", fence=WriteFence(FenceState.MOVED, to=GenerationPlace("here", "docs_1")))
    world.make(1, live=True, source=GenerationPlace("there", "docs_1"))
    client = world.open(previous={"backend": "there"})
    assert [each.generation.backend for each in client.drop("docs").generations] == ["there", "here"]
    assert (world.there(), world.there("there")) == ([], [])


def test_what_came_meanwhile_was_not_agreed_to(world: World) -> None:
    world.make(1, live=True)
    due = world.client.drop("docs", dry=True)
    world.make(2, candidate=True)
    with pytest.raises(CollectionConflict, match="changed meanwhile: there is 'docs_2'"):
        world.client.drop("docs", among=[each.generation for each in due.generations])
    assert world.there() == ["docs_1", "docs_2"]


@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_interrupted_drop_goes_on(world: World, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    world.migrated()
    world.make(3, candidate=True)
    adapter, original, asked = world.adapter(), world.adapter().drop, []

    def interrupted(request: Drop) -> None:
        asked.append(request)
        if len(asked) > after:
            raise KeyboardInterrupt
        original(request)

    with monkeypatch.context() as patched:
        patched.setattr(adapter, "drop", interrupted)
        with pytest.raises(KeyboardInterrupt):
            world.client.drop("docs")
    assert len(world.there()) == 3 - after
    assert world.client.drop("docs").done
    assert (world.there(), world.adapter()._aliases) == ([], {})


def test_others_collections_stay(world: World) -> None:
    world.make(1, live=True)
    adapter = world.adapter()
    adapter.create(Create("docs_archive_1", {"dense": 32}, Metric.COSINE, {}, {"nestvec": 1}))
    adapter.create(Create("docs_7", {"dense": 32}, Metric.COSINE, {}, None))
    assert world.client.drop("docs").done
    assert world.there() == ["docs_7", "docs_archive_1"]


def test_nothing_goes_where_a_record_cannot_be_read(world: World) -> None:
    world.make(1, live=True)
    world.adapter().create(Create("docs_7", {"dense": 32}, Metric.COSINE, {}, {"nestvec": 99}))
    with pytest.raises(CollectionConflict, match="the record of 'docs_7' on backend 'here' cannot be read"):
        world.client.drop("docs")
    assert world.there() == ["docs_1", "docs_7"]


def _adopting(world: World) -> Any:
    values = world.values()
    values["collections"] = {
        "theirs": {
            "backend": "here",
            "adopt": True,
            "dimensions": 32,
            "foreign": {"collection": "articles", "verify": False},
        }
    }
    return connect(values, world.runtime)


def test_an_adopted_collection_is_only_forgotten(world: World) -> None:
    adapter = world.adapter()
    adapter.create(Create("articles", {"dense": 32}, Metric.COSINE, {}, None))
    with _adopting(world) as nv:
        with pytest.raises(CollectionNotFound, match="'articles' on backend 'here' is not adopted"):
            nv.drop("theirs")
        nv.apply()
        adapter.write_note(WriteNote("articles", "canaries", "?"))
        assert nv.drop("theirs", dry=True).adopted == "articles"
        assert nv.plan()[0].action == "none"
        report = nv.drop("theirs")
        assert (report.adopted, report.documents, report.generations) == ("articles", 0, ())
        assert nv.plan()[0].action == "adopt"
        assert adapter.describe(Describe("articles")).record is None
        assert adapter.read_note(ReadNote("articles", "canaries")) is None
        adapter.drop(Drop("articles"))
        with pytest.raises(CollectionNotFound, match="is not there"):
            nv.drop("theirs")


def test_a_fence_that_ran_out_holds_nothing(world: World) -> None:
    world.make(2, live=True, fence=WriteFence(FenceState.FENCED, "m", NOW - write_fence.SKEW - 0.1))
    assert world.client.drop("docs").done

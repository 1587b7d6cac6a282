"""`plan`, `apply` and `status` of a collection that the configuration describes as it is wanted and as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nestvec._client import aconnect, connect
from nestvec._collections import write_fence
from nestvec._collections.apply import apply
from nestvec._collections.opening import OpenCollection
from nestvec._collections.write_fence import FenceState, GenerationPlace, WriteFence
from nestvec._session.session import complete
from nestvec.contract import Describe, Drop, DropAlias, SetAlias, WriteNote
from nestvec.errors import CollectionConflict

from .moving import Move, corpus

LEFT = "when nobody wants to go back any more: `nestvec cleanup docs`, then take [collections.docs.previous] out"


@pytest.fixture(params=[True, False], ids=["another backend", "another space"])
def move(request: pytest.FixtureRequest) -> Iterator[Move]:
    made = Move(apart=request.param)
    made.docs.upsert(corpus())
    yield made
    made.client.close()


def planned(move: Move) -> tuple[str, tuple[str, ...]]:
    """What is planned by a client that is opened now."""
    (change,) = connect(move.values, move.runtime).plan()
    return change.action, change.details


def test_while_it_is_what_it_was_a_migration_is_pending(move: Move) -> None:
    action, details = planned(move)
    assert action == "migrate"
    assert "model: stored 'recording-v2', configured 'recording-v3'" in details
    assert "dimensions: stored 24, configured 16" in details
    assert ("backend: stored on 'old', configured 'new'" in details) == (move.to.backend == "new")
    assert "`nestvec migrate docs`" in details[-1]


def test_apply_leaves_it_alone(move: Move) -> None:
    before = move.new.list_collections(None), move.old.describe(Describe("docs_1"))
    client = connect(move.values, move.runtime)
    assert client.apply() == client.plan()
    assert (move.new.list_collections(None), move.old.describe(Describe("docs_1"))) == before


async def test_asynchronously_too(move: Move) -> None:
    async with aconnect(move.values, move.runtime) as client:
        assert [change.action for change in await client.plan()] == ["migrate"]
        assert [change.action for change in await client.apply()] == ["migrate"]
        (status,) = await client.status()
    assert (status.backend, status.physical, status.documents) == ("old", "docs_1", 6)


def test_status_counts_what_is_there(move: Move) -> None:
    (status,) = connect(move.values, move.runtime).status()
    assert (status.backend, status.physical, status.documents, status.outdated) == ("old", "docs_1", 6, 0)
    assert status.space == move.before.spec.space.fingerprint
    assert status.change.action == "migrate"


def test_after_the_migration_the_past_can_be_taken_out(move: Move) -> None:
    move.migrate()
    assert planned(move) == ("none", (LEFT,))
    (status,) = connect(move.values, move.runtime).status()
    assert (status.backend, status.physical, status.documents) == (move.to.backend, move.to.physical, 6)


def test_after_going_back_a_migration_is_pending_again(move: Move) -> None:
    move.migrate()
    move.back()
    action, details = planned(move)
    assert (action, "dimensions: stored 24, configured 16" in details) == ("migrate", True)


def test_when_the_old_one_is_gone_nothing_is_said_of_it_but_that(move: Move) -> None:
    move.migrate()
    if move.to.backend == "new":
        move.old.drop_alias(DropAlias("docs"))
    move.old.drop(Drop("docs_1"))
    assert planned(move) == ("none", (LEFT,))


def test_what_apply_can_do_is_done_once_it_is_as_wanted(move: Move) -> None:
    move.migrate()
    move.values["collections"]["docs"]["fields"] = {"year": "integer"}
    client = connect(move.values, move.runtime)
    (change,) = client.apply()
    assert (change.action, change.details[-1]) == ("update", LEFT)
    assert client.plan()[0].action == "none"


def test_where_there_is_none_at_all_it_is_created_as_wanted(move: Move) -> None:
    move.old.drop_alias(DropAlias("docs"))
    move.old.drop(Drop("docs_1"))
    assert planned(move)[0] == "create"
    client = connect(move.values, move.runtime)
    client.apply()
    assert client["docs"].count() == 0
    assert client["docs"].space == client["docs"].spec.space


def test_where_it_is_neither_it_is_a_conflict_that_tells_of_both(move: Move) -> None:
    move.values["collections"]["docs"]["previous"]["dimensions"] = 20
    action, details = planned(move)
    assert action == "conflict"
    assert "previous: dimensions: stored 24, configured 20" in details
    assert ("dimensions: stored 24, configured 16" in details) == (move.to.backend == "old")
    with pytest.raises(CollectionConflict, match="stored 24, configured 20"):
        connect(move.values, move.runtime).apply()
    assert move.new.list_collections(None) == ([] if move.to.backend == "new" else ["docs_1"])


def test_two_of_which_neither_came_of_the_other_are_a_conflict() -> None:
    move = Move()
    complete(apply(OpenCollection(move.docs._among.wanted, move.docs._sessions[0])))
    action, (detail,) = planned(move)
    assert action == "conflict"
    assert "'old'" in detail
    assert "'new'" in detail


def test_while_the_switch_is_under_way_two_are_none(move: Move) -> None:
    move.create()
    fence = move.fence()
    assert move.to_switching(fence)
    assert planned(move)[0] == "migrate"
    move.new.set_alias(SetAlias("docs", move.to.physical))
    assert planned(move) == ("none", (LEFT,))


def test_something_else_in_the_place_that_is_wanted_is_a_conflict() -> None:
    move = Move()
    move.values["collections"]["docs"] |= {"dimensions": 8}
    complete(apply(OpenCollection(move.docs._among.wanted, move.docs._sessions[0])))  # with 16
    action, details = planned(move)
    assert (action, "dimensions: stored 16, configured 8" in details) == ("conflict", True)


def test_without_a_past_what_moved_is_a_conflict_that_says_where(move: Move) -> None:
    move.old.write_note(WriteNote("docs_1", write_fence.NOTE, moved_to("other")))
    del move.values["collections"]["docs"]["previous"]
    move.values["collections"]["docs"] |= {"backend": "old", "embedder": "v2", "dimensions": 24}
    action, (detail,) = planned(move)
    assert (action, "'docs_9' on backend 'other'" in detail) == ("conflict", True)


def test_without_a_past_another_space_is_a_conflict_that_names_the_command(move: Move) -> None:
    del move.values["collections"]["docs"]["previous"]
    move.values["collections"]["docs"]["backend"] = "old"
    action, details = planned(move)
    assert (action, "migrate it (nestvec migrate docs)" in details[-1]) == ("conflict", True)


def moved_to(backend: str) -> str:
    return WriteFence(FenceState.MOVED, to=GenerationPlace(backend, "docs_9")).to_text()

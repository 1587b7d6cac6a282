"""Handles follow a migration: each call is answered by one generation, and what was written is found in the new one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from nestvec._client import aconnect, connect
from nestvec._collections.following import follow
from nestvec._collections.opening import LEASE
from nestvec._documents.reading import count
from nestvec.contract import Count, Drop, Encode, Event, Query, Remove, ResolveAlias, Write
from nestvec.errors import (
    BackendUnavailable,
    CollectionConflict,
    CollectionNotFound,
    GenerationMoved,
    HostMismatch,
    InvalidFilter,
    InvalidInput,
    SpaceMismatch,
)
from nestvec.filters import F
from nestvec.types import Document
from nestvec_testing.requests import SideRequest
from nestvec_testing.stepping import Asking, answered

from .moving import PREVIOUS, Actor, Move, corpus, spy, stored, text


@pytest.fixture(params=[True, False], ids=["another backend", "another space"])
def apart(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def move(apart: bool) -> Iterator[Move]:
    made = Move(apart=apart)
    made.docs.upsert(corpus())
    yield made
    made.client.close()


class Awaited:
    """The asynchronous handle, called as if it were the other one."""

    def __init__(self, move: Move) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = aconnect(move.values, move.runtime)
        self._docs: Any = self._client["docs"]

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._docs, name)
        if not callable(found):
            return found
        return lambda *args, **kwargs: self._loop.run_until_complete(found(*args, **kwargs))

    def embedder(self, name: str) -> Any:
        return self._loop.run_until_complete(self._client.embedder(name))

    def close(self) -> None:
        self._loop.run_until_complete(self._client.close())
        self._loop.close()


@pytest.fixture(params=["sync", "async"])
def handle(request: pytest.FixtureRequest, move: Move) -> Iterator[Any]:
    """A handle of the collection that was opened before the migration."""
    if request.param == "sync":
        yield move.docs
        return
    made = Awaited(move)
    yield made
    made.close()


# ---------------------------------------------------------------- reading


def test_before_the_migration_it_serves_what_is_there(move: Move, handle: Any) -> None:
    assert handle.count() == 6
    assert handle.space == move.before.spec.space
    assert handle.spec == move.docs.spec
    assert handle.search(text(3))[0].document_id == "d3"
    assert handle.embed(["one", "two"]).shape == (2, 24)
    assert handle.get("d1").text == text(1)


def test_it_reads_the_old_one_for_a_lease_and_then_the_new_one(move: Move, handle: Any) -> None:
    before = handle.search(text(3))[0].score
    move.migrate()
    move.time.pass_(LEASE - 0.1)
    assert handle.search(text(3))[0].score == before
    assert handle.embed(["one"]).shape == (1, 24)
    move.time.pass_(0.2)
    after = handle.search(text(3))[0]
    assert (after.document_id, after.score == before) == ("d3", False)
    assert handle.embed(["one"]).shape == (1, 16)
    assert handle.space == handle.spec.space


def test_going_back_is_followed_too(move: Move, handle: Any) -> None:
    before = handle.search(text(3))[0].score
    move.migrate()
    move.time.pass_(LEASE)
    assert handle.embed(["one"]).shape == (1, 16)
    move.back()
    move.time.pass_(LEASE)
    assert handle.search(text(3))[0].score == before
    assert handle.embed(["one"]).shape == (1, 24)


def test_one_that_is_dropped_within_the_lease_is_not_missed(move: Move, handle: Any) -> None:
    handle.count()
    move.migrate()
    move.old.drop(Drop("docs_1"))
    assert handle.search(text(3))[0].document_id == "d3"
    assert handle.embed(["one"]).shape == (1, 16)


def test_a_handle_that_is_opened_afterwards_asks_nobody_about_what_was(move: Move) -> None:
    move.migrate()
    fresh = connect(move.values, move.runtime)
    asked = spy(fresh.adapter("old"))
    assert fresh["docs"].count() == 6
    assert asked.count(ResolveAlias("docs")) == (0 if move.to.backend == "new" else 1)


def test_within_a_lease_nothing_more_is_asked_than_of_a_collection_without_a_past(move: Move) -> None:
    move.docs.count()
    asked = spy(move.old)
    move.docs.count()
    assert [type(each) for each in asked] == [Count]


def test_a_search_that_the_switch_overtakes_is_begun_again_with_another_vector(move: Move) -> None:
    """The lease ends between the question's vector and the query: it must not be sent into the other space."""
    move.docs.count()
    asked = spy(move.new), spy(move.old)
    embedder = move.embedder("v2")
    encode = embedder.encode

    def slow(request: Encode) -> Any:
        move.migrate()
        move.time.pass_(LEASE)
        return encode(request)

    embedder.encode = slow
    (hit, *_) = move.docs.search(text(3))
    assert hit.document_id == "d3"
    queries = [each for each in [*asked[0], *asked[1]] if isinstance(each, Query)]
    assert {(each.physical, each.vectors["dense"].shape[1]) for each in queries} == {(move.to.physical, 16)}


def test_a_page_of_another_generation_is_not_continued(move: Move) -> None:
    pages = move.docs.scroll(page=4)
    assert len(next(pages).records) == 4
    move.migrate()
    move.time.pass_(LEASE)
    with pytest.raises(GenerationMoved, match="start again"):
        next(pages)
    assert sum(len(page.records) for page in move.docs.scroll(page=4)) == 6


def test_a_matrix_starts_again_in_the_new_space(move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nestvec._documents.scroll._PAGE", 4)
    move.docs.count()
    scroll = move.old.scroll

    def slow(request: Any) -> Any:
        answer = scroll(request)
        move.old.scroll = scroll
        move.migrate()
        move.time.pass_(LEASE)
        return answer

    move.old.scroll = slow
    found = move.docs.matrix()
    assert found.vectors.shape == (6, 16)
    assert sorted(found.document_ids) == [f"d{i}" for i in range(6)]


def test_vectors_of_the_size_that_was_are_refused_afterwards(move: Move, handle: Any) -> None:
    vector = handle.embed([text(2)])[0]
    assert handle.search_vector(vector)[0].document_id == "d2"
    move.migrate()
    move.time.pass_(LEASE)
    with pytest.raises(InvalidInput, match="16 dimensions"):
        handle.search_vector(vector)
    assert handle.search_vectors(handle.embed([text(2)]))[0][0].document_id == "d2"


def test_vectors_are_measured_by_what_is_there_also_in_the_first_call(move: Move) -> None:
    vectors = move.docs.embed([text(2)])
    fresh = connect(move.values, move.runtime)["docs"]
    assert fresh.search_vectors(vectors)[0][0].document_id == "d2"


def test_filters_are_understood_as_by_what_is_there() -> None:
    move = Move(fields={"year": "integer"}, previous={"fields": {"lang": "keyword"}})
    move.docs.upsert([Document("a", "one", {"lang": "de"})])
    fresh = connect(move.values, move.runtime)["docs"]
    assert fresh.count(F.lang == "de") == 1
    with pytest.raises(InvalidFilter, match="year"):
        fresh.count(F.year > 2000)


def test_views_of_namespaces_follow_together() -> None:
    move = Move(namespaces=True)
    acme, other = move.docs.namespace("acme"), move.docs.namespace("other")
    acme.upsert([Document("a", "one")])
    move.migrate()
    move.time.pass_(LEASE)
    assert (acme.count(), other.count()) == (1, 0)
    assert acme.space == other.space == move.docs.space == move.docs.spec.space
    assert repr(acme) == f"<Collection 'docs' namespace='acme' space={move.docs.spec.space.fingerprint}>"


def test_a_switch_between_two_looks_is_noticed(move: Move) -> None:
    """It was not there yet where it is wanted, and is no longer where it was."""
    sessions, looked = move.docs._sessions, []

    def answer(request: SideRequest) -> Any:
        place = int(request.side)
        if place == 1 and 1 not in looked:
            move.migrate()
        looked.append(place)
        return answered(sessions[place], request)

    among = connect(move.values, move.runtime)["docs"]._among
    asking = [Asking(place, clock=move.time) for place in "01"]
    actor = Actor(move, follow(among, asking, count), answer)
    while not actor.done:
        actor.advance()
    assert actor.result == 6
    assert [place for place, _ in itertools.groupby(looked)] == [0, 1, 0]


@pytest.mark.parametrize("late", [3, 300])
def test_a_pointer_that_is_seen_late_is_waited_for_but_not_for_long(move: Move, late: int) -> None:
    move.docs.count()
    was = None if move.to.backend == "new" else "docs_1"
    move.migrate()
    move.time.pass_(LEASE)
    resolve, calls = move.new.resolve_alias, itertools.count()
    move.new.resolve_alias = lambda request: was if next(calls) < late else resolve(request)
    started = move.time.now
    if late == 3:
        assert move.docs.embed(["one"]).shape == (1, 16)
    else:
        with pytest.raises(SpaceMismatch if was else CollectionNotFound, match="moved from 'docs_1' to"):
            move.docs.embed(["one"])
    assert move.time.now - started <= 5


def test_listeners_hear_once_that_it_moved(move: Move) -> None:
    heard: list[Event] = []
    move.docs._sessions = tuple(each.notifying(heard.append) for each in move.docs._sessions)
    move.docs.count()
    move.migrate()
    move.time.pass_(LEASE)
    for _ in range(3):
        move.docs.count()
    assert [event.data for event in heard if event.name == "alias_moved"] == [
        {"from": "docs_1", "to": move.to.physical, "backend": move.to.backend}
    ]


# ---------------------------------------------------------------- writing


def test_writers_wait_at_the_gate_and_go_to_the_new_one(move: Move, handle: Any) -> None:
    handle.count()
    move.create()
    fence = move.fence()
    move.time.during = lambda: (move.bring(), move.switch(fence))
    move.time.now += LEASE
    report = handle.upsert([Document("late", "a late one"), Document("d0", "another zero")])
    assert (report.documents, report.failed) == (2, ())
    assert stored(move.new, move.to.physical, "late", "d0") == ["late", "d0"]
    assert stored(move.old, "docs_1", "late") == []
    assert handle.get("d0").text == "another zero"
    assert handle.search("a late one")[0].document_id == "late"


def test_a_batch_that_was_partly_written_is_written_again_in_the_new_one(move: Move) -> None:
    move.docs.count()
    write = move.old.write

    def slow(request: Write) -> None:
        move.old.write = write
        write(request)
        move.migrate()
        move.time.pass_(LEASE)

    move.old.write = slow
    report = move.docs.upsert([Document("x", "one two three"), Document("y", "four five")])
    assert (report.documents, report.failed) == (2, ())
    assert move.docs.count() == 8
    assert stored(move.new, move.to.physical, "x", "y") == ["x", "y"]


def test_each_of_both_has_its_own_splitting(apart: bool) -> None:
    move = Move(apart=apart, chunking={"size": 400}, previous={"chunking": {"size": 10}})
    long = " ".join(f"w{i}" for i in range(30))
    assert move.docs.upsert([Document("a", long)]).embedded > 5
    move.migrate()
    move.time.pass_(LEASE)
    assert move.docs.upsert([Document("b", long)]).embedded == 1


@pytest.mark.parametrize("seen", [True, False], ids=["the last pass saw it", "the last pass did not see it"])
@pytest.mark.parametrize("way", ["ids", "filter"])
def test_a_deletion_counts_what_it_found_in_both(apart: bool, way: str, seen: bool) -> None:
    move = Move(apart=apart, fields={"year": "integer"})
    move.docs.upsert([Document(f"d{i}", text(i), {"year": i % 2}) for i in range(300)])
    remove, calls = move.old.remove, itertools.count()

    def slow(request: Remove) -> None:
        """In the second block, the migration comes between."""
        if next(calls) == 0:
            remove(request)
            return
        move.old.remove = remove
        if seen:
            remove(request)
        move.migrate()
        if not seen:
            remove(request)
        move.time.pass_(LEASE)

    move.old.remove = slow
    if way == "ids":
        assert move.docs.delete([*(f"d{i}" for i in range(280)), "none"]) == 280
        assert move.docs.count() == 20
    else:
        assert move.docs.delete(where=F.year == 1) == 150
        assert move.docs.count() == 150


# ---------------------------------------------------------------- where it is in neither


def test_where_it_is_neither_the_error_is_that_of_what_is_wanted_and_tells_of_both(apart: bool) -> None:
    move = Move(apart=apart)
    move.values["collections"]["docs"]["previous"]["dimensions"] = 20
    wrong = connect(move.values, move.runtime)["docs"]
    with pytest.raises(CollectionNotFound if apart else SpaceMismatch) as caught:
        wrong.count()
    assert str(caught.value).startswith("collection 'docs' does not exist on backend 'new'" if apart else "collection")
    assert "Nor is it what [collections.docs.previous] says: collection 'docs' holds vectors" in str(caught.value)
    assert "dimensions: stored 24, wanted 20" in str(caught.value)
    assert move.time.now == 1000, "nothing says that it moved: there is nothing to wait for"


def test_without_a_past_nothing_is_asked_twice(move: Move) -> None:
    del move.values["collections"]["docs"]["previous"]
    alone = connect(move.values, move.runtime)
    asked = spy(alone.adapter(move.to.backend))
    for _ in range(2):
        with pytest.raises(CollectionNotFound if move.to.backend == "new" else SpaceMismatch) as caught:
            alone["docs"].search("one")
    assert "previous" not in str(caught.value)
    assert [type(each).__name__ for each in asked] == ["ResolveAlias", "Describe"][: len(asked) // 2] * 2


@pytest.mark.parametrize("failure", [BackendUnavailable("gone"), CollectionConflict("no"), CollectionNotFound("no")])
def test_what_is_raised_by_anything_but_looking_it_up_is_not_tried_elsewhere(move: Move, failure: Exception) -> None:
    move.docs.count()
    asked = spy(move.new) if move.to.backend == "new" else []

    def fail(request: Any) -> Any:
        raise failure

    move.old.count = fail
    with pytest.raises(type(failure), match=str(failure)):
        move.docs.count()
    assert asked == []


def test_another_host_is_not_a_reason_to_look_elsewhere(apart: bool) -> None:
    move = Move(apart=apart)
    move.values["embedders"]["v2"]["host"] = "one"
    connect(move.values, move.runtime)["docs"].upsert(corpus())
    move.values["embedders"]["v2"] |= {"host": "two", "skew": "adapter"}
    with pytest.raises(HostMismatch, match="'one'"):
        connect(move.values, move.runtime)["docs"].upsert([Document("x", "one")])


def test_copying_takes_what_is_there(move: Move) -> None:
    copied = {"backend": "old", **PREVIOUS}
    move.values["collections"]["copied"] = copied
    client = connect(move.values, move.runtime)
    assert client.copy("docs", "copied").records == 6
    assert client["copied"].search(text(4))[0].document_id == "d4"

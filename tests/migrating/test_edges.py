"""Migrations at their edges: what nearly got lost, mixed or hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nestvec._hosts.note import NOTE as CANARIES
from nestvec._migration.report import MigrationProgress, MigrationStage
from nestvec.errors import (
    BackendUnavailable,
    CollectionConflict,
    CollectionMoved,
    HostMismatch,
    InvalidInput,
    MigrationInterrupted,
)
from nestvec.filters import F
from nestvec.types import Document

from .world import ELSEWHERE, MATCHING, METRIC, SHORTER, Killed, corpus, document, filled, note, settled, whole


def during(stage: MigrationStage, work: Callable[[], object]) -> Callable[[MigrationProgress], None]:
    """Progress that does something, once, when a stage begins."""
    left = [work]

    def hear(state: MigrationProgress) -> None:
        if state.stage is stage and left:
            left.pop()()

    return hear


@pytest.mark.parametrize("stage", [MigrationStage.VERIFYING, MigrationStage.DRAINING])
def test_canaries_that_a_first_writer_left_meanwhile_arrive(world: Any, stage: MigrationStage) -> None:
    there = world()
    there.embedders["model"] = {"use": "recording", "host": "api"}
    there.open().apply()
    client = there.open(METRIC)
    first = during(stage, lambda: there.open()["docs"].upsert([document("d0")]))
    assert client.migrate("docs", progress=first).documents == 1
    assert note(client, CANARIES, "docs_2") == note(client, CANARIES, "docs_1") is not None
    there.embedders["model"] = {"use": "recording", "host": "elsewhere", "skew": "prompt"}
    with pytest.raises(HostMismatch):
        there.open(METRIC)["docs"].upsert([document("d1")])


class TestFieldsOfAnotherType:
    """Filters of one type find nothing among values of another: no handle works with both."""

    DOCUMENT = Document("a", "text one", {"day": "2020-01-01"})
    WANTED = {"fields": {"day": "datetime"}}

    def test_before_the_migration_it_is_served_as_it_is(self, world: Any) -> None:
        there = world(fields={"day": "keyword"})
        filled(there, [self.DOCUMENT])
        docs = there.open(self.WANTED)["docs"]
        assert [hit.document_id for hit in docs.search("text", where=F.day == "2020-01-01")] == ["a"]
        docs.upsert([Document("b", "text two", {"day": "no date"})])
        assert docs.get("b").metadata == {"day": "no date"}

    def test_handles_of_the_old_type_stop_after_it(self, world: Any) -> None:
        there = world(fields={"day": "keyword"})
        before = filled(there, [self.DOCUMENT])["docs"]
        client = there.open(self.WANTED)
        assert client.migrate("docs").switched
        there.time.pass_(40)
        with pytest.raises(CollectionConflict, match="'day' as datetime, but keyword is wanted"):
            before.search("text", where=F.day == "2020-01-01")
        with pytest.raises(CollectionConflict, match="nestvec migrate docs"):
            before.upsert([Document("b", "text two", {"day": "no date"})])
        assert [hit.document_id for hit in client["docs"].search("text", where=F.day >= "2019-01-01")] == ["a"]


def _killed_after_the_mark(there: Any) -> None:
    """A migration that ended when its source was marked as moved, and before its journal said so."""
    client = there.open(METRIC)
    adapter: Any = client.adapter("store")
    real = adapter.write_note

    def write_note(request: Any) -> None:
        real(request)
        if '"moved"' in (request.text or ""):
            raise Killed

    adapter.write_note = write_note
    with pytest.raises(Killed):
        client.migrate("docs")
    adapter.write_note = real


def test_the_source_of_a_switch_that_is_not_ended_is_not_cleaned_up(world: Any) -> None:
    there = world()
    filled(there)
    _killed_after_the_mark(there)
    client = there.open(METRIC)
    (removal,) = client.cleanup("docs")
    assert (removal.removed, "run the same command again" in removal.reason) == (False, True)
    assert client.migrate("docs").switched
    settled(there, corpus(), METRIC)


def test_a_switch_is_ended_also_where_its_source_was_dropped(world: Any) -> None:
    there = world()
    filled(there)
    _killed_after_the_mark(there)
    client = there.open(METRIC)
    client.adapter("store")._collections.pop("docs_1")
    assert client.migrate("docs").switched
    assert client.migrate("docs").reason == "nothing to do: the database holds what the configuration says"


class TestShrunkMoreThanOnce:
    """Handles of every size that the collection had go on with the one that it has."""

    @pytest.mark.parametrize("second", [32, 16, 8])
    def test_handles_of_every_size_follow(self, world: Any, second: int) -> None:
        there = world()
        filled(there)
        clients = {size: there.open({"dimensions": size}, previous=False) for size in (32, 16, 8)}
        assert clients[32].shrink("docs", 16).switched
        assert [clients[size]["docs"].count() for size in (32, 16)] == [12, 12]
        assert clients[second].shrink("docs", 8).switched
        there.time.pass_(40)
        assert {size: client["docs"].count() for size, client in clients.items()} == {32: 12, 16: 12, 8: 12}
        assert [client.plan()[0].action for client in clients.values()] == ["none"] * 3

    def test_what_differs_in_more_than_the_size_is_told_and_not_passed_over(self, world: Any) -> None:
        there = world()
        filled(there)
        there.open().shrink("docs", 8)
        client = there.open(METRIC, previous=False)
        assert client.plan()[0].action == "conflict"
        for ask in (client.migrate, client.plan_migration):
            with pytest.raises(CollectionConflict, match=r"in more: metric. Nothing was changed. Write dimensions = 8"):
                ask("docs")
        there.before["dimensions"] = 8
        assert there.open(METRIC).migrate("docs").switched

    def test_plan_and_migration_agree_where_previous_says_something_else(self, world: Any) -> None:
        there = world()
        filled(there)
        there.open(MATCHING).migrate("docs")
        client = there.open(MATCHING)
        client.shrink("docs", 8)
        assert client.plan_migration("docs").way is client.migrate("docs").way is None
        assert client.plan()[0].action == "none"

    def test_the_long_vectors_are_embedded_again_where_previous_says_what_is_there(self, world: Any) -> None:
        there = world()
        filled(there)
        there.open().shrink("docs", 8)
        there.before["dimensions"] = 8
        client = there.open({"dimensions": 32})
        (change,) = client.plan()
        assert change.action == "migrate"
        assert "dimensions: stored 8, configured 32" in change.details
        assert client.apply()[0].action == "migrate"
        assert client.plan_migration("docs").way == client.migrate("docs").way == "embed"
        assert client.plan()[0].action == "none"


def test_going_back_without_stored_texts_asks_only_for_what_was_written_since(world: Any) -> None:
    there = world(store_text=False)
    filled(there)
    client = there.open()
    client.shrink("docs", 8)
    recorded: Any = client.embedder("model")
    assert client.rollback("docs").switched
    assert not recorded.requests
    client.shrink("docs", 8)
    client["docs"].upsert([document("new")])
    report = client.rollback("docs")
    assert (report.switched, [each.document_id for each in report.failed]) == (False, ["new"])
    assert client.rollback("docs", discard=True).switched


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("text", "not str"),
        (Document("a", None), "NoneType"),  # type: ignore[arg-type]
        (Document("a", "\ud800"), "document 'a' has a lone surrogate"),
    ],
)
def test_what_is_no_document_is_told(world: Any, given: Any, told: str) -> None:
    there = world(store_text=False)
    filled(there)
    client = there.open(MATCHING)
    for ask in (client.plan_migration, client.migrate):
        with pytest.raises(InvalidInput, match=told):
            ask("docs", documents=[given])


@pytest.mark.parametrize(("store", "method", "moved"), [("other", "set_alias", True), ("store", "write_note", False)])
def test_a_switch_that_breaks_off_half_way_says_what_to_do(world: Any, store: str, method: str, moved: bool) -> None:
    there = world()
    filled(there)
    client = there.open(ELSEWHERE)
    adapter: Any = client.adapter(store)
    real = getattr(adapter, method)

    def breaks(request: Any) -> None:
        if moved or '"moved"' in (request.text or ""):
            real(request)
            raise BackendUnavailable(f"backend {store!r} is gone")
        real(request)

    setattr(adapter, method, breaks)
    with pytest.raises(MigrationInterrupted, match=r"is gone\. Run the same command again"):
        client.migrate("docs")
    setattr(adapter, method, real)
    assert client.migrate("docs").switched
    settled(there, corpus(), ELSEWHERE)


def test_the_way_further_back_is_a_migration_that_uses_what_is_there(world: Any) -> None:
    there = world()
    filled(there)
    client = there.open()
    client.shrink("docs", 16)
    client.shrink("docs", 8)
    client["docs"].upsert([document("new")])
    assert client.rollback("docs").switched
    assert not client.rollback("docs").switched
    there.before["dimensions"] = 16
    client = there.open({"dimensions": 32})
    report = client.migrate("docs")
    assert (report.target.physical, report.brought) == ("docs_1", 1)
    there.before["dimensions"] = 32
    whole(there.open(), [*corpus(), document("new")])


def test_a_collection_that_moved_is_not_said_to_be_missing(world: Any) -> None:
    there = world()
    filled(there)
    there.open(ELSEWHERE).migrate("docs")
    before = there.open()
    for ask in (before.migrate, before.rollback, before.plan_migration):
        with pytest.raises(
            CollectionMoved, match="moved from 'docs_1' on backend 'store' to 'docs_1' on backend 'other'"
        ):
            ask("docs")


def test_two_names_of_one_store_are_not_to_be_cleaned_up_by_dropping(world: Any) -> None:
    there = world()
    filled(there)
    there.stores["other"] = there.stores["store"]
    client = there.open(ELSEWHERE)
    with pytest.raises(CollectionConflict, match=r"where both blocks lead to one store\. Only if they do not, drop"):
        client.migrate("docs")
    assert "if both blocks lead to one store" in client.plan()[0].details[0]


def test_a_plan_leaves_the_end_of_a_switch_to_the_migration(world: Any) -> None:
    there = world()
    filled(there)
    _killed_after_the_mark(there)
    plan = there.open(METRIC).plan_migration("docs")
    assert plan.reason == "the database holds what the configuration says"
    assert len(plan.advice) == 1
    assert "brings it to its end" in plan.advice[0]


@pytest.mark.parametrize("more", [{}, MATCHING], ids=["copied", "embedded"])
def test_whole_numbers_come_back_from_a_field_of_floats(world: Any, more: dict[str, Any]) -> None:
    strict = {"strict_fields": True}
    there = world(fields={"year": "integer"}, **strict)
    filled(there)
    client = there.open({"fields": {"year": "float"}, **strict, **more})
    assert client.migrate("docs").switched
    client["docs"].upsert([document("new", year=1999)])
    assert client["docs"].get("new").metadata["year"] == 1999.0
    assert client.rollback("docs").switched
    assert there.open()["docs"].get("new").metadata["year"] == 1999
    assert there.open()["docs"].count({"year": 1999}) == 1
    client.migrate("docs")
    client["docs"].upsert([Document("half", "text", {"year": 1999.5})])
    assert [each.document_id for each in client.rollback("docs").failed] == ["half"]


@pytest.mark.parametrize("wanted", [SHORTER, METRIC, ELSEWHERE], ids=str)
def test_what_a_progress_callback_raises_leaves_no_one_waiting(world: Any, wanted: dict[str, Any]) -> None:
    """At whichever report: readers and writers go on, and the migration, run again, comes to its end."""
    counting: list[MigrationProgress] = []
    there = world()
    filled(there)
    there.open(wanted).migrate("docs", progress=counting.append)
    assert len(counting) > 4
    for time in range(1, len(counting) + 1):
        left = [time]

        def hear(_: MigrationProgress, left: list[int] = left) -> None:
            left[0] -= 1
            if not left[0]:
                raise ZeroDivisionError

        there = world()
        filled(there)
        client = there.open(wanted)
        with pytest.raises(ZeroDivisionError):
            client.migrate("docs", progress=hear)
        there.time.pass_(40)
        client["docs"].upsert([document("new")])
        assert client["docs"].get("new") is not None
        again = there.open(wanted)
        again.migrate("docs")
        whole(again, [*corpus(), document("new")])

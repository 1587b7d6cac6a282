"""A collection that was shrunk: handles whose configuration says the longer vectors go on with the shorter ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec._client import aconnect, connect
from nestvec._collections import write_fence
from nestvec._collections.opening import LEASE
from nestvec._collections.superseded import NOTE, Supersedes, derived
from nestvec._collections.write_fence import GenerationPlace
from nestvec._session.session import complete
from nestvec._specs import CollectionSpec, StoredCollection
from nestvec.contract import Create, ReadNote, ResolveAlias, SetAlias, WriteNote
from nestvec.errors import CollectionError, SpaceMismatch
from nestvec.filters import F
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.registry import test_registry

from .moving import NUMBERS, Time, spy, text

SETTINGS = {"dimensions": 32, "funnel": [4, 16], "fields": {"year": "integer"}}


class Shrinking:
    """A collection `docs` of 32 dimensions, and a generation of it with 8."""

    def __init__(self) -> None:
        self.time = Time()
        self.runtime = Runtime(test_registry(), clock=self.time, wall=self.time, pause=self.time.pass_)
        self.values: dict[str, Any] = {
            "backends": {"store": {"use": "memory", "store": f"shrunk-{next(NUMBERS)}"}},
            "embedders": {"model": {"use": "recording"}},
            "collections": {"docs": SETTINGS},
        }
        self.client = connect(self.values, self.runtime)
        self.client.apply()
        self.docs = self.client["docs"]
        self.adapter: Any = self.client.adapter("store")
        spec = self.docs.spec
        self.small = replace(spec, space=replace(spec.space, dimensions=8), funnel=(4,))

    def shrink(self, note: str | None = '{"version": 1, "dimensions": 32}', **changes: Any) -> None:
        """Without its documents: those are ingested into it anew."""
        spec = replace(self.small, **changes)
        self.adapter.create(Create("docs_2", spec.vectors, spec.metric, spec.fields, spec.record(2)))
        self.adapter.write_note(WriteNote("docs_2", NOTE, note))
        self.set_alias("docs_2", "docs_1")

    def set_alias(self, to: str, was: str) -> None:
        self.adapter.set_alias(SetAlias("docs", to))
        self.adapter.write_note(WriteNote(to, write_fence.NOTE, None))
        complete(write_fence.mark_moved(self.docs._sessions[0].backend, was, GenerationPlace("store", to)))


@pytest.fixture
def shrinking() -> Iterator[Shrinking]:
    made = Shrinking()
    yield made
    made.client.close()


def test_a_handle_goes_on_with_what_is_stored(shrinking: Shrinking) -> None:
    docs = shrinking.docs
    docs.upsert([Document("a", text(1))])
    shrinking.shrink()
    assert docs.embed(["one"]).shape == (1, 32)
    shrinking.time.pass_(LEASE)
    assert docs.upsert([Document("b", text(2), {"year": 2000})]).documents == 1
    assert [hit.document_id for hit in docs.search(text(2), where=F.year == 2000)] == ["b"]
    assert docs.embed(["one"]).shape == (1, 8)
    assert docs.matrix().vectors.shape == (1, 8)
    assert docs.space == shrinking.small.space
    assert docs.spec.space.dimensions == 32


async def test_so_does_an_asynchronous_one(shrinking: Shrinking) -> None:
    shrinking.shrink()
    async with aconnect(shrinking.values, shrinking.runtime) as client:
        assert (await client["docs"].upsert([Document("b", text(2))])).documents == 1
        assert (await client["docs"].search(text(2)))[0].document_id == "b"
        assert (await client["docs"].embed(["one"])).shape == (1, 8)


def test_vectors_are_measured_by_what_is_stored_also_in_the_first_call(shrinking: Shrinking) -> None:
    shrinking.shrink()
    shrinking.time.pass_(LEASE)
    shrinking.docs.upsert([Document("b", text(2))])
    vectors = shrinking.docs.embed([text(2)])
    fresh = connect(shrinking.values, shrinking.runtime)["docs"]
    assert fresh.search_vectors(vectors)[0][0].document_id == "b"


def test_one_note_is_read_once_and_only_where_the_sizes_differ(shrinking: Shrinking) -> None:
    asked = spy(shrinking.adapter)
    shrinking.docs.count()
    assert ReadNote("docs_1", NOTE) not in asked
    shrinking.shrink()
    shrinking.time.pass_(LEASE)
    for _ in range(3):
        shrinking.docs.count()
        shrinking.time.pass_(LEASE)
    assert asked.count(ReadNote("docs_2", NOTE)) == 1


def test_a_writer_that_waited_does_not_write_by_what_it_knew_of_the_old_one(shrinking: Shrinking) -> None:
    """While it waits it looks again and again; what it finds may be the new one while its lease still holds."""
    shrinking.docs.count()
    backend = shrinking.docs._sessions[0].backend
    complete(write_fence.raise_fence(backend, shrinking.time, "docs_1", "m", 90))
    shrinking.time.pass_(LEASE)
    shrinking.time.during = shrinking.shrink
    assert shrinking.docs.upsert([Document("b", text(2))]).documents == 1
    assert shrinking.adapter._collections["docs_1"].points == {}
    assert shrinking.docs.get("b") is not None


def test_shrunk_again_and_brought_back(shrinking: Shrinking) -> None:
    docs = shrinking.docs
    shrinking.shrink()
    shrinking.time.pass_(LEASE)
    assert docs.embed(["one"]).shape == (1, 8)
    spec = replace(shrinking.small, space=replace(docs.spec.space, dimensions=4), funnel=())
    shrinking.adapter.create(Create("docs_3", spec.vectors, spec.metric, spec.fields, spec.record(3)))
    shrinking.adapter.write_note(WriteNote("docs_3", NOTE, Supersedes(32).to_text()))
    shrinking.set_alias("docs_3", "docs_2")
    shrinking.time.pass_(LEASE)
    assert docs.embed(["one"]).shape == (1, 4)
    shrinking.set_alias("docs_1", "docs_3")
    shrinking.time.pass_(LEASE)
    assert docs.embed(["one"]).shape == (1, 32)


@pytest.mark.parametrize("note", [None, '{"version": 1, "dimensions": 64}'])
def test_what_was_not_shrunk_from_this_size_is_another_space(shrinking: Shrinking, note: str | None) -> None:
    shrinking.shrink(note)
    shrinking.time.pass_(LEASE)
    with pytest.raises(SpaceMismatch, match="dimensions: stored 8, wanted 32"):
        shrinking.docs.count()
    (change,) = shrinking.client.plan()
    assert change.action == "conflict"


def test_a_note_does_not_make_up_for_another_model(shrinking: Shrinking) -> None:
    shrinking.shrink(space=replace(shrinking.small.space, model="other"))
    shrinking.time.pass_(LEASE)
    with pytest.raises(SpaceMismatch, match="model: stored 'other'"):
        shrinking.docs.count()
    (change,) = shrinking.client.plan()
    assert (change.action, change.details[0]) == ("conflict", "model: stored 'other', configured 'recording-v3'")


@pytest.mark.parametrize(
    "note",
    [
        *("", "[]", "{}", '{"version": 2, "dimensions": 32}', '{"version": 1, "dimensions": "x"}'),
        *('{"version": 1, "dimensions": 32, "earlier": [0]}', '{"version": 1, "dimensions": 32, "earlier": 64}'),
    ],
)
def test_a_damaged_note_is_named(shrinking: Shrinking, note: str) -> None:
    shrinking.shrink(note)
    shrinking.time.pass_(LEASE)
    for use in (shrinking.docs.count, shrinking.client.plan):
        with pytest.raises(CollectionError, match="'supersedes' of collection 'docs_2'"):
            use()


def test_plan_apply_and_status_say_what_to_write(shrinking: Shrinking) -> None:
    shrinking.shrink()
    said = "was shrunk to 8 dimensions: write dimensions = 8 and funnel = [4]"
    for change in (*shrinking.client.plan(), *shrinking.client.apply()):
        assert (change.action, change.details) == ("none", (said,))
    (status,) = shrinking.client.status()
    assert (status.physical, status.chunks, status.space) == ("docs_2", 0, shrinking.small.space.fingerprint)
    shrinking.values["collections"]["docs"] = SETTINGS | {"dimensions": 8, "funnel": [4]}
    assert [change.details for change in connect(shrinking.values, shrinking.runtime).plan()] == [()]


def test_apply_updates_it_as_what_it_is(shrinking: Shrinking) -> None:
    shrinking.shrink()
    shrinking.values["collections"]["docs"] = SETTINGS | {"fields": {"year": "integer", "lang": "keyword"}}
    client = connect(shrinking.values, shrinking.runtime)
    client["docs"].count()
    (change,) = client.apply()
    assert change.action == "update"
    assert change.details[0].startswith("add field 'lang'")
    info = shrinking.adapter._collections["docs_2"].info
    stored = StoredCollection.read(info.record, "docs_2")
    assert (stored.space.dimensions, stored.funnel, set(stored.fields)) == (8, (4,), {"year", "lang"})
    asked = spy(client.adapter("store"))
    client["docs"].count()
    assert ResolveAlias("docs") in asked, "what was known of it may be out of date"


def test_what_differs_beside_the_size_is_a_conflict(shrinking: Shrinking) -> None:
    shrinking.shrink()
    shrinking.values["collections"]["docs"] = SETTINGS | {"metric": "dot"}
    (change,) = connect(shrinking.values, shrinking.runtime).plan()
    assert change.action == "conflict"
    assert any("metric" in detail for detail in change.details)


SIZES = st.integers(1, 64)


@given(configured=SIZES, stored=SIZES, funnel=st.lists(SIZES, max_size=3))
def test_what_is_derived_is_what_is_stored_and_nothing_else_changes(
    configured: int, stored: int, funnel: list[int]
) -> None:
    spec = specification(configured)
    there = replace(spec, space=replace(spec.space, dimensions=stored), funnel=tuple(funnel))
    found = derived(spec, StoredCollection.read(there.record(7), "docs_7"))
    assert found.record(7) == there.record(7)
    assert found.vectors == there.vectors
    assert replace(found, space=spec.space, funnel=spec.funnel) == spec


def specification(dimensions: int) -> CollectionSpec:
    values = {
        "backends": {"store": {"use": "memory"}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {"dimensions": dimensions, "storage": "int8", "oversampling": 2.0}},
    }
    return connect(values, Runtime(test_registry())).config.collections["docs"]


@given(st.integers(1, 10_000), st.lists(st.integers(1, 10_000)))
def test_a_note_comes_back_as_it_was_written(dimensions: int, earlier: list[int]) -> None:
    note = Supersedes(dimensions, tuple(earlier))
    assert json.loads(Supersedes(dimensions).to_text()) == {"version": 1, "dimensions": dimensions}
    assert note.sizes == {dimensions, *earlier}
    assert Supersedes.from_text(note.to_text(), "docs_2") == note

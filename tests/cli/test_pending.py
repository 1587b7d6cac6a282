"""A migration that is pending, on the command line: planned, left alone by `apply`, shown by `status` and `doctor`."""

from __future__ import annotations

import pytest

from nestvec._collections import write_fence
from nestvec._collections.superseded import NOTE, Supersedes
from nestvec._collections.write_fence import FenceState, GenerationPlace, WriteFence
from nestvec._specs import StoredCollection
from nestvec.contract import Create, SetAlias, WriteNote

from .conftest import Shell


@pytest.fixture
def pending(applied: Shell, lines) -> Shell:
    path = applied.file("docs.jsonl", lines({"id": "a", "text": "one two"}, {"id": "b", "text": "three four"}))
    assert applied("ingest", "docs", path).code == 0
    applied.edit("dimensions = 32\n", "dimensions = 16\nprevious = { dimensions = 32 }\n")
    return applied


def test_plan_exits_3_and_says_what_differs_and_what_to_run(pending: Shell) -> None:
    run = pending("plan", "--json")
    (change,) = run.json["changes"]
    assert (run.code, change["action"]) == (3, "migrate")
    assert "dimensions: stored 32, configured 16" in change["details"]
    run = pending("plan")
    assert run.code == 3
    assert run.out.startswith("> docs: migrate\n")
    assert "`nestvec migrate docs`" in run.out


def test_apply_leaves_it_alone_and_says_so(pending: Shell) -> None:
    before = pending.store._collections["docs_1"].info
    run = pending("apply")
    assert (run.code, run.err) == (0, "")
    assert run.out.startswith("> docs: left as it is: run nestvec migrate\n")
    assert pending.store.list_collections(None) == ["docs_1"]
    assert pending.store._collections["docs_1"].info == before


def test_it_is_searched_and_written_as_it_is(pending: Shell, lines) -> None:
    path = pending.file("more.jsonl", lines({"id": "c", "text": "five six"}))
    assert pending("ingest", "docs", path).code == 0
    found = pending("search", "docs", "five six", "--json").json
    assert "c" in str(found)
    assert all(point.vectors["dense"].shape == (32,) for point in pending.store._collections["docs_1"].points.values())


def test_status_shows_it_with_what_is_there(pending: Shell) -> None:
    (item,) = pending("status", "--json").json["collections"]
    assert (item["documents"], item["physical"], item["change"]["action"]) == (2, "docs_1", "migrate")
    out = pending("status").out
    assert "migration pending" in out
    assert "docs: dimensions: stored 32, configured 16" in out


def test_doctor_says_what_to_run(pending: Shell) -> None:
    run = pending("doctor")
    assert "a migration is pending" in run.out
    assert "nestvec migrate docs" in run.out


def test_a_collection_that_was_shrunk_is_in_order(pending: Shell) -> None:
    store = pending.store
    info = store._collections["docs_1"].info
    stored = StoredCollection.read(info.record, "docs_1")
    space = {**info.record["space"], "dimensions": 8}
    space.pop("fingerprint")
    small = type(stored.space)(**space)
    record = {**info.record, "generation": 2, "space": small.to_dict()}
    store.create(Create("docs_2", {"dense": 8}, info.metric, info.fields, record))
    store.write_note(WriteNote("docs_2", NOTE, Supersedes(16).to_text()))
    store.set_alias(SetAlias("docs", "docs_2"))
    store.write_note(
        WriteNote(
            "docs_1", write_fence.NOTE, WriteFence(FenceState.MOVED, to=GenerationPlace("store", "docs_2")).to_text()
        )
    )
    run = pending("plan")
    assert run.code == 0
    assert "was shrunk to 8 dimensions: write dimensions = 8" in run.out
    assert "write dimensions = 8" in pending("status").out
    assert pending("apply").code == 0
    assert pending("search", "docs", "one").code == 0


def test_a_damaged_note_is_one_sentence(pending: Shell) -> None:
    pending.store.write_note(WriteNote("docs_1", write_fence.NOTE, "?"))
    for command in (["plan"], ["search", "docs", "one"]):
        run = pending(*command)
        assert run.code == 1
        assert "the note 'gate' of collection 'docs_1' cannot be read" in run.err
        assert "Traceback" not in run.err

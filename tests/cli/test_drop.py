"""`nestvec drop`."""

from __future__ import annotations

import pytest

from nestvec._cli import dropping
from nestvec._collections.write_fence import NOTE, FenceState, WriteFence
from nestvec.contract import WriteNote


@pytest.fixture
def ingested(applied, lines):
    path = applied.file("in.jsonl", lines({"id": "a", "text": "one text"}, {"id": "b", "text": "another text"}))
    assert applied("ingest", "docs", path).code == 0
    return applied


def test_where_nobody_can_be_asked_nothing_goes(ingested):
    run = ingested("drop", "docs")
    assert run.code == 2
    assert "say --yes" in run.err
    run = ingested("drop", "docs", "--json")
    assert run.code == 2
    assert ingested.store.list_collections(None) == ["docs_1"]


def test_it_says_what_goes_and_asks(ingested, monkeypatch):
    monkeypatch.setattr(dropping, "somebody_there", lambda: True)
    run = ingested("drop", "docs", stdin="n\n")
    assert run.code == 1
    assert "- docs_1 on backend store (live, 2 chunks) would be removed" in run.out
    assert "- the alias docs on backend store, and 2 documents would be removed" in run.out
    assert "Drop docs with 2 documents? There is no way back, and no copy" in run.err
    assert ingested.store.list_collections(None) == ["docs_1"]
    run = ingested("drop", "docs", stdin="y\n")
    assert run.code == 0, run.err
    assert "2 documents removed" in run.out
    assert ingested.store.list_collections(None) == []
    assert ingested("plan").out.startswith("+ docs: create")


def test_yes_does_not_ask(ingested):
    run = ingested("drop", "docs", "--yes", "--json")
    assert run.code == 0, run.err
    assert (run.json["documents"], run.json["generations"][0]["removed"]) == (2, True)
    run = ingested("drop", "docs", "--yes")
    assert run.code == 1
    assert "there is nothing to drop" in run.err
    run = ingested("drop", "dcos", "--yes")
    assert run.code == 1
    assert "did you mean 'docs'" in run.err


def test_not_while_a_migration_is_at_work(ingested):
    fence = WriteFence(FenceState.FENCED, "m", 1e12)
    ingested.store.write_note(WriteNote("docs_1", NOTE, fence.to_text()))
    run = ingested("drop", "docs", "--yes")
    assert run.code == 1
    assert "holds the write fence" in run.err
    assert ingested.store.list_collections(None) == ["docs_1"]

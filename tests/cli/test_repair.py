"""`repair`, and what `status` says of leftovers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nestvec.types import DENSE
from nestvec_testing import memory


@pytest.fixture
def torn(applied, lines):
    """A store with a document in several chunks, in which a record can be planted."""
    applied.edit("size = 200", "size = 10")
    assert applied("apply").code == 0
    path = applied.file("one.jsonl", lines({"id": "a", "text": "one two three four five six seven"}))
    assert applied("ingest", "docs", path).code == 0
    return applied


def points(shell):
    return shell.store._collections["docs_1"].points


def plant(shell):
    """A chunk of a version that no head names."""
    found = next(item for item in points(shell).values() if item.record.system["chunk"] == 1)
    stray = replace(found.record, id="stray", system={**found.record.system, "revision": 1, "version": "none"})
    points(shell)["stray"] = memory._Stored(stray, {DENSE: found.vectors[DENSE]}, None)


def test_what_no_head_owns_is_told_and_removed(torn):
    whole = len(points(torn))
    plant(torn)
    dry = torn("repair", "--dry-run", "--json")
    assert (dry.code, dry.json["collections"][0]["leftovers"]) == (1, 1)
    assert "stray" in points(torn)
    run = torn("repair", "docs")
    assert run.code == 0
    assert "1 record of no document's current version removed" in run.out
    assert len(points(torn)) == whole
    again = torn("repair")
    assert again.code == 0
    assert "nothing to repair" in again.out


def test_no_search_shows_it_meanwhile(torn):
    plant(torn)
    hits = torn("search", "docs", "two", "--json", "--limit", "50").json["hits"]
    assert len(hits) == len(points(torn)) - 1


def test_a_document_that_is_not_whole_is_named(torn):
    chunk = next(key for key, item in points(torn).items() if item.record.system["chunk"] == 2)
    del points(torn)[chunk]
    run = torn("repair")
    assert run.code == 1
    assert "not whole, ingest them again: a" in run.err


def test_a_record_without_its_text_is_counted(torn):
    key, item = next(iter(points(torn).items()))
    points(torn)[key] = replace_text(item)
    run = torn("repair", "--json")
    assert (run.code, run.json["collections"][0]["without_text"]) == (1, 1)


def replace_text(item):
    return memory._Stored(replace(item.record, text=None), item.vectors, item.tenant)


def test_an_unknown_collection_is_named(torn):
    run = torn("repair", "nope")
    assert run.code == 1
    assert "'nope'" in run.err


def test_status_has_no_leftovers_to_tell_where_one_process_writes(torn):
    assert torn("status", "--json").json["collections"][0]["leftovers"] is None

"""`plan`, `apply`, `status`, `delete`."""

from __future__ import annotations

import pytest


def test_plan_exits_3_while_there_are_changes_and_0_when_there_are_none(shell):
    before = shell("plan", "--json")
    assert before.code == 3
    assert [(change["collection"], change["action"]) for change in before.json["changes"]] == [("docs", "create")]
    assert shell.store.list_collections(None) == []
    assert shell("apply").code == 0
    after = shell("plan", "--json")
    assert after.code == 0
    assert after.json == {"changes": [{"collection": "docs", "action": "none", "details": []}]}


def test_plan_exits_1_on_a_conflict_after_printing_every_collection(applied):
    applied.edit("dimensions = 32", "dimensions = 16")
    applied.config.write_text(applied.config.read_text() + "[collections.other]\n")
    run = applied("plan", "--json")
    assert run.code == 1
    assert [(change["collection"], change["action"]) for change in run.json["changes"]] == [
        ("docs", "conflict"),
        ("other", "create"),
    ]
    assert any("stored 32, configured 16" in detail for detail in run.json["changes"][0]["details"])


def test_apply_on_a_conflict_changes_nothing_and_says_why(applied):
    applied.config.write_text("\n".join([applied.config.read_text(), "[collections.a]", "[collections.z]"]))
    applied.edit("dimensions = 32", "dimensions = 16")
    run = applied("apply")
    assert run.code == 1
    assert run.err.startswith("error: ")
    assert "stored 32, configured 16" in run.err
    assert applied.store.list_collections(None) == ["docs_1"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("dimensions = 32", "dimensions = 16", "dimensions"),
        ("dimensions = 32", 'dimensions = 32\nmetric = "dot"', "metric"),
        ("dimensions = 32", 'dimensions = 32\npurpose = "matching"', "task"),
        ('use = "recording"', 'use = "recording"\nmodel = "other"', "model"),
    ],
)
def test_a_collection_of_another_size_metric_or_space_is_refused_by_every_command(applied, lines, old, new, told):
    applied.edit(old, new)
    path = applied.file("one.jsonl", lines({"id": "a", "text": "x"}))
    for command in (["apply"], ["ingest", "docs", path], ["search", "docs", "x"]):
        run = applied(*command)
        assert run.code == 1
        assert told in run.err
        assert "Traceback" not in run.err


def test_only_named_collections_are_planned_and_applied(shell):
    shell.config.write_text(shell.config.read_text() + "[collections.other]\n")
    assert [change["collection"] for change in shell("plan", "other", "--json").json["changes"]] == ["other"]
    done = shell("apply", "other", "--json")
    assert done.json["changes"][0]["action"] == "create"
    assert shell.store.list_collections(None) == ["other_1"]


def test_an_update_is_shown_and_done(applied):
    applied.edit('year = "integer"', 'year = "integer"\ntags = "keyword[]"')
    assert "add field 'tags'" in applied("plan").out
    run = applied("apply")
    assert run.code == 0
    assert "docs: updated" in run.out
    assert applied("plan").code == 0


def test_status_counts(applied, lines):
    applied("ingest", "docs", "-", stdin=lines({"id": "a", "text": "one two. " * 60}, {"id": "b", "text": "three"}))
    (found,) = applied("status", "--json").json["collections"]
    assert found["documents"] == 2
    assert found["chunks"] > 2
    assert found["outdated"] == 0
    assert found["physical"] == "docs_1"
    assert found["change"] == {"action": "none", "details": []}
    applied.edit("size = 200", "size = 100")
    (found,) = applied("status", "--json").json["collections"]
    assert found["outdated"] == 2
    assert found["change"]["action"] == "update"
    assert "docs" in applied("status").out


@pytest.mark.parametrize(
    ("purpose", "index", "query", "shown"),
    [
        ("retrieval", "retrieval.passage", "retrieval.query", "retrieval.passage / retrieval.query"),
        ("matching", "text-matching", "text-matching", "text-matching"),
        ("clustering", "separation", "separation", "separation"),
        ("classification", "classification", "classification", "classification"),
    ],
)
def test_plan_and_status_show_the_tasks(shell, purpose, index, query, shown):
    shell.edit("dimensions = 32", f'dimensions = 32\npurpose = "{purpose}"')
    assert f"tasks {index} / {query}" in shell("plan").out
    shell("apply")
    (found,) = shell("status", "--json").json["collections"]
    assert found["tasks"] == {"index": index, "query": query}
    head, *_, row = shell("status").out.strip().splitlines()
    assert row[head.index("tasks") : head.index("state")].strip() == shown
    assert "nothing to do" in shell("plan").out


def test_status_shows_the_tasks_that_are_stored(applied):
    applied.edit("dimensions = 32", 'dimensions = 32\npurpose = "matching"')
    (found,) = applied("status", "--json").json["collections"]
    assert found["tasks"] == {"index": "retrieval.passage", "query": "retrieval.query"}
    assert found["change"]["action"] == "conflict"
    assert "index_task: stored 'retrieval.passage', configured 'text-matching'" in applied("plan").out


def test_status_of_what_does_not_exist(shell):
    (found,) = shell("status", "--json").json["collections"]
    assert (found["documents"], found["tasks"]) == (None, None)
    assert "missing" in shell("status").out


@pytest.fixture
def stocked(applied, lines):
    rows = [{"id": key, "text": f"text {key}", "lang": lang} for key, lang in (("a", "de"), ("b", "de"), ("c", "en"))]
    applied("ingest", "docs", "-", stdin=lines(*rows))
    return applied


def test_delete_by_id_counts_what_was_there(stocked):
    run = stocked("delete", "docs", "a", "nobody")
    assert run.code == 0
    assert "1 document deleted" in run.out
    assert "1 of 2 were not there" in run.out
    assert stocked("status", "--json").json["collections"][0]["documents"] == 2


def test_delete_by_filter(stocked):
    run = stocked("delete", "docs", "--where", '{"lang": "de"}', "--json")
    assert run.json == {"collection": "docs", "deleted": 2}


def test_an_empty_filter_does_not_delete_everything_unless_said_plainly(stocked):
    refused = stocked("delete", "docs", "--where", "{}")
    assert refused.code == 1
    assert "--all" in refused.err
    assert stocked("status", "--json").json["collections"][0]["documents"] == 3
    assert stocked("delete", "docs", "--all", "--json").json["deleted"] == 3


@pytest.mark.parametrize("arguments", [[], ["a", "--where", '{"lang": "de"}'], ["a", "--all"]])
def test_delete_wants_exactly_one_way_of_saying_what(stocked, arguments):
    assert stocked("delete", "docs", *arguments).code == 2
    assert stocked("status", "--json").json["collections"][0]["documents"] == 3

"""`search`."""

from __future__ import annotations

import pytest
from wcwidth import wcswidth

from nestvec._cli.search import hit_table
from nestvec.types import Hit


@pytest.fixture
def stocked(applied, lines):
    rows = [
        {"id": "fox", "text": "the quick brown fox", "lang": "en", "year": 2020},
        {"id": "dog", "text": "the lazy dog sleeps", "lang": "en", "year": 2021},
        {"id": "hund", "text": "der faule hund", "lang": "de", "year": 2021},
    ]
    assert applied("ingest", "docs", "-", stdin=lines(*rows)).code == 0
    return applied


def test_json_has_the_documented_shape(stocked):
    run = stocked("search", "docs", "quick fox", "--limit", "2", "--json")
    assert run.code == 0
    assert set(run.json) == {"collection", "query", "hits"}
    assert run.json["query"] == "quick fox"
    hits = run.json["hits"]
    assert len(hits) == 2
    assert set(hits[0]) == {"id", "document_id", "score", "text", "metadata"}
    assert hits[0]["document_id"] == "fox"
    assert hits[0]["metadata"] == {"lang": "en", "year": 2020}
    assert hits[0]["score"] > hits[1]["score"]


def test_options_reach_the_search(stocked):
    def ids(*options):
        hits = stocked("search", "docs", "quick fox", "--json", *options).json["hits"]
        return [hit["document_id"] for hit in hits]

    whole = ids()
    assert ids("--where", '{"lang": "de"}') == ["hund"]
    assert ids("--offset", "1", "-n", "1") == whole[1:2]
    assert ids("--threshold", "2") == []
    assert ids("--group-by-document") == whole


def test_group_by_document_shows_each_document_once(stocked, lines):
    stocked("ingest", "docs", "-", stdin=lines({"id": "long", "text": "quick fox runs. " * 60}))
    grouped = stocked("search", "docs", "quick fox", "--group-by-document", "--json").json["hits"]
    ids = [hit["document_id"] for hit in grouped]
    assert len(ids) == len(set(ids)) == 4


def test_namespaces(shell, lines):
    shell.edit("dimensions = 32", "dimensions = 32\nnamespaces = true")
    shell("apply")
    assert shell("ingest", "docs", "-", "--namespace", "acme", stdin=lines({"id": "a", "text": "x"})).code == 0
    assert len(shell("search", "docs", "x", "--namespace", "acme", "--json").json["hits"]) == 1
    assert shell("search", "docs", "x", "--namespace", "other", "--json").json["hits"] == []
    refused = shell("search", "docs", "x")
    assert refused.code == 1
    assert "--namespace" in refused.err


def test_people_get_a_table(stocked):
    run = stocked("search", "docs", "quick fox")
    assert "fox" in run.out
    assert "lang=en" in run.out
    assert stocked("search", "docs", "fox", "--threshold", "2").out == "Nothing found.\n"


@pytest.mark.parametrize("width", [40, 60, 100])
def test_the_table_fits_the_terminal_also_with_wide_characters(width):
    texts = ["如何删除整个目录树" * 20, "word " * 100, "x" * 500, "短い", "a\nb\x1b[31mred"]
    hits = [Hit("r", name * 10, 0.5, text, {"k": "v"}, (0, 1)) for name, text in zip("abc漢e", texts, strict=True)]
    table = hit_table(hits, 0, width)
    assert max(wcswidth(line) for line in table.splitlines()) <= width
    assert "…" in table
    assert "\x1b" not in table


@pytest.mark.parametrize("where", ["{", "[]", '"x"', "{'lang': 'de'}", "[" * 100_000])
def test_a_where_that_is_no_json_object_is_wrong_usage(stocked, where):
    run = stocked("search", "docs", "fox", "--where", where)
    assert run.code == 2
    assert "--where" in run.err
    assert len(run.err) < 1000


def test_a_filter_on_an_unknown_field_is_refused(stocked):
    run = stocked("search", "docs", "fox", "--where", '{"lng": "de"}', "--json")
    assert run.code == 1
    assert "lang" in run.err
    assert run.json["error"]["type"] == "InvalidFilter"


@pytest.mark.parametrize("command", [["search", "dosc", "x"], ["delete", "dosc", "x"], ["ingest", "dosc", "-"]])
def test_an_unknown_collection_gets_a_suggestion(stocked, command):
    run = stocked(*command, "--json")
    assert run.code == 1
    assert "did you mean 'docs'?" in run.err
    assert run.json["error"] == {
        "type": "InvalidName",
        "message": run.err.removeprefix("error: ").rstrip("\n"),
        "retryable": False,
    }


def test_an_empty_question_is_refused(stocked):
    assert stocked("search", "docs", " ").code == 1


def test_a_collection_that_was_not_applied_says_what_to_do(shell):
    run = shell("search", "docs", "x")
    assert run.code == 1
    assert "nestvec apply" in run.err

"""`nestvec export`, `import` and `drop`: what they say, and how they end."""

from __future__ import annotations

import pytest

from nestvec._cli import dropping
from nestvec.errors import BackendRefused


@pytest.fixture
def stored(applied, lines):
    path = applied.file("in.jsonl", lines({"id": "a", "text": "quick fox"}, {"id": "b", "text": "lazy dog"}))
    assert applied("ingest", "docs", path).code == 0
    return applied


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_an_export_is_imported_again(stored, suffix):
    file = str(stored.folder / f"docs.{suffix}")
    run = stored("export", "docs", file)
    assert (run.code, "2 documents (2 chunks) written to" in run.out) == (0, True)
    there = stored("export", "docs", file)
    assert (there.code, "--force" in there.err, "Traceback" in there.err) == (1, True, False)
    assert stored("export", "docs", file, "--force", "--json").json["documents"] == 2
    again = stored("import", "docs", file)
    assert (again.code, "2 documents in docs: 0 chunks written, 2 were there already" in again.out) == (0, True)
    assert stored("drop", "docs", "--yes").code == 0
    assert stored("apply").code == 0
    assert stored("import", "docs", file, "--json").json["written"] == 2
    assert stored("search", "docs", "quick fox", "--json").json["hits"][0]["document_id"] == "a"


def test_what_is_no_export_ends_with_one_message(stored):
    for name, content, words in [
        ("docs.csv", "a,b\n", "an export is a file named"),
        ("docs.jsonl", '{"id": "a", "text": "b"}\n', "is no export of nestvec"),
    ]:
        run = stored("import", "docs", stored.file(name, content))
        assert (run.code, words in run.err, "Traceback" in run.err) == (1, True, False)
    missing = stored("import", "docs", str(stored.folder / "nowhere.jsonl"))
    assert (missing.code, "cannot be read" in missing.err) == (1, True)


def test_a_torn_file_is_one_message_and_stores_nothing(stored):
    file = stored.folder / "docs.jsonl"
    assert stored("export", "docs", str(file)).code == 0
    assert stored("delete", "docs", "--all").code == 0
    file.write_bytes(file.read_bytes()[:-9])
    run = stored("import", "docs", str(file))
    assert (run.code, "it is torn" in run.err, "Traceback" in run.err) == (1, True, False)
    assert stored("status", "docs", "--json").json["collections"][0]["documents"] == 0


def test_a_document_that_the_backend_refuses_is_told(stored):
    file = str(stored.folder / "docs.jsonl")
    assert stored("export", "docs", file).code == 0
    assert stored("delete", "docs", "--all").code == 0

    def refuse(ids):
        if "b" in ids:
            raise BackendRefused("no room for b")

    stored.store.before_write = refuse
    run = stored("import", "docs", file)
    assert (run.code, "error: document 'b': no room for b" in run.err) == (1, True)
    assert "1 document in docs: 1 chunk written" in run.out


def test_dropping_shows_what_goes_and_asks(stored, monkeypatch):
    alone = stored("drop", "docs")
    assert (alone.code, "say --yes" in alone.err) == (2, True)
    assert "- docs_1 on backend" in alone.out
    assert "(live, 2 chunks) would be removed" in alone.out
    assert stored("drop", "docs", "--dry-run").code == 0
    assert stored("drop", "docs", "--json").code == 2
    monkeypatch.setattr(dropping, "somebody_there", lambda: True)
    no = stored("drop", "docs", stdin="n\n")
    assert (no.code, "no way back, and no copy" in no.err) == (1, True)
    assert list(stored.store._collections) == ["docs_1"]
    yes = stored("drop", "docs", stdin="y\n")
    assert yes.code == 0
    assert list(stored.store._collections) == []
    again = stored("drop", "docs", "--yes")
    assert (again.code, "there is nothing to drop" in again.err) == (1, True)

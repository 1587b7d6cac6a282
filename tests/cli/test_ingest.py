"""`ingest`: reports, failures, strictness, interruptions."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from nestvec.errors import BackendFull


def documents(applied):
    return applied("status", "--json").json["collections"][0]["documents"]


def test_the_report(applied, lines):
    path = applied.file("in.jsonl", lines({"id": "a", "text": "one two three"}, {"id": "b", "text": "four. " * 60}))
    report = applied("ingest", "docs", path, "--json").json
    assert report["documents"] == 2
    assert report["chunks"] == report["embedded"] > 2
    assert report["unchanged"] == report["deleted"] == 0
    assert report["failed"] == report["skipped"] == []
    assert report["seconds"] >= 0
    assert report["tokens"] > 0
    assert report["requests"] >= 1
    again = applied("ingest", "docs", path, "--json").json
    assert (again["documents"], again["embedded"], again["unchanged"]) == (2, 0, report["chunks"])


def test_people_get_a_summary(applied, lines):
    run = applied("ingest", "docs", "-", stdin=lines({"id": "a", "text": "one two"}))
    assert run.code == 0
    assert "1 document stored in docs: 1 chunk (1 embedded, 0 unchanged)" in run.out


def test_one_malformed_line_is_named_and_stops_nothing(applied):
    rows = [json.dumps({"id": i, "text": f"text number {i}"}) for i in range(1, 5001)]
    rows[4710] = '{"id": 4711, "text": '
    path = applied.file("in.jsonl", "\n".join(rows) + "\n")
    run = applied("ingest", "docs", path, "--json")
    assert run.code == 1
    assert run.json["documents"] == 4999
    (failure,) = run.json["failed"]
    assert failure["line"] == 4711
    assert failure["path"] == path
    assert f"{path}:4711: " in run.err
    rows[4710] = '{"id": 4711, "text": "mended"}'
    applied.file("in.jsonl", "\n".join(rows) + "\n")
    again = applied("ingest", "docs", path, "--json")
    assert again.code == 0
    assert (again.json["documents"], again.json["embedded"]) == (5000, 1)


def test_bad_documents_are_named_with_file_and_line_and_the_others_stored(applied, lines):
    good = {"id": "good", "text": "fine"}
    first = applied.file("first.jsonl", lines(good, {"id": "empty", "text": "  "}, good))
    second = applied.file("second.jsonl", lines({"id": "typed", "text": "x", "year": "not a year"}))
    run = applied("ingest", "docs", first, second, "--json")
    assert run.code == 1
    assert run.json["documents"] == 2
    places = {(failure["document_id"], failure["path"], failure["line"]) for failure in run.json["failed"]}
    assert places == {("empty", first, 2), ("good", first, 3)}
    (misfit,) = run.json["misfits"]
    assert (misfit["field"], misfit["declared"], misfit["document_id"]) == ("year", "integer", "typed")
    assert "warning: field 'year' (integer) has a value of another type in 1 document, the first 'typed'" in run.err
    assert f"{first}:2: document 'empty' has no text" in run.err
    assert f"{first}:3: document 'good' came before" in run.err


def test_invalid_utf8_is_one_failure(applied, lines):
    path = applied.file("in.jsonl", lines({"id": "a", "text": "x"}).encode() + b'{"id": "b", "text": "\xff\xfe"}\n')
    run = applied("ingest", "docs", path, "--json")
    assert run.code == 1
    assert run.json["documents"] == 1
    assert [failure["line"] for failure in run.json["failed"]] == [2]


def test_a_lone_surrogate_leaves_the_output_valid(applied):
    run = applied("ingest", "docs", "-", "--json", stdin='{"id": "\\ud800", "text": "x"}\n')
    assert run.code == 1
    assert len(run.json["failed"]) == 1


def test_five_megabytes_are_split_and_stored(applied, lines):
    applied.edit("size = 200", "size = 5000")
    applied("apply")
    text = "Alpha beta gamma delta. " * (5_000_000 // 24)
    report = applied("ingest", "docs", "-", "--json", stdin=lines({"id": "big", "text": text})).json
    assert report["documents"] == 1
    assert report["chunks"] >= 1000


def test_twenty_failures_are_printed_and_all_of_them_are_in_the_json(applied, lines):
    rows = [{"id": str(i), "text": ""} for i in range(33)]
    run = applied("ingest", "docs", "-", "--json", stdin=lines(*rows))
    assert len(run.json["failed"]) == 33
    assert "… and 13 more" in run.err
    assert len(run.err.splitlines()) < 25


def test_a_folder_without_readable_files_is_refused(applied):
    folder = applied.folder / "empty"
    folder.mkdir()
    run = applied("ingest", "docs", str(folder))
    assert run.code == 1
    assert "has no files to read" in run.err


def test_files_of_unknown_type_in_a_folder_are_told(applied):
    applied.file("in/a.txt", "some text")
    applied.file("in/b.bin", b"\0")
    run = applied("ingest", "docs", str(applied.folder / "in"), "--json")
    assert run.json["documents"] == 1
    assert [Path(path).name for path in run.json["skipped"]] == ["b.bin"]
    assert "skipped 1 file of unknown type" in run.err


def test_fields_are_mapped(applied, lines):
    row = {"key": "k1", "content_en": "quick fox", "lang": "en", "year": 2020, "other": 1}
    path = applied.file("in.dat", lines(row))
    options = ["--format", "jsonl", "--id", "key", "--text", "content_en", "--metadata", "lang", "--metadata", "year"]
    assert applied("ingest", "docs", path, *options).code == 0
    (hit,) = applied("search", "docs", "fox", "--json").json["hits"]
    assert hit["document_id"] == "k1"
    assert hit["metadata"] == {"lang": "en", "year": 2020}


class TestStrict:
    """Nothing is stored if anything is wrong."""

    @pytest.mark.parametrize(
        "bad",
        [
            "{broken\n",
            '{"id": "e", "text": ""}\n',
            '{"id": "a", "text": "again"}\n',
        ],
    )
    @pytest.mark.parametrize("from_stdin", [True, False])
    def test_refuses_before_writing(self, applied, lines, bad, from_stdin):
        content = lines({"id": "a", "text": "fine"}) + bad
        source = "-" if from_stdin else applied.file("in.jsonl", content)
        run = applied("ingest", "docs", source, "--strict", "--json", stdin=content if from_stdin else None)
        assert run.code == 1
        assert run.json["documents"] == 0
        assert [failure["line"] for failure in run.json["failed"]] == [2]
        assert "nothing was stored" in run.json["error"]["message"]
        assert applied.store.written == []

    @pytest.mark.parametrize("from_stdin", [True, False])
    def test_stores_what_is_right(self, applied, lines, from_stdin):
        content = lines({"id": "a", "text": "fine"}, {"id": "b", "text": "too"})
        source = "-" if from_stdin else applied.file("in.jsonl", content)
        run = applied("ingest", "docs", source, "--strict", "--json", stdin=content if from_stdin else None)
        assert run.code == 0
        assert run.json["documents"] == 2

    def test_refuses_a_named_pipe(self, applied):
        pipe = applied.folder / "pipe.jsonl"
        os.mkfifo(pipe)
        run = applied("ingest", "docs", str(pipe), "--strict")
        assert run.code == 1
        assert "standard input" in run.err


class TestInterrupted:
    """Whatever stops a run, it says how far it came, and the same command goes on."""

    @pytest.fixture
    def many(self, applied, lines):
        return applied.file("in.jsonl", lines(*({"id": i, "text": f"text {i}"} for i in range(100))))

    @pytest.fixture
    def listening(self):
        """Ctrl-C is heard, also where a shell started the tests in the background, deaf to it."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    def test_ctrl_c(self, applied, many, listening):
        def interrupt(ids):
            if "40" in ids:
                os.kill(os.getpid(), signal.SIGINT)

        applied.store.before_write = interrupt
        run = applied("ingest", "docs", many, "--json")
        assert run.code == 130
        assert run.json["error"]["type"] == "Interrupted"
        assert 0 < run.json["documents"] <= documents(applied) < 100
        assert f"{run.json['documents']} documents stored so far; run the same command again" in run.err
        applied.store.before_write = lambda ids: None
        before = documents(applied)
        again = applied("ingest", "docs", many, "--json").json
        assert (again["documents"], again["unchanged"]) == (100, before)

    def test_a_fatal_backend_error(self, applied, many):
        def fail(ids):
            if "40" in ids:
                raise BackendFull("the disk is full; make room")

        applied.store.before_write = fail
        run = applied("ingest", "docs", many, "--json")
        assert run.code == 1
        assert run.err.count("error: ") == 1
        assert "error: the disk is full" in run.err
        assert run.json["error"]["type"] == "BackendFull"
        assert run.json["documents"] == 32
        assert "32 documents stored so far; run the same command again" in run.err

    def test_an_error_before_anything_was_stored_claims_nothing(self, shell, many):
        shell.edit("dimensions = 32", "dimensions = 16")
        run = shell("ingest", "docs", many)
        assert run.code == 1
        assert "stored so far" not in run.err


def test_a_misspelt_metadata_field_wipes_nothing(applied):
    """It would otherwise look like a change of every document's metadata."""
    name = next(iter(_collections(applied)))
    path = applied.file("a.jsonl", '{"id": "a", "text": "one", "topic": "x"}\n')
    assert applied("ingest", name, path, "--metadata", "topic").code == 0
    run = applied("ingest", name, path, "--metadata", "tpoic")
    assert run.code == 1
    assert "--metadata tpoic: none of the first 1 documents" in run.err
    found = applied("search", name, "one", "--json").json["hits"]
    assert found[0]["metadata"] == {"topic": "x"}


def _collections(shell):
    import tomllib

    return tomllib.loads(shell.config.read_text())["collections"]


def test_what_is_stored_may_be_left_or_refused(applied, lines):
    path = applied.file("in.jsonl", lines({"id": "a", "text": "old words"}))
    assert applied("ingest", "docs", path).code == 0
    path = applied.file("in.jsonl", lines({"id": "a", "text": "new words"}, {"id": "b", "text": "more words"}))
    run = applied("ingest", "docs", path, "--on-existing", "skip")
    assert run.code == 0
    assert "1 document stored in docs" in run.out
    assert "; 1 document left as they were" in run.out
    run = applied("ingest", "docs", path, "--on-existing", "fail", "--json")
    assert run.code == 1
    assert [failure["document_id"] for failure in run.json["failed"]] == ["a", "b"]
    assert "is stored already" in run.err
    assert applied("ingest", "docs", path, "--json").json["left"] == 0

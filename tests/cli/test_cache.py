"""`cache`, and what other commands say of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

CACHE = 'use = "recording"\ncache = { path = "vectors", size = "5 MB" }'


@pytest.fixture
def cached(shell):
    """With a collection, and a cache that nothing is in yet."""
    shell.edit('use = "recording"', CACHE)
    assert shell("apply").code == 0
    return shell


@pytest.fixture
def texts(lines):
    return lines(*({"id": f"d{i}", "text": f"text number {i}"} for i in range(30)))


def test_planning_and_looking_touch_no_folder(cached):
    assert cached("plan").code == cached("status").code == 0
    status = cached("cache", "status", "--json")
    assert status.code == 0
    assert status.json == {
        "caches": [
            {
                "path": str(cached.folder / "vectors"),
                "embedders": ["words"],
                "size": 5_000_000,
                "vectors": 0,
                "bytes": 0,
                "problem": None,
            }
        ]
    }
    assert cached("cache", "clear", "--json").json["caches"][0]["removed"] == 0
    assert not (cached.folder / "vectors").exists()


def test_what_it_holds_and_clearing_it(cached, texts):
    report = cached("ingest", "docs", "-", "--format", "jsonl", "--json", stdin=texts).json
    assert (report["embedded"], report["cached"]) == (30, 0)
    (state,) = cached("cache", "status", "--json").json["caches"]
    assert state["vectors"] == 30
    assert 0 < state["bytes"] < state["size"]
    assert "words" in cached("cache", "status").out
    assert cached("delete", "docs", "--all").code == 0
    run = cached("ingest", "docs", "-", "--format", "jsonl", stdin=texts)
    assert "30 chunks (30 embedded, 0 unchanged)" in run.out
    assert "(30 cached chunks)" in run.out
    assert cached("cache", "clear").out == f"30 vectors removed from {cached.folder / 'vectors'}\n"
    assert cached("cache", "status", "--json").json["caches"][0]["vectors"] == 0
    assert cached("delete", "docs", "--all").code == 0
    assert cached("ingest", "docs", "-", "--format", "jsonl", "--json", stdin=texts).json["cached"] == 0


def test_some_of_several(cached):
    more = '\n[embedders.more]\nuse = "recording"\ncache = { path = "others" }'
    same = '\n[embedders.same]\nuse = "recording"\ncache = { path = "vectors", size = "5 MB" }\n[backends'
    cached.edit("\n[backends", more + same)
    cached.edit("[collections.docs]", '[collections.docs]\nembedder = "words"')
    found = cached("cache", "status", "--json").json["caches"]
    assert [(each["path"].rpartition("/")[2], each["embedders"]) for each in found] == [
        ("others", ["more"]),
        ("vectors", ["same", "words"]),
    ]
    cleared = cached("cache", "clear", "same", "--json").json["caches"]
    assert [each["embedders"] for each in cleared] == [["same", "words"]]
    run = cached("cache", "clear", "mor")
    assert (run.code, run.err) == (1, "error: there is no [embedders.mor.cache]; did you mean 'more'?\n")


def test_a_configuration_without_a_cache(shell):
    for command in ("status", "clear"):
        assert shell("cache", command, "--json").json == {"caches": []}
        assert shell("cache", command).out == "No embedder of the configuration has a cache.\n"


def test_a_folder_that_cannot_be_used_is_shown_and_doctor_warns(cached):
    (cached.folder / "vectors").write_text("no folder")
    run = cached("cache", "status")
    assert run.code == 0
    assert f"{cached.folder / 'vectors'} cannot be used" in run.out
    run = cached("cache", "clear")
    assert run.code == 1
    assert "cannot be cleared" in run.err
    run = cached("doctor", "--json")
    assert run.code == 0
    (check,) = (check for check in run.json["checks"] if check["subject"] == "cache of words")
    assert check["status"] == "warn"
    assert "cannot be used" in check["detail"]


def test_a_damaged_database_is_cleared_away(cached):
    (cached.folder / "vectors").mkdir()
    (cached.folder / "vectors" / "cache.db").write_bytes(b"no database" * 1000)
    assert "run nestvec cache clear" in cached("cache", "status").out
    assert cached("cache", "clear").out.startswith("a damaged database removed from")
    assert cached("cache", "status", "--json").json["caches"][0]["problem"] is None


def test_doctor_asks_the_embedder_itself(cached, texts, monkeypatch):
    """A cache must not say that an embedder answers."""
    from nestvec.errors import EmbedderUnavailable
    from nestvec_testing.recording import RecordingEmbedder

    cached("ingest", "docs", "-", "--format", "jsonl", stdin=texts)
    for _ in range(2):
        run = cached("doctor", "--json")
        (check,) = (check for check in run.json["checks"] if check["subject"] == "cache of words")
        assert check["status"] == "ok"
        assert re.match(r"30 vectors, 0\.\d MB of 5\.0 MB in ", check["detail"])

    def down(self, request):
        raise EmbedderUnavailable("it does not answer")

    monkeypatch.setattr(RecordingEmbedder, "encode", down)
    assert cached("doctor").code == 1


def test_a_missing_library_is_told_by_whoever_needs_it(cached, texts, monkeypatch):
    for name in ("nestvec._caching.cache", "nestvec._caching.disk"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "diskcache", None)
    assert cached("plan").code == 0
    for command in (["ingest", "docs", "-", "--format", "jsonl"], ["cache", "status"], ["cache", "clear"], ["doctor"]):
        run = cached(*command, stdin=texts)
        assert run.code == 1
        assert "pip install 'nestvec[cache]'" in run.err + run.out


def test_the_terminal_says_once_that_it_cannot_be_used(tmp_path):
    """In a process of its own, where nobody set logging up: on the installed stack."""
    (tmp_path / "nestvec.toml").write_text(
        '[embedders.e5]\nuse = "e5"\ncache = { path = "vectors" }\n'
        '[backends.store]\nuse = "qdrant"\npath = "store"\n[collections.docs]\n'
    )
    (tmp_path / "vectors").write_text("no folder")
    rows = "".join(json.dumps({"id": i, "text": f"text {i}"}) + "\n" for i in range(40))
    for arguments in (["apply"], ["ingest", "docs", "-", "--format", "jsonl", "--json"]):
        command = [sys.executable, "-m", "nestvec", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, input=rows, capture_output=True, text=True, check=True, env=dict(os.environ)
        )
    assert json.loads(done.stdout)["documents"] == 40
    told = [line for line in done.stderr.splitlines() if "cache" in line]
    assert len(told) == 1
    assert f"the embedding cache {tmp_path / 'vectors'} cannot be used" in told[0]

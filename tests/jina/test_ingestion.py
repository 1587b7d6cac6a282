"""From the configuration file to hits, through the emulated API."""

from __future__ import annotations

import json

import pytest

from nestvec._cli import main
from nestvec._client import aconnect, connect
from nestvec.errors import EmbedderDenied, IngestFailed, SecretError, SpaceMismatch
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.emulators.jina import HttpStatus
from nestvec_testing.registry import test_registry

from .canaries import canaries

WORDS = ["river", "stone", "winter", "engine", "paper", "garden", "silver", "window", "letter", "market"]


def texts(count):
    return [f"{WORDS[i % 10]} and {WORDS[(i // 10) % 10]} number {i}. It is there." for i in range(count)]


def documents(count):
    return [Document(f"d{i}", text) for i, text in enumerate(texts(count))]


def values(settings, **collection):
    return {
        "backends": {"store": {"use": "memory", "store": "jina"}},
        "embedders": {"api": settings},
        "collections": {"docs": {"dimensions": 128, **collection}},
    }


@pytest.fixture
def open_docs(settings):
    from nestvec_testing import memory

    memory._STORES.clear()
    opened = []

    def open_one(embedder=None, **collection):
        client = connect(values({**settings, **(embedder or {})}, **collection), Runtime(test_registry()))
        client.apply()
        opened.append(client)
        return client

    yield open_one
    for client in opened:
        client.close()
    memory._STORES.clear()


def test_passages_are_passages_and_questions_questions(open_docs, emulator):
    docs = open_docs()["docs"]
    report = docs.upsert(documents(600))
    assert (report.documents, report.embedded) == (600, 600)
    assert report.usage.requests == 3 + len(canaries(emulator))
    assert report.usage.tokens == emulator.counters.tokens
    assert docs.search("engine and paper number 43. It is there.", limit=1)[0].document_id == "d43"
    assert [each.body["task"] for each in canaries(emulator)] == ["retrieval.passage", "retrieval.query"]
    tasks = [each.body["task"] for each in emulator.exchanges[2:]]
    assert tasks == ["retrieval.passage"] * 3 + ["retrieval.query"]
    assert {each.body["dimensions"] for each in emulator.exchanges} == {128}


def test_late_chunking_is_never_used_on_questions(open_docs, emulator):
    docs = open_docs(late_chunking=True, chunking={"size": 20})["docs"]
    report = docs.upsert(documents(12))
    windows, questions = [True, True], [False]
    assert [each.body["late_chunking"] for each in canaries(emulator)] == windows + questions
    assert report.usage.windows == 12 + len(windows)
    docs.search("engine")
    assert [each.body["late_chunking"] for each in emulator.exchanges[3:]] == [True] * 12 + [False]


def test_requests_of_several_batches_are_in_flight_at_once(open_docs, emulator):
    emulator.dial(latency=0.2)
    open_docs({"batch": 32})["docs"].upsert(documents(32 * 12))
    assert emulator.journal.peak >= 6


def test_failures_name_documents_and_lose_nobody(open_docs, emulator):
    emulator.poison("number 77.", HttpStatus(status=422))
    docs = open_docs()["docs"]
    with pytest.raises(IngestFailed, match="document 'd77'") as caught:
        docs.upsert(documents(300))
    assert caught.value.report.documents == 299
    assert docs.count() == 299
    emulator.reset()
    report = docs.upsert(documents(300))
    assert (report.documents, report.embedded) == (300, 1)


def test_progress_counts_what_is_durable(open_docs):
    docs = open_docs({"batch": 50})["docs"]
    seen = []
    docs.upsert(documents(200), progress=lambda report: seen.append((report.documents, docs.count())))
    assert sum(count for count, _ in seen) == 200
    done = 0
    for count, stored in seen:
        done += count
        assert stored >= done


def test_a_wrong_key_stops_before_anything_is_stored(open_docs, emulator):
    emulator.dial(keys=("jina_other",))
    docs = open_docs()["docs"]
    with pytest.raises(EmbedderDenied, match="does not know the key"):
        docs.upsert(documents(3))
    assert docs.count() == 0


def test_a_missing_key_is_named_when_it_is_needed(open_docs, monkeypatch):
    docs = open_docs({"api_key": {"env": "NESTVEC_NO_SUCH_KEY"}})["docs"]
    assert docs.count() == 0, "planning and counting need no key"
    with pytest.raises(SecretError, match="NESTVEC_NO_SUCH_KEY is not set"):
        docs.upsert(documents(1))


async def test_asynchronously(settings, emulator):
    emulator.dial(latency=0.1)
    async with aconnect(values({**settings, "batch": 32}), Runtime(test_registry())) as client:
        await client.apply()
        report = await client["docs"].upsert(documents(32 * 12))
        assert report.documents == 384
        hits = await client["docs"].search("engine and paper number 43. It is there.", limit=1)
        assert hits[0].document_id == "d43"
    assert emulator.journal.peak >= 6


def test_plan_and_report_say_what_late_chunking_costs(settings, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.jsonl").write_text(
        "".join(json.dumps({"id": f"d{i}", "text": text}) + "\n" for i, text in enumerate(texts(5)))
    )
    (tmp_path / "nestvec.toml").write_text(
        f"""
        [embedders.api]
        use = "jina"
        base_url = "{settings["base_url"]}"
        api_key = {{ env = "{settings["api_key"]["env"]}" }}
        requests_per_minute = 60
        [backends.store]
        use = "qdrant"
        path = "store"
        [collections.docs]
        late_chunking = true
        """
    )

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        return left.value.code, capsys.readouterr().out

    cost = "60 requests a minute are 3,600 documents an hour"
    code, out = run("plan")
    assert (code, cost in out) == (3, True)
    assert run("apply")[0] == 0
    code, out = run("ingest", "docs", "texts.jsonl", "--json")
    report, windows, questions = json.loads(out), 2, 1  # of the canaries
    assert (code, report["requests"], report["windows"], report["retries"]) == (
        0,
        5 + windows + questions,
        5 + windows,
        0,
    )
    code, out = run("doctor")
    assert (code, cost in out) == (0, True), out


def test_v2_and_v3_of_one_size_do_not_mix(open_docs, settings):
    two = open_docs({"model": "jina-embeddings-v2-base-en"}, dimensions=768)
    two["docs"].upsert(documents(3))
    three = connect(values(settings, dimensions=768), Runtime(test_registry()))
    with three, pytest.raises(SpaceMismatch, match="stored 'jina-embeddings-v2-base-en', wanted 'jina-embeddings-v3'"):
        three["docs"].search("river")

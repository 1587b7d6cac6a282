"""A writer and a reader run through a migration and the way back: nothing is lost, no answer mixes two spaces."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nestvec._client import connect
from nestvec._client.sync import Nestvec
from nestvec._collections.write_fence import drain
from nestvec.types import Document

from .actors import LEASE, STAYING, read, runtime, write

ACTORS = Path(__file__).with_name("actors.py")
MODELS = {
    "model": {"use": "recording", "batch": 32},
    "other": {"use": "recording", "model": "recording-v4", "batch": 32},
}


def config(backends: dict[str, dict[str, Any]], *, before: bool = False) -> dict[str, Any]:
    """From one model to another; where there are two backends, from the first to the second."""
    first, last = next(iter(backends)), list(backends)[-1]
    now = {"embedder": "other", "backend": last}
    previous = {"embedder": "model", "backend": first}
    block: dict[str, Any] = {"dimensions": 32, "chunking": {"size": 30}}
    block |= previous if before else {**now, "previous": previous}
    return {"backends": backends, "embedders": MODELS, "collections": {"docs": block}}


def fill(backends: dict[str, dict[str, Any]]) -> None:
    with connect(config(backends, before=True), runtime()) as client:
        client.apply()
        client["docs"].upsert(STAYING)


def check(client: Nestvec, written: dict[str, str | None]) -> None:
    """What was written before, during and after is there; what was deleted is not; and nothing else is."""
    docs = client["docs"]
    wanted = {document.id: document for document in STAYING}
    wanted |= {key: Document(key, text) for key, text in written.items() if text is not None}
    found = {document.id: document for document in docs.get_many([*written, *(each.id for each in STAYING)])}
    assert found == wanted
    assert docs.count() == len(wanted)


@contextmanager
def threads(client: Nestvec) -> Iterator[tuple[Future[Any], Future[Any], Callable[[], None]]]:
    stop = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        try:
            yield pool.submit(write, client, stop.is_set), pool.submit(read, client, stop.is_set), stop.set
        finally:
            stop.set()


def test_threads_of_one_process_on_embedded_engines(tmp_path: Path) -> None:
    backends = {
        "first": {"use": "qdrant", "path": str(tmp_path / "first")},
        "second": {"use": "sqlite", "path": str(tmp_path / "second.db")},
    }
    fill_here = config(backends, before=True)
    with connect(fill_here, runtime()) as client:
        client.apply()
        client["docs"].upsert(STAYING)
    with connect(config(backends), runtime()) as client:
        with threads(client) as (writing, reading, stop):
            there = client.migrate("docs")
            assert there.switched, there
            back = client.rollback("docs")
            assert back.switched, back
            stop()
            written, answers = writing.result(), reading.result()
        assert not answers["wrong"]
        assert answers["model"] == "recording-v3"
        assert there.writers_waited < drain(LEASE) + 30
        check(client, written)


@contextmanager
def emulators(folder: Path) -> Iterator[dict[str, dict[str, Any]]]:
    from nestvec_pinecone.testing import PineconeEmulator
    from nestvec_qdrant.testing import QdrantEmulator

    with QdrantEmulator() as qdrant, PineconeEmulator() as pinecone, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NESTVEC_MIGRATING_PINECONE_KEY", pinecone.api_key)
        key = {"env": "NESTVEC_MIGRATING_PINECONE_KEY"}
        yield {
            "first": {"use": "qdrant", "url": qdrant.url},
            "second": {"use": "pinecone", "api_key": key, "control_host": pinecone.url},
        }


@contextmanager
def milvus(folder: Path) -> Iterator[dict[str, dict[str, Any]]]:
    from nestvec_milvus.testing.server import running

    with running() as server:
        yield {"only": {"use": "milvus", "uri": server.uri}}


@pytest.mark.parametrize(
    "engines", [pytest.param(emulators, id="emulators"), pytest.param(milvus, id="milvus", marks=pytest.mark.server)]
)
def test_processes_on_servers(engines: Any, tmp_path: Path) -> None:
    with engines(tmp_path) as backends:
        fill(backends)
        values = config(backends)
        with process("write", values) as writer, process("read", values) as reader:
            with connect(values, runtime()) as client:
                report = client.migrate("docs")
            assert report.switched, report
            written, answers = finish(writer), finish(reader)
        assert not answers["wrong"]
        assert answers["searches"] > 5
        assert answers["model"] == "recording-v4"
        with connect(values, runtime()) as client:
            check(client, written)


@contextmanager
def process(role: str, values: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(ACTORS), role, json.dumps(values)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == "started\n", started.stderr and started.stderr.read()
            yield started
        finally:
            started.kill()


def finish(actor: subprocess.Popen[str]) -> Any:
    """Let it end; what it did."""
    said, errors = actor.communicate("", timeout=120)
    assert actor.returncode == 0, errors
    return json.loads(said)

"""One asynchronous client in several event loops, one after the other: a script, a Celery task, a notebook, pytest.

In several at a time, too, where no connection belongs to one of them: embedded stores, and models in this process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nestvec
from nestvec import Document, NestvecError
from nestvec.runtime import RetryPolicy, Runtime
from nestvec_testing.emulators.jina import JinaEmulator
from nestvec_testing.registry import test_registry

from .engines import ENGINES, PARAMETERS, patched_environment

DOCUMENTS = [Document(f"d{number}", f"text {number}") for number in range(40)]
LOCAL = [each for each in PARAMETERS if str(each.values[0]) not in ("qdrant-server", "pinecone", "milvus-server")]
NATIVE = [each for each in PARAMETERS if str(each.values[0]) in ("qdrant-server", "pinecone", "milvus-server")]


@pytest.fixture(scope="module")
def api() -> Iterator[dict[str, Any]]:
    with JinaEmulator() as emulator, patched_environment(NESTVEC_LOOPS_KEY=emulator.api_key):
        yield {"use": "jina", "api_key": {"env": "NESTVEC_LOOPS_KEY"}, "base_url": emulator.base_url}


def client(block: dict[str, Any], embedder: dict[str, Any]) -> nestvec.AsyncNestvec:
    values = {"embedders": {"model": embedder}, "backends": {"store": block}, "collections": {"docs": {}}}
    return nestvec.aconnect(values, Runtime(test_registry(), retry=RetryPolicy(attempts=2)))


async def ingest_and_search(nv: nestvec.AsyncNestvec) -> str:
    """With several batches at a time, so that there is somebody to wait for."""
    await nv.apply()
    await asyncio.gather(*(nv["docs"].upsert(DOCUMENTS) for _ in range(2)))
    return (await nv["docs"].search("text 3", limit=1))[0].document_id


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_client_goes_on_in_the_next_loop(name: str, tmp_path: Path, api: dict[str, Any]) -> None:
    with ENGINES[name](tmp_path) as engine:
        nv = client({"use": engine.use, **engine.options}, api)
        for _ in range(3):
            assert asyncio.run(ingest_and_search(nv)) == "d3"
        asyncio.run(nv.close())
        asyncio.run(nv.close())
        with pytest.raises(NestvecError, match="closed"):
            asyncio.run(ingest_and_search(nv))


@pytest.mark.parametrize("name", NATIVE)
def test_a_second_loop_beside_the_first_is_refused_by_name(name: str, tmp_path: Path, api: dict[str, Any]) -> None:
    with ENGINES[name](tmp_path) as engine, asyncio.Runner() as first:
        nv = client({"use": engine.use, **engine.options}, api)
        assert first.run(ingest_and_search(nv)) == "d3"
        told: list[BaseException] = []

        def elsewhere() -> None:
            for work in (nv["docs"].search("text 3"), nv.close()):
                with pytest.raises(NestvecError) as caught:
                    asyncio.run(work)
                told.append(caught.value)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join(60)
        first.run(nv.close())
        assert len(told) == 2
        for error in told:
            assert "another event loop" in str(error)
            assert "aconnect" in str(error)
            assert not error.retryable  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", LOCAL)
def test_loops_side_by_side_share_a_client_of_an_embedded_store(name: str, tmp_path: Path) -> None:
    loops = 3
    together, found = threading.Barrier(loops), list[str]()

    def elsewhere() -> None:
        together.wait(10)
        for _ in range(3):
            found.append(asyncio.run(ingest_and_search(nv)))

    with ENGINES[name](tmp_path) as engine:
        nv = client({"use": engine.use, **engine.options}, {"use": "recording"})
        threads = [threading.Thread(target=elsewhere) for _ in range(loops)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert found == ["d3"] * 3 * loops
        asyncio.run(nv.close())

"""A server that restarts, or lets connections break, in the middle of an ingestion."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import nestvec
from nestvec import Document
from nestvec.errors import BackendUnavailable
from nestvec.runtime import RetryPolicy, Runtime
from nestvec_testing.emulators.faults import Cut, CutShort, HttpStatus
from nestvec_testing.registry import test_registry

from .engines import patched_environment

#: More than a client tries a server that it does not know yet.
TRIES = 9


@contextmanager
def qdrant() -> Iterator[tuple[Any, dict[str, Any]]]:
    from nestvec_qdrant.testing import QdrantEmulator

    with QdrantEmulator() as emulator:
        yield emulator, {"use": "qdrant", "url": emulator.url}


@contextmanager
def pinecone() -> Iterator[tuple[Any, dict[str, Any]]]:
    from nestvec_pinecone.testing import PineconeEmulator

    with PineconeEmulator() as emulator, patched_environment(NESTVEC_RESTART_KEY=emulator.api_key):
        yield emulator, {"use": "pinecone", "control_host": emulator.url, "api_key": {"env": "NESTVEC_RESTART_KEY"}}


@pytest.fixture(params=[qdrant, pinecone], ids=["qdrant", "pinecone"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[Any, dict[str, Any]]]:
    with request.param() as running:
        yield running


def stop(emulator: Any) -> None:
    """Close its port and all connections; what it holds stays."""
    getattr(emulator, "stop", emulator.close)()


class Outage:
    """The server is gone from the first batch on, and back where a request has waited often enough."""

    def __init__(self, emulator: Any) -> None:
        self.emulator = emulator
        self.waits = 0
        self._lock = threading.Lock()

    def begin(self, _: object = None) -> None:
        if not self.waits:
            stop(self.emulator)

    def pause(self, _: float) -> None:
        """Instead of waiting. The first attempt of several threads each counts."""
        with self._lock:
            self.waits += 1
            if self.waits == 6 * TRIES:
                self.emulator.start()


def documents() -> list[Document]:
    return [Document(f"d{number}", f"text {number}") for number in range(40)]


def values(block: dict[str, Any]) -> dict[str, Any]:
    embedder = {"use": "recording", "batch": 4}
    return {"embedders": {"model": embedder}, "backends": {"store": block}, "collections": {"docs": {}}}


def test_a_restart_ends_no_ingestion(server: tuple[Any, dict[str, Any]]) -> None:
    emulator, block = server
    outage = Outage(emulator)
    with nestvec.connect(values(block), Runtime(test_registry(), pause=outage.pause)) as nv:
        nv.apply()
        assert nv["docs"].upsert(documents(), progress=outage.begin).documents == 40
        assert outage.waits >= 6 * TRIES
        assert nv["docs"].count() == 40
        assert nv["docs"].search("text 3", limit=1)[0].document_id == "d3"


def test_nor_an_asynchronous_one(server: tuple[Any, dict[str, Any]]) -> None:
    emulator, block = server
    outage = Outage(emulator)

    async def ingest() -> int:
        async with nestvec.aconnect(values(block), Runtime(test_registry(), pause=outage.pause)) as nv:
            await nv.apply()
            await nv["docs"].upsert(documents(), progress=outage.begin)
            return await nv["docs"].count()

    assert asyncio.run(ingest()) == 40
    assert outage.waits >= 6 * TRIES


FAULTS = {
    "reset": Cut(),
    "reset after the write": Cut(applied=True),
    "cut in the middle of the reply": CutShort(),
    "starting up": HttpStatus(status=503),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_broken_connections_end_no_ingestion(server: tuple[Any, dict[str, Any]], fault: Any) -> None:
    emulator, block = server
    runtime = Runtime(test_registry(), retry=RetryPolicy(first_wait=0.0, longest_wait=0.0))
    with nestvec.connect(values(block), runtime) as nv:
        nv.apply()
        nv["docs"].upsert(documents()[:4])
        emulator.inject(fault, times=TRIES)
        assert nv["docs"].upsert(documents()).documents == 40
        assert not emulator.pending_faults
        assert nv["docs"].count() == 40


@pytest.mark.parametrize("setting", [{"attempts": 3}, {"deadline": 0.001}], ids=str)
def test_how_long_is_said_in_the_block(server: tuple[Any, dict[str, Any]], setting: dict[str, Any]) -> None:
    emulator, block = server
    waits: list[float] = []
    with nestvec.connect(values({**block, **setting}), Runtime(test_registry(), pause=waits.append)) as nv:
        nv.apply()
        nv["docs"].count()
        waits.clear()
        stop(emulator)
        with pytest.raises(BackendUnavailable):
            nv["docs"].count()
        assert len(waits) == setting.get("attempts", 1) - 1


def test_a_server_that_never_answered_is_soon_given_up(server: tuple[Any, dict[str, Any]]) -> None:
    emulator, block = server
    waits: list[float] = []
    stop(emulator)
    with nestvec.connect(values(block), Runtime(test_registry(), pause=waits.append)) as nv:
        with pytest.raises(BackendUnavailable):
            nv.apply()
        assert len(waits) == 3
    with nestvec.connect(values({**block, "attempts": TRIES}), Runtime(test_registry(), pause=waits.append)) as nv:
        waits.clear()
        with pytest.raises(BackendUnavailable):
            nv.apply()
        assert len(waits) == TRIES - 1

"""How many batches of an ingestion are under way: as many as the backend wants, and the embedder takes."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from nestvec._client import aconnect, connect
from nestvec.contract import BackendPlugin, Encode, Encoded, Write
from nestvec.registry import Registry
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.memory import MemoryAdapter
from nestvec_testing.memory import nestvec_backend as memory
from nestvec_testing.recording import RecordingEmbedder
from nestvec_testing.recording import nestvec_embedder as recording
from nestvec_testing.registry import test_registry

VALUES = {
    "backends": {"store": {"use": "memory"}},
    "embedders": {"model": {"use": "recording", "batch": 2}},
    "collections": {"docs": {"dimensions": 8}},
}


class Counter:
    """How many are inside at once, at most."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.now -= 1


class Waiting(MemoryAdapter):
    """Writes that wait until so many of them are under way."""

    def __init__(self, wanted: int) -> None:
        super().__init__()
        self.inside, self._barrier = Counter(), threading.Barrier(wanted)

    def write(self, request: Write) -> None:
        with self.inside:
            self._barrier.wait(60)
            super().write(request)


class Slow(RecordingEmbedder):
    """Counts who is inside."""

    inside = Counter()

    def encode(self, request: Encode) -> Encoded:
        with self.inside:
            return super().encode(request)


def runtime(adapter: Waiting, wanted: int) -> Runtime:
    registry: Registry = test_registry()
    plain = memory()
    can = replace(plain.capabilities(None), in_flight=wanted)
    backend: BackendPlugin = replace(plain, open=lambda _: adapter, open_async=None, capabilities=lambda _: can)
    adapter.capabilities = lambda: can  # type: ignore[method-assign]
    embedder = replace(recording(), open=Slow)
    registry.backend = lambda name: backend  # type: ignore[method-assign]  # the only ones here
    registry.embedder = lambda name: embedder  # type: ignore[method-assign]
    return Runtime(registry)


@pytest.fixture(params=[1, 4])
def wanted(request: pytest.FixtureRequest) -> Any:
    Slow.inside = Counter()
    return request.param


DOCUMENTS = [Document(f"d{number}", f"text {number}") for number in range(32)]


def test_batches_are_under_way_as_the_backend_wants(wanted: int) -> None:
    adapter = Waiting(wanted)
    with connect(VALUES, runtime(adapter, wanted)) as nv:
        nv.apply()
        assert nv["docs"].upsert(DOCUMENTS).documents == 32
    check(adapter, wanted)


async def test_tasks_are_under_way_as_the_backend_wants(wanted: int) -> None:
    adapter = Waiting(wanted)
    async with aconnect(VALUES, runtime(adapter, wanted)) as nv:
        await nv.apply()
        report = await nv["docs"].upsert(DOCUMENTS)
        assert report.documents == 32
    check(adapter, wanted)


def check(adapter: Waiting, wanted: int) -> None:
    """Sixteen batches: so many were written at once, and never more than two embedded (the model takes one)."""
    assert wanted <= adapter.inside.most <= wanted + 1
    assert 1 <= Slow.inside.most <= 2

"""A measurement on a backend that is broken off."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np
import pytest

from nestvec._evaluation.probe import BackendProbe
from nestvec._session.session import Component, Session, Suspending
from nestvec.config import parse_config
from nestvec.contract import Create, Drop
from nestvec_testing.memory import CAPABILITIES, MemoryAdapter
from nestvec_testing.recording import RecordingOptions, capabilities
from nestvec_testing.registry import test_registry

VALUES: dict[str, Any] = {
    "backends": {"store": {"use": "memory"}},
    "embedders": {"model": {"use": "recording"}},
    "collections": {"docs": {"dimensions": 32}},
}


class Slow(MemoryAdapter):
    """Never comes to the end of creating; for an event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.dropped: list[str] = []

    async def create(self, request: Create) -> None:  # type: ignore[override]  # the contract allows it
        await asyncio.sleep(0)
        await asyncio.Event().wait()

    async def drop(self, request: Drop) -> None:  # type: ignore[override]  # the contract allows it
        await asyncio.sleep(0)
        self.dropped.append(request.physical)


async def unused() -> Any:
    raise AssertionError("it is open already")


def measuring(adapter: Slow) -> Any:
    store: Component[Any] = Component(unused)
    store.opened, store.native = adapter, True
    model = capabilities(RecordingOptions())
    session = Session(store, Component(unused), model, lambda _: None, Suspending())
    spec = parse_config(VALUES, test_registry()).collections["docs"]
    rows = np.eye(4, 32, dtype=np.float32)
    return BackendProbe(spec, CAPABILITIES, rows, rows, 2, time.monotonic, "the search time").measure(session)


def test_one_that_is_closed_asks_nobody_to_drop_its_collection() -> None:
    """As where the event loop is gone: nobody answers any more."""
    adapter = Slow()
    rule = measuring(adapter)
    rule.send(None)
    rule.close()
    assert not adapter.dropped


def test_one_that_is_cancelled_drops_its_collection() -> None:
    adapter = Slow()

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(measuring(adapter), 0.05)

    asyncio.run(impatient())
    assert len(adapter.dropped) == 1

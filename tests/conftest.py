"""What all tests share: a client on the kit's own plugins, in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest

from nestvec._client import Nestvec, connect
from nestvec.runtime import RetryPolicy, Runtime
from nestvec_testing.registry import test_registry

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")

#: Retries without waiting: what is tested is that they happen.
AT_ONCE = RetryPolicy(attempts=4, first_wait=0.0, longest_wait=0.0)


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def runtime(clock: Clock) -> Runtime:
    return Runtime(test_registry(), clock=clock, retry=AT_ONCE)


@pytest.fixture
def open_docs(runtime: Runtime) -> Iterator[Callable[..., Nestvec]]:
    """Open a client with one collection `docs` of the settings given; created unless `apply=False`."""
    opened: list[Nestvec] = []

    def open_one(*, apply: bool = True, embedder: dict[str, Any] | None = None, **settings: Any) -> Nestvec:
        values = {
            "backends": {"store": {"use": "memory"}},
            "embedders": {"model": {"use": "recording", **(embedder or {})}},
            "collections": {"docs": {"dimensions": 32, **settings}},
        }
        client = connect(values, runtime)
        opened.append(client)
        if apply:
            client.apply()
        return client

    yield open_one
    for client in opened:
        client.close()

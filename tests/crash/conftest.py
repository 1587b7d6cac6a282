"""What the campaigns share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nestvec_milvus.testing.server import milvus_server

from .nursery import Nursery
from .stage import SKEW

__all__ = ["hastened", "milvus_server", "nursery"]


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where processes that can be killed are started."""
    with Nursery() as born:
        yield born


@pytest.fixture
def hastened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the clocks of other machines, until the test is over."""
    monkeypatch.setattr("nestvec._collections.intents.SKEW", SKEW)

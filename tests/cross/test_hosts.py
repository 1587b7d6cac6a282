"""Hosts on every engine: canaries of the largest size are kept, found by another client, and go along with a copy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nestvec._client import Nestvec, connect
from nestvec.errors import HostMismatch
from nestvec.runtime import Runtime
from nestvec_testing.data import document, words
from nestvec_testing.recording import RecordingEmbedder
from nestvec_testing.registry import test_registry

from .engines import ENGINES, PARAMETERS, Engine

SIZE = 2048


@pytest.fixture(params=PARAMETERS)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with ENGINES[request.param](tmp_path) as opened:
        yield opened


def client(engine: Engine, store: Any = None, **embedder: Any) -> Nestvec:
    """A client of one host; with `store`, on the adapter of another client."""
    block = {"dimensions": SIZE, "late_chunking": True}
    values = {
        "backends": {"store": {"use": engine.use, **engine.options}, "memory": {"use": "memory"}},
        "embedders": {"model": {"use": "recording", "dimensions": SIZE, **embedder}},
        "collections": {"docs": {"backend": "store", **block}, "moved": {"backend": "memory", **block}},
    }
    made = connect(values, Runtime(test_registry()))
    if store is not None:
        made._connections.adapters.put("store", store)
    return made


def measured(made: Nestvec) -> int:
    embedder = made.embedder("model")
    assert isinstance(embedder, RecordingEmbedder)
    return sum(request.groups[0].key.startswith("canary") for request in embedder.requests)


def test_hosts_are_told_apart(engine: Engine) -> None:
    one = client(engine, host="one")
    one.apply()
    one["docs"].upsert([document(f"d{i}", seed=i) for i in range(3)])
    store = one.adapter("store")
    two, three = client(engine, store, host="two", skew="rounding"), client(engine, store, host="three", skew="adapter")
    assert two["docs"].search(words(9))
    with pytest.raises(HostMismatch):
        three["docs"].upsert([document("d9", seed=9)])
    assert list(one["docs"].hosts()) == ["one", "two"]
    assert one["docs"].count() == len(one["docs"].search(words(9), group_by_document=True)) == 3
    again = client(engine, store, host="two", skew="rounding")
    again["docs"].upsert([document("d3", seed=3)])
    assert measured(again) == 0
    again.copy("docs", "moved")
    assert again["moved"].hosts() == one["docs"].hosts()
    one.close()

"""Every engine: a collection shrinks, goes to another model, leaves for another engine and comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nestvec._client import Nestvec, connect
from nestvec._migration.routes import Way
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.registry import test_registry

from .engines import ENGINES, Engine

REGISTRY = test_registry()
DOCUMENTS = [
    Document(f"d{i}", " ".join(f"word{j}" for j in range(2 + i)), {"lang": "de", "year": 2000 + i}) for i in range(12)
]
BLOCK = {"backend": "store", "dimensions": 32, "fields": {"lang": "keyword", "year": "integer"}}


class Clock:
    """Time that runs, and jumps where somebody waits."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def clock(self) -> float:
        return time.monotonic() + self.ahead

    def wall(self) -> float:
        return time.time() + self.ahead

    def pause(self, seconds: float) -> None:
        self.ahead += seconds


CLOCK = Clock()


@pytest.fixture(params=["sqlite", "embedded-folder", "qdrant-folder", "milvus-lite", "pinecone"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with ENGINES[request.param](tmp_path) as opened:
        yield opened


def client(engine: Engine, folder: Path, **changes: Any) -> Nestvec:
    values = {
        "backends": {"store": {"use": engine.use, **engine.options}, "other": {"use": "memory", "store": str(folder)}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {**BLOCK, "chunking": {"size": 20}, **changes}},
    }
    runtime = Runtime(REGISTRY, CLOCK.clock, wall=CLOCK.wall, pause=CLOCK.pause)
    return connect(values, runtime)


def whole(nv: Nestvec, documents: list[Document]) -> None:
    found = {each.id: each for each in nv["docs"].get_many([each.id for each in documents])}
    assert found == {each.id: each for each in documents}
    assert nv["docs"].count() == len(documents)
    assert nv["docs"].search("word1 word2", where={"year": {"$gte": 2000}})


def test_a_collection_shrinks_and_another_model_follows(engine: Engine, tmp_path: Path) -> None:
    wanted = {"purpose": "matching", "previous": {"purpose": "retrieval"}}
    with client(engine, tmp_path, **wanted) as nv:
        nv.config.previous["docs"]
        first = client(engine, tmp_path)
        first._connections.adapters = nv._connections.adapters  # one process holds an embedded store
        first.adapter("store")
        first.apply()
        first["docs"].upsert(DOCUMENTS)
        report = first.shrink("docs", 8)
        assert (report.way, report.switched, report.documents, report.verified) == (Way.DERIVE, True, 12, 12)
        whole(first, DOCUMENTS)
        assert first.rollback("docs").switched
        report = nv.migrate("docs")
        assert (report.way, report.switched, report.documents, report.verified) == (Way.EMBED, True, 12, 12)
        whole(nv, DOCUMENTS)
        nv["docs"].upsert([Document("new", "something else", {"year": 2026})])
        nv["docs"].delete(["d3"])
        report = nv.rollback("docs")
        assert (report.switched, report.brought, report.deleted) == (True, 1, 1)
        kept = [each for each in DOCUMENTS if each.id != "d3"]
        whole(nv, [*kept, Document("new", "something else", {"year": 2026})])


def test_a_collection_leaves_for_another_engine_and_comes_back(engine: Engine, tmp_path: Path) -> None:
    with client(engine, tmp_path, backend="other", previous={"backend": "store"}) as nv:
        first = client(engine, tmp_path)
        first._connections.adapters = nv._connections.adapters
        first.apply()
        first["docs"].upsert(DOCUMENTS)
        report = nv.migrate("docs")
        assert (report.way, report.switched, report.documents) == (Way.COPY, True, 12)
        whole(nv, DOCUMENTS)
        nv["docs"].delete(["d3"])
        report = nv.rollback("docs")
        assert (report.switched, report.brought, report.deleted) == (True, 0, 1)
        whole(nv, [each for each in DOCUMENTS if each.id != "d3"])
        assert nv.migrate("docs").switched
        whole(nv, [each for each in DOCUMENTS if each.id != "d3"])

"""Behind a cache, the real embedder asks the API for nothing twice: plain and late-chunked, waiting and awaited."""

from __future__ import annotations

import numpy as np
import pytest

from nestvec._hosts.canaries import TEXTS, VERSION
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing import memory
from nestvec_testing.loop import DRIVERS, Loop
from nestvec_testing.registry import test_registry

SENTENCES = ["The river runs by the old mill.", "In winter it is full of ice.", "The engine stands in the garden."]
DOCUMENTS = [Document(f"d{i}", "\n\n".join(f"{each} {i}" for each in SENTENCES[: i % 3 + 1])) for i in range(60)]


@pytest.fixture(params=DRIVERS)
def ingest(request, settings, tmp_path):
    """Ingest everything into a fresh collection; returns the report, and vectors by document and chunk."""
    from nestvec._client import aconnect, connect

    loop = Loop()

    def run(*, cached=True, **collection):
        memory._STORES.clear()
        cache = {"cache": {"path": str(tmp_path / "cache")}} if cached else {}
        values = {
            "backends": {"store": {"use": "memory"}},
            "embedders": {"api": {**settings, **cache}},
            "collections": {"docs": {"dimensions": 1024, "chunking": {"size": 40}, **collection}},
        }
        client = (aconnect if request.param == "async" else connect)(values, Runtime(test_registry()))
        loop.settle(client.apply())
        report = loop.settle(client["docs"].upsert(DOCUMENTS))
        pages = loop.settle(client["docs"].scroll(vectors=True))
        loop.settle(client.close())
        return report, {
            (record.document_id, record.system["chunk"]): row
            for page in pages
            for record, row in zip(page.records, page.vectors, strict=True)
        }

    yield run
    loop.close()


@pytest.mark.parametrize("late", [False, True])
def test_neither_a_second_ingest_nor_one_at_fewer_dimensions_sends_anything(ingest, emulator, late):
    first, vectors = ingest(late_chunking=late)
    sent = len(emulator.exchanges)
    assert first.usage.requests == sent > 0
    for size in (1024, 256):
        again, found = ingest(late_chunking=late, dimensions=size)
        assert (again.embedded, again.usage.cached) == (120, 120 + 2 * len(TEXTS[VERSION]))
        assert again.usage.requests == again.usage.tokens == again.usage.windows == 0
        assert len(emulator.exchanges) == sent
        _, direct = ingest(late_chunking=late, dimensions=size, cached=False)
        sent = len(emulator.exchanges)
        assert found.keys() == direct.keys() == vectors.keys()
        for place, row in found.items():
            np.testing.assert_allclose(row, direct[place], atol=1e-6)

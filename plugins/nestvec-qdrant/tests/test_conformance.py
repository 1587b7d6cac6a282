"""The conformance kit on every form of this backend: in memory, in a folder, and over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from nestvec.contract import ForeignLayout
from nestvec_qdrant.testing import QdrantEmulator
from nestvec_testing import AdapterConformance, BackendUnderTest

KEY = "secret-of-the-test"
FIELDS = ("lang", "year", "price", "open", "tags")


def unnamed(adapter: Any, name: str, rows: Any, payloads: Any) -> ForeignLayout:
    """One vector without a name, numbers for ids, everything flat."""
    size = models.VectorParams(size=rows.shape[1], distance=models.Distance.COSINE)
    adapter.client.raw.create_collection(name, size)
    points = [models.PointStruct(id=i, vector=row.tolist(), payload=payloads[i]) for i, row in enumerate(rows)]
    adapter.client.raw.upsert(name, points)
    return ForeignLayout(name, None, "key", "body", fields={field: field for field in FIELDS})


def named(client: Any, name: str, rows: Any, payloads: Any) -> ForeignLayout:
    """Two vectors, UUIDs for ids, metadata in an object, keys that need quotation marks."""
    size = models.VectorParams(size=rows.shape[1], distance=models.Distance.COSINE)
    client.create_collection(
        name, {"title": models.VectorParams(size=3, distance=models.Distance.DOT), "content": size}
    )
    kept = [
        {"page_content": item["body"], "metadata": {f"the.{key}": item[key] for key in item}, "unused": "x" * 100}
        for item in payloads
    ]
    points = [
        models.PointStruct(
            id=f"00000000-0000-4000-8000-{i:012d}",
            vector={"title": [1.0, 0.0, 0.0], "content": row.tolist()},
            payload=kept[i],
        )
        for i, row in enumerate(rows)
    ]
    client.upsert(name, points)
    paths = {field: f'metadata."the.{field}"' for field in FIELDS}
    return ForeignLayout(name, "content", 'metadata."the.key"', "page_content", fields=paths)


class TestInMemory(AdapterConformance):
    @pytest.fixture
    def backend(self) -> BackendUnderTest:
        return BackendUnderTest("qdrant", {"path": ":memory:"}, foreign=unnamed)


class TestInFolder(AdapterConformance):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> BackendUnderTest:
        def theirs(adapter: Any, *arguments: Any) -> ForeignLayout:
            return named(adapter.client.raw, *arguments)

        return BackendUnderTest("qdrant", {"path": str(tmp_path / "store")}, reopens=True, foreign=theirs)


@pytest.fixture(scope="module")
def emulator() -> Iterator[QdrantEmulator]:
    with QdrantEmulator(api_key=KEY) as running:
        yield running


class TestServer(AdapterConformance):
    @pytest.fixture
    def backend(self, emulator: QdrantEmulator, monkeypatch: pytest.MonkeyPatch) -> BackendUnderTest:
        emulator.reset()
        monkeypatch.setenv("NESTVEC_TEST_QDRANT_KEY", KEY)
        options = {"url": emulator.url, "api_key": {"env": "NESTVEC_TEST_QDRANT_KEY"}}

        def theirs(_: Any, *arguments: Any) -> ForeignLayout:
            with pytest.warns(UserWarning, match="insecure"):
                client = QdrantClient(url=emulator.url, api_key=KEY)
            with closing(client):
                return named(client, *arguments)

        return BackendUnderTest("qdrant", options, reopens=True, foreign=theirs)

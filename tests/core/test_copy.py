"""Copying between places: everything arrives, nothing is embedded, interruptions are mended, differences are told."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nestvec.client import Nestvec, aconnect, connect
from nestvec.client.base import Runtime
from nestvec.errors import BackendUnavailable, CollectionConflict, CollectionError, InvalidInput, SpaceMismatch
from nestvec.types import Document

FIELDS = {"lang": "keyword", "year": "integer", "price": "float", "seen": "datetime", "tags": "keyword[]"}
BACKENDS = ("memory", "sqlite", "qdrant")


def values(folder: Path, source: str, target: str, **changes: Any) -> dict[str, Any]:
    options = {"memory": {}, "sqlite": {"path": str(folder / "s.db")}, "qdrant": {"path": str(folder / "q")}}
    common = {"dimensions": 32, "fields": FIELDS, "chunking": {"size": 20}}
    return {
        "backends": {"one": {"use": source, **options[source]}, "two": {"use": target, **_other(options[target])}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"a": {"backend": "one", **common}, "b": {"backend": "two", **common, **changes}},
    }


def _other(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value + "-two" for key, value in options.items()}


def corpus(count: int = 30) -> list[Document]:
    return [
        Document(
            f"d{i}",
            f"Document {i} has several chunks of words, number {i}.",
            {
                "lang": "de" if i % 2 else "en",
                "year": 2000 + i,
                "price": float(i),
                "seen": datetime(2026, 1, 1, 12, i % 60, 0, 123456, tzinfo=UTC),
                "tags": ["x", f"t{i}"],
                "free": i,
            },
        )
        for i in range(count)
    ]


@pytest.fixture
def opened(tmp_path: Path, runtime: Runtime) -> Any:
    clients: list[Nestvec] = []

    def open_one(source: str = "memory", target: str = "memory", **changes: Any) -> Nestvec:
        client = connect(values(tmp_path, source, target, **changes), runtime)
        clients.append(client)
        client.apply()
        client["a"].upsert(corpus())
        client.embedder("model").requests.clear()  # type: ignore[attr-defined]
        return client

    yield open_one
    for client in clients:
        client.close()


@pytest.mark.parametrize("target", BACKENDS)
@pytest.mark.parametrize("source", BACKENDS)
def test_everything_arrives_and_nothing_is_embedded(opened: Any, source: str, target: str) -> None:
    client = opened(source, target)
    report = client.copy("a", "b", page=16)
    assert report.written == report.records == client["a"].count(chunks=True) == client["b"].count(chunks=True)
    assert report.verified == 16
    assert not client.embedder("model").requests
    ids = [document.id for document in corpus()]
    assert client["b"].get_many(ids) == client["a"].get_many(ids) == corpus()
    one, two = (client[name].search("number 7", limit=5) for name in "ab")
    assert [hit.id for hit in one] == [hit.id for hit in two]
    np.testing.assert_allclose([hit.score for hit in one], [hit.score for hit in two], atol=1e-5)
    assert client["b"].upsert(corpus()).unchanged == report.records


def test_a_second_copy_writes_only_what_changed(opened: Any) -> None:
    client = opened()
    first = client.copy("a", "b", page=16)
    again = client.copy("a", "b", page=16)
    assert (again.written, again.unchanged) == (0, first.records)
    client["a"].upsert([Document("d3", corpus()[3].text, {"lang": "fr"})])
    changed = len(client["a"]._splitter().split("d3", corpus()[3].text))
    # A replaced document has other records: those of the old version stay in the target, and that is told.
    with pytest.raises(CollectionError, match="held others before"):
        client.copy("a", "b")
    client["b"].upsert([Document("d3", corpus()[3].text, {"lang": "fr"})])
    assert changed > 1
    assert client["b"].get("d3").metadata == {"lang": "fr"}


def test_an_interrupted_copy_goes_on(opened: Any) -> None:
    client = opened()
    adapter = client.adapter("two")
    write, left = adapter.write, [2]

    def failing(request: Any) -> None:
        if not left[0]:
            raise BackendUnavailable("gone")
        left[0] -= 1
        write(request)

    adapter.write = failing
    with pytest.raises(BackendUnavailable):
        client.copy("a", "b", page=16)
    stored = client["b"].count(chunks=True)
    assert stored == 32
    adapter.write = write
    report = client.copy("a", "b", page=16)
    assert report.unchanged == stored
    assert client["b"].get_many([item.id for item in corpus()]) == corpus()


def test_progress_is_told(opened: Any) -> None:
    client = opened()
    heard: list[Any] = []
    client.copy("a", "b", page=16, progress=heard.append)
    assert [state.written for state in heard] == sorted(state.written for state in heard)
    assert heard[-1].written == heard[-1].total


def test_another_space_is_refused(opened: Any) -> None:
    with pytest.raises(SpaceMismatch, match="dimensions"):
        opened(dimensions=16).copy("a", "b")


def test_another_metric_is_refused(opened: Any) -> None:
    with pytest.raises(CollectionConflict, match="metric"):
        opened(metric="dot").copy("a", "b")


def test_a_copy_onto_itself_is_refused(opened: Any) -> None:
    with pytest.raises(InvalidInput, match="onto itself"):
        opened().copy("a", "a")


@pytest.mark.parametrize("spoil", ["vector", "text"])
def test_a_spoilt_copy_is_noticed(opened: Any, spoil: str) -> None:
    client = opened()
    adapter = client.adapter("two")
    write = adapter.write

    def spoiling(request: Any) -> None:
        write(request)
        point = adapter._collections[request.physical].points[request.records[0].id]
        if spoil == "vector":
            point.vectors["dense"][0] += 0.01
        else:
            object.__setattr__(point.record, "text", "something else")

    adapter.write = spoiling
    with pytest.raises(CollectionError, match="vector of record" if spoil == "vector" else "differs"):
        client.copy("a", "b")


def test_namespaces_are_copied_one_at_a_time(runtime: Runtime, tmp_path: Path) -> None:
    settings = values(tmp_path, "sqlite", "memory", namespaces=True)
    settings["collections"]["a"]["namespaces"] = True
    with connect(settings, runtime) as client:
        client.apply()
        for tenant in ("acme", "other"):
            client["a"].namespace(tenant).upsert([Document("d", f"text of {tenant}")])
        client.copy("a", "b", namespace="acme")
        assert client["b"].namespace("acme").get("d") == Document("d", "text of acme")
        assert client["b"].namespace("other").get("d") is None


async def test_asynchronously(runtime: Runtime, tmp_path: Path) -> None:
    async with aconnect(values(tmp_path, "memory", "sqlite"), runtime) as client:
        await client.apply()
        await client["a"].upsert(corpus())
        report = await client.copy("a", "b")
        assert report.written == report.records > 30
        assert await client["b"].get("d4") == corpus()[4]

"""Copying between places: everything arrives, nothing is embedded, interruptions are mended, differences are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nestvec._client import Nestvec, aconnect, connect
from nestvec._migration.copy import CopyReport, copy
from nestvec._session.session import complete
from nestvec.contract import Write
from nestvec.errors import (
    BackendUnavailable,
    CollectionConflict,
    CollectionError,
    InvalidInput,
    InvalidName,
    SpaceMismatch,
)
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.requests import bare
from nestvec_testing.tap import tap_in_place

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
    changed = len(complete(client["a"]._sessions[0].splitter()).split("d3", corpus()[3].text))
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


TENANTS = {"acme": 12, "other": 3, "ünï /%": 7}


def shared(folder: Path, source: str = "memory", target: str = "memory", *, both: bool = True) -> dict[str, Any]:
    settings = values(folder, source, target, namespaces=both)
    settings["collections"]["a"]["namespaces"] = True
    return settings


def fill(client: Nestvec) -> int:
    client.apply()
    for tenant, count in TENANTS.items():
        client["a"].namespace(tenant).upsert([replace(each, text=f"{tenant}: {each.text}") for each in corpus(count)])
    return sum(client["a"].namespace(tenant).count(chunks=True) for tenant in TENANTS)


def test_a_named_namespace_is_copied_alone(runtime: Runtime, tmp_path: Path) -> None:
    with connect(shared(tmp_path, "sqlite"), runtime) as client:
        fill(client)
        report = client.copy("a", "b", namespace="other")
        assert report.records == report.written == client["a"].namespace("other").count(chunks=True)
        assert client["b"].tenants() == ["other"]
        assert client["b"].namespace("other").get("d1") == client["a"].namespace("other").get("d1")


@pytest.mark.parametrize("target", BACKENDS)
@pytest.mark.parametrize("source", BACKENDS)
def test_all_namespaces_are_copied(runtime: Runtime, tmp_path: Path, source: str, target: str) -> None:
    with connect(shared(tmp_path, source, target), runtime) as client:
        total = fill(client)
        heard: list[Any] = []
        report = client.copy("a", "b", page=16, progress=heard.append)
        assert (report.records, report.written, report.unchanged) == (total, total, 0)
        sizes = [client["a"].namespace(tenant).count(chunks=True) for tenant in TENANTS]
        assert report.verified == sum(min(size, 16) for size in sizes)
        assert client["b"].tenants() == sorted(TENANTS)
        for tenant, count in TENANTS.items():
            ids = [f"d{i}" for i in range(count)]
            one, two = (client[name].namespace(tenant).get_many(ids) for name in "ab")
            assert one == two
            assert len(two) == count
        done = [state.written for state in heard]
        assert done == sorted(done)
        assert done[-1] == total
        assert {state.total for state in heard} == {total}
        again = client.copy("a", "b", page=16)
        assert (again.records, again.written, again.unchanged) == (total, 0, total)


def test_an_interrupted_copy_of_all_namespaces_goes_on(runtime: Runtime, tmp_path: Path) -> None:
    with connect(shared(tmp_path), runtime) as client:
        total = fill(client)
        gone = ["other"]

        def failing(request: Any, perform: Callable[[Any], Any]) -> Any:
            if isinstance(bare(request), Write) and getattr(request, "tenant", None) in gone:
                raise BackendUnavailable("gone")
            return perform(request)

        tap_in_place(client.adapter("two"), failing)
        with pytest.raises(BackendUnavailable):
            client.copy("a", "b")
        assert client["b"].tenants() == ["acme"]
        gone.clear()
        report = client.copy("a", "b")
        assert report.records == total == report.written + report.unchanged
        assert report.unchanged == client["b"].namespace("acme").count(chunks=True)


def test_no_namespaces_are_nothing_to_copy(runtime: Runtime, tmp_path: Path) -> None:
    with connect(shared(tmp_path), runtime) as client:
        client.apply()
        assert client.copy("a", "b") == CopyReport()
        client["b"].namespace("theirs").upsert(corpus(1))
        with pytest.raises(CollectionError, match="the target held others before"):
            client.copy("a", "b")


@pytest.mark.parametrize("only", [True, False])
def test_a_namespace_that_only_the_target_has_is_told(runtime: Runtime, tmp_path: Path, only: bool) -> None:
    with connect(shared(tmp_path), runtime) as client:
        fill(client)
        for tenant in TENANTS.keys() - {"acme"} if only else ():
            client["a"].namespace(tenant).delete(everything=True)
        client["b"].namespace("theirs").upsert(corpus(1))
        with pytest.raises(CollectionError, match="the target held others before"):
            client.copy("a", "b")
        assert client.copy("a", "b", namespace="acme").written == 0, "one namespace beside others is no difference"


def test_records_too_many_in_a_namespace_are_told_with_its_name(runtime: Runtime, tmp_path: Path) -> None:
    with connect(shared(tmp_path), runtime) as client:
        fill(client)
        client["b"].namespace("acme").upsert([Document("theirs", "another text")])
        with pytest.raises(CollectionError, match=r"records in namespace 'acme'.*held others before"):
            client.copy("a", "b")


@pytest.mark.parametrize("turned", [False, True])
def test_only_one_of_both_with_namespaces_is_refused(runtime: Runtime, tmp_path: Path, turned: bool) -> None:
    with connect(shared(tmp_path, both=False), runtime) as client:
        fill(client)
        with pytest.raises(CollectionConflict, match=r"'a' is declared with namespaces and 'b' without"):
            client.copy(*("ba" if turned else "ab"))
        with pytest.raises(InvalidName, match="without namespaces"):
            client.copy(*("ba" if turned else "ab"), namespace="acme")


def test_a_copy_of_all_namespaces_is_one_event(runtime: Runtime, tmp_path: Path) -> None:
    settings = shared(tmp_path)
    with connect(settings, runtime) as client:
        fill(client)
        client.apply("b")
        told = list[Any]()
        source, target = (complete(client[name]._located()) for name in "ab")
        target = replace(target, session=target.session.notifying(told.append))
        report = complete(copy(source, target))
        copied = [event for event in told if event.name == "collection_copied"]
        assert [event.data for event in copied] == [{"records": report.records}]


def test_namespaces_are_named(runtime: Runtime, tmp_path: Path) -> None:
    with connect(shared(tmp_path, both=False), runtime) as client:
        fill(client)
        assert client["a"].tenants() == sorted(TENANTS)
        client["a"].namespace("acme").delete(everything=True)
        assert client["a"].tenants() == sorted(TENANTS.keys() - {"acme"})
        with pytest.raises(InvalidName, match="'b' is declared without namespaces"):
            client["b"].tenants()
        with pytest.raises(InvalidName, match="'other' does not know the others"):
            client["a"].namespace("other").tenants()


async def test_all_namespaces_asynchronously(runtime: Runtime, tmp_path: Path) -> None:
    async with aconnect(shared(tmp_path, "memory", "sqlite"), runtime) as client:
        await client.apply()
        for tenant in TENANTS:
            await client["a"].namespace(tenant).upsert(corpus(2))
        report = await client.copy("a", "b")
        assert report.written == report.records >= 6
        assert await client["b"].tenants() == sorted(TENANTS)


async def test_asynchronously(runtime: Runtime, tmp_path: Path) -> None:
    async with aconnect(values(tmp_path, "memory", "sqlite"), runtime) as client:
        await client.apply()
        await client["a"].upsert(corpus())
        report = await client.copy("a", "b")
        assert report.written == report.records > 30
        assert await client["b"].get("d4") == corpus()[4]


def test_what_no_head_owns_is_left_out_and_told(opened: Any) -> None:
    client = opened()
    points = client.adapter("one")._collections["a_1"].points
    chunk = next(item for item in points.values() if item.record.system["chunk"] == 1)
    stray = replace(chunk.record, id="stray", system={**chunk.record.system, "revision": 1, "version": "none"})
    client.adapter("one").write(Write("a_1", [stray], {name: row[None] for name, row in chunk.vectors.items()}))
    report = client.copy("a", "b")
    assert (report.leftovers, report.records) == (1, len(points) - 1)
    copied = client.adapter("two")._collections["b_1"].points
    assert "stray" not in copied
    assert set(copied) == set(points) - {"stray"}
    client["a"].repair()
    assert client.copy("a", "b").leftovers == 0

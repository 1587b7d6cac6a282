"""Through the clients: what was embedded once is not embedded again, in whatever collection."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nestvec._caching.cache import Cache
from nestvec._caching.embedder import CachedEmbedder
from nestvec._client import aconnect, connect
from nestvec.contract import Embedder, Encode, Encoded, Event
from nestvec.registry import Registry
from nestvec.runtime import Runtime
from nestvec_testing import EmbedderConformance, EmbedderUnderTest, recording
from nestvec_testing.registry import test_registry

from .conftest import POISON, Folder, Picky, ask, documents, group

Open = Callable[..., Any]
DOCUMENTS = documents(40)


def requests(client: Any, name: str = "model") -> int:
    """How many requests reached the embedder itself."""
    opened = client.embedder(name)
    return len(getattr(opened, "inner", opened).requests)


def stored(client: Any) -> dict[tuple[str, int], Any]:
    """Every stored vector by document and chunk."""
    return {
        (record.document_id, record.system["chunk"]): row
        for page in client["docs"].scroll(vectors=True)
        for record, row in zip(page.records, page.vectors, strict=True)
    }


def assert_same(one: dict[Any, Any], other: dict[Any, Any]) -> None:
    assert len(one) == 80
    assert one.keys() == other.keys()
    for key, row in one.items():
        np.testing.assert_allclose(row, other[key], atol=1e-6)


@pytest.mark.parametrize("late", [False, True])
def test_a_second_ingest_into_a_fresh_collection_asks_for_nothing(open_client: Open, late: bool) -> None:
    first, second = open_client(late_chunking=late), open_client(late_chunking=late)
    report = first["docs"].upsert(DOCUMENTS)
    assert (report.embedded, report.usage.cached) == (80, 0)
    again = second["docs"].upsert(DOCUMENTS)
    assert (again.embedded, again.usage.cached, again.usage.requests, again.usage.tokens) == (80, 80, 0, 0)
    assert requests(second) == 0
    assert_same(stored(second), stored(first))


@pytest.mark.parametrize("late", [False, True])
def test_so_does_one_at_fewer_dimensions_and_not_one_at_more(open_client: Open, late: bool) -> None:
    open_client(late_chunking=late)["docs"].upsert(DOCUMENTS)
    less, direct = (open_client(late_chunking=late, dimensions=8, cached=cached) for cached in (True, False))
    less["docs"].upsert(DOCUMENTS)
    direct["docs"].upsert(DOCUMENTS)
    assert requests(less) == 0
    assert requests(direct) > 0
    assert_same(stored(less), stored(direct))
    more = open_client(late_chunking=late, dimensions=64)
    more["docs"].upsert(DOCUMENTS)
    assert requests(more) > 0
    whole = open_client(late_chunking=late, dimensions=64)
    whole["docs"].upsert(DOCUMENTS)
    assert requests(whole) == 0, "the longer vectors are kept instead"


@pytest.mark.parametrize(
    "other",
    [
        {"purpose": "matching"},
        {"embedder": {"model": "another"}},
        {"late_chunking": True},
        {"chunking": {"size": 20}},
    ],
)
def test_another_task_model_mode_or_chunk_is_asked_for(open_client: Open, other: dict[str, Any]) -> None:
    open_client()["docs"].upsert(DOCUMENTS)
    client = open_client(**other)
    assert client["docs"].upsert(DOCUMENTS).usage.cached == 0
    assert requests(client) > 0


def test_questions_are_cached_as_questions(open_client: Open) -> None:
    client = open_client()
    client["docs"].upsert(DOCUMENTS)
    hits = client["docs"].search(DOCUMENTS[3].text)
    before = requests(client)
    assert client["docs"].search(DOCUMENTS[3].text) == hits
    assert requests(client) == before
    assert client.embedder("model").inner.tasks[-1] == "retrieval.query"


def test_of_a_changed_document_only_what_changed_is_asked_for(open_client: Open) -> None:
    open_client()["docs"].upsert(DOCUMENTS)
    client = open_client()
    changed = replace(DOCUMENTS[5], text=DOCUMENTS[5].text.replace("full of ice", "dry"))
    report = client["docs"].upsert([*DOCUMENTS[:5], changed])
    assert (report.embedded, report.usage.cached) == (12, 11)
    (asked,) = client.embedder("model").inner.requests
    assert [group.texts() for group in asked.groups] == [["In winter 5 it is dry."]]


def test_nested_vectors_are_kept_as_the_model_gives_them(open_client: Open) -> None:
    """The rotation comes after the cache: another one uses the same vectors, and gets others out of them."""
    first = open_client(embedder={"rotation": "r1"})
    first["docs"].upsert(DOCUMENTS)
    second = open_client(embedder={"rotation": "r2"}, dimensions=8)
    second["docs"].upsert(DOCUMENTS)
    assert requests(second) == 0
    longer = open_client(embedder={"rotation": "r1"}, dimensions=64)
    longer["docs"].upsert(DOCUMENTS)
    assert requests(longer) == 0
    plain = open_client(embedder={"rotation": "r1"}, dimensions=8, cached=False)
    plain["docs"].upsert(DOCUMENTS)
    assert_same(stored(second), stored(plain))


def test_fresh_vectors_are_computed_now(open_client: Open) -> None:
    client = open_client()
    one = client.embed(["river"])
    other = client.embed(["river"], fresh=True)
    assert requests(client) == 2
    np.testing.assert_array_equal(one, other)


def test_blocks_of_one_model_share_a_folder(tmp_path: Path) -> None:
    block = {"use": "recording", "cache": {"path": str(tmp_path / "cache")}}
    with connect({"embedders": {"one": block, "two": block}}, Runtime(test_registry())) as client:
        rows = client.embed(["river", "stone"], embedder="one")
        np.testing.assert_array_equal(client.embed(["stone", "river"], embedder="two"), rows[::-1])
        assert (requests(client, "one"), requests(client, "two")) == (1, 0)


@pytest.mark.parametrize("late", [False, True])
async def test_asynchronously(tmp_path: Path, late: bool) -> None:
    values = {
        "backends": {"store": {"use": "memory"}},
        "embedders": {"model": {"use": "recording", "cache": {"path": str(tmp_path / "cache")}}},
        "collections": {"docs": {"dimensions": 32, "chunking": {"size": 40}, "late_chunking": late}},
    }
    found = []
    for _ in range(2):
        async with aconnect(values, Runtime(test_registry())) as client:
            await client.apply()
            report = await client["docs"].upsert(DOCUMENTS)
            found.append((report.usage.requests > 0, report.usage.cached))
            await client["docs"].search("river")
    assert found == [(True, 0), (False, 80)]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("nestvec-cache")]


def test_whatever_else_an_embedder_does_it_does_behind_a_cache(folder: Folder) -> None:
    embedder = folder.open(rotation="r1")
    np.testing.assert_array_equal(embedder.rotation(), embedder.inner.rotation())
    count = embedder.count_tokens()
    assert count is not None
    assert count("two words") == 2
    assert str(folder.path) in repr(embedder)
    embedder.close()
    assert embedder.inner.closed == 1


async def test_the_asynchronous_form_by_itself(folder: Folder) -> None:
    class Native(Embedder):
        def __init__(self) -> None:
            self.inner = Picky()

        async def encode(self, request: Encode) -> Encoded:
            return self.inner.encode(request)

        async def close(self) -> None:
            self.inner.close()

    model = recording.capabilities(recording.RecordingOptions())
    request = ask(group("a", "river", "stone"), group("b", f"a {POISON}"))
    for cached in (0, 2):
        native = Native()
        embedder = CachedEmbedder(native, model, Cache(folder.path, 10_000_000, folder.events.append), native=True)
        reply = await embedder.encode(request)
        assert reply.usage.cached == cached
        assert [(failure.group, failure.span) for failure in reply.failures] == [(1, 0)]
        np.testing.assert_array_equal(reply.vectors[0], Picky().encode(request).vectors[0])
        await embedder.close()
        assert native.inner.closed == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("nestvec-cache")]


def test_listeners_hear_of_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    class Hearing(Registry):
        def embedder(self, name: str) -> Any:
            return recording.nestvec_embedder()

        def notify(self, event: Event) -> None:
            heard.append(event)

    heard: list[Event] = []
    place = tmp_path / "cache"
    place.write_text("no folder")
    with connect(
        {"embedders": {"model": {"use": "recording", "cache": {"path": str(place)}}}}, Runtime(Hearing())
    ) as nv:
        for _ in range(2):
            assert nv.embed(["river"]).shape == (1, 64)
    assert [(event.name, event.collection, event.data["path"]) for event in heard] == [
        ("cache_failed", None, str(place))
    ]


class TestCached(EmbedderConformance):
    """Whatever an embedder has to keep, it keeps behind a cache, too."""

    @pytest.fixture(params=["full", "nested"])
    def embedder(self, request, folder: Folder) -> EmbedderUnderTest:
        plugin = recording.nestvec_embedder()
        options = {"rotation": "r1"} if request.param == "nested" else {}

        def opened(given: Any) -> Any:
            return folder.open(plugin.open(given), **given.model_dump())

        return EmbedderUnderTest(replace(plugin, open=opened), options)

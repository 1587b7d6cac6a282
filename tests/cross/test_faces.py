"""The two faces of a client: one configuration, the same stores, and an end in common."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nestvec
from nestvec import Document, Runtime
from nestvec._client import faces
from nestvec.errors import NestvecError
from nestvec_testing.registry import test_registry

from .engines import ENGINES, PARAMETERS, Engine

DOCUMENTS = [Document(f"d{number}", f"text {number}") for number in range(6)]
EVERY_ENGINE = pytest.mark.parametrize("engine", PARAMETERS, indirect=True)
SERVER = pytest.mark.parametrize("engine", ["qdrant-server"], indirect=True)


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with ENGINES[request.param](tmp_path) as engine:
        yield engine


def values(engine: Engine, **collection: Any) -> dict[str, Any]:
    return {
        "backends": {"store": {"use": engine.use, **engine.options}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {"dimensions": 32, **collection}},
    }


def connect(engine: Engine, **collection: Any) -> nestvec.Nestvec:
    return nestvec.connect(values(engine, **collection), Runtime(test_registry()))


def raw(client: Any) -> Any:
    """The vendor's client under a native connection."""
    return client._connections.adapters["store"].opened._adapter.client


async def found(client: nestvec.AsyncNestvec) -> str:
    return (await client["docs"].search("text 3", limit=1))[0].document_id


@EVERY_ENGINE
def test_what_one_face_writes_the_other_one_finds(engine: Engine) -> None:
    with connect(engine) as nv:
        nv.apply()
        nv["docs"].upsert(DOCUMENTS[:5])
        assert asyncio.run(found(nv.aio)) == "d3"
        asyncio.run(nv.aio["docs"].upsert(DOCUMENTS[5:]))
        assert nv["docs"].count() == 6


@EVERY_ENGINE
def test_the_other_way_round(engine: Engine) -> None:
    async def awaited() -> None:
        async with nestvec.aconnect(values(engine), Runtime(test_registry())) as nv:
            await nv.apply()
            await nv["docs"].upsert(DOCUMENTS)
            found = await asyncio.to_thread(nv.sync["docs"].search, "text 3", limit=1)
            assert found[0].document_id == "d3"
            sync = nv.sync
        with pytest.raises(NestvecError, match="this client is closed"):
            sync["docs"].count()

    asyncio.run(awaited())


@pytest.mark.parametrize("engine", ["memory"], indirect=True)
def test_faces_are_made_once_and_lead_back(engine: Engine) -> None:
    nv = connect(engine, namespaces=True)
    assert nv.aio is nv.aio
    assert nv.aio.sync is nv
    docs = nv["docs"]
    assert docs.aio is nv.aio["docs"]
    assert docs.aio.sync is docs
    view = docs.namespace("acme")
    assert view.aio is view.aio
    assert (view.aio.tenant, view.aio.sync) == ("acme", view)
    assert docs.namespace("other").aio is not view.aio
    assert docs.aio.namespace("third").sync.tenant == "third"
    nv.close()


def test_the_embedded_default_has_faces_too() -> None:
    with nestvec.collection("notes", dimensions=32) as notes:
        notes.upsert([Document("a", "Bonjour")])
        assert asyncio.run(notes.aio.count()) == 1
        assert notes.aio.sync is notes
        asyncio.run(notes.aio.close())
        assert notes.count() == 1


@EVERY_ENGINE
def test_closing_a_face_alone_harms_nobody(engine: Engine) -> None:
    async def twice(nv: nestvec.Nestvec) -> None:
        for _ in range(2):
            async with nv.aio as face:
                await face.apply()
                await face["docs"].upsert(DOCUMENTS)
                assert await found(face) == "d3"

    with connect(engine) as nv:
        asyncio.run(twice(nv))
        asyncio.run(twice(nv))
        assert nv["docs"].count() == 6  # also in memory, where only the face has opened the store
    with pytest.raises(NestvecError, match="this client is closed"):
        asyncio.run(found(nv.aio))


@pytest.mark.parametrize("engine", ["memory"], indirect=True)
def test_local_models_are_opened_once(engine: Engine) -> None:
    with connect(engine) as nv:
        nv.apply()
        asyncio.run(nv.aio["docs"].upsert(DOCUMENTS))
        nv["docs"].search("text")
        both: list[Any] = [each._connections.embedders["model"].opened for each in (nv, nv.aio)]
        assert both[0] is both[1]


@pytest.mark.parametrize("engine", ["memory"], indirect=True)
def test_a_model_behind_a_cache_is_closed_by_the_last_face(engine: Engine, tmp_path: Path) -> None:
    given, closed = values(engine), list[str]()
    given["embedders"]["model"]["cache"] = {"path": str(tmp_path / "cache")}
    with nestvec.connect(given, Runtime(test_registry())) as nv:
        nv.apply()
        nv["docs"].upsert(DOCUMENTS)
        assert asyncio.run(found(nv.aio)) == "d3"
        cached: list[Any] = [each._connections.embedders["model"].opened for each in (nv, nv.aio)]
        assert cached[0].inner is cached[1].inner
        cached[0].inner.close = lambda: closed.append("closed")
        asyncio.run(nv.aio.close())
        assert not closed
    assert closed == ["closed"]


# ---------------------------------------------------------------- whose loop is elsewhere


@SERVER
def test_the_client_closes_connections_of_a_loop_that_has_ended(engine: Engine) -> None:
    with connect(engine) as nv:
        nv.apply()
        nv["docs"].upsert(DOCUMENTS)
        assert asyncio.run(found(nv.aio)) == "d3"
        client = raw(nv.aio)
    assert client.closed


@SERVER
def test_the_client_closes_connections_of_a_loop_in_another_thread(engine: Engine) -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        with connect(engine) as nv:
            nv.apply()
            nv["docs"].upsert(DOCUMENTS)
            assert asyncio.run_coroutine_threadsafe(found(nv.aio), loop).result(10) == "d3"
            client = raw(nv.aio)
        assert client.closed
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@SERVER
def test_the_client_closes_connections_of_the_loop_that_closes_it(engine: Engine) -> None:
    async def awaited() -> None:
        with connect(engine) as nv:
            await nv.aio.apply()
            await nv.aio["docs"].upsert(DOCUMENTS)
            client = raw(nv.aio)
        await asyncio.sleep(0)
        assert client.closed
        await asyncio.gather(*faces._closing)
        assert not faces._closing

    asyncio.run(awaited())


@SERVER
def test_a_loop_that_stands_still_is_not_waited_for_without_end(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faces, "PATIENCE", 0.1)
    nv = connect(engine)

    async def standing_still() -> None:
        await nv.aio.apply()
        thread = threading.Thread(target=close)
        thread.start()
        thread.join(30)

    def close() -> None:
        with pytest.raises(NestvecError, match=r"await client\.aio\.close\(\) there before"):
            nv.close()
        told.append("told")

    told: list[str] = []
    asyncio.run(standing_still())
    assert told == ["told"]


@pytest.mark.parametrize("engine", ["memory"], indirect=True)
def test_what_a_face_is_opening_while_its_client_closes_is_closed(engine: Engine) -> None:
    nv, closed = connect(engine), list[str]()
    connection = nv.config.backends["store"]
    made, go_on = threading.Event(), threading.Event()
    opening = connection.plugin.open

    def slowly(options: Any) -> Any:
        adapter = opening(options)
        adapter.close = lambda: closed.append("closed")
        made.set()
        assert go_on.wait(10)
        return adapter

    object.__setattr__(connection.plugin, "open", slowly)
    told: list[BaseException] = []

    def use() -> None:
        with pytest.raises(NestvecError, match="this client is closed") as caught:
            asyncio.run(nv.aio.apply())
        told.append(caught.value)

    thread = threading.Thread(target=use)
    thread.start()
    assert made.wait(10)
    nv.close()
    go_on.set()
    thread.join(10)
    assert told
    assert closed == ["closed"]

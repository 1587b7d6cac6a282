"""An embedded store in one process: opened once, however many clients, faces, copies and threads use it."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import nestvec
from nestvec import Document, F, Runtime
from nestvec._client.places import PLACES, Places
from nestvec.errors import BackendLocked, ConfigError, NestvecError
from nestvec.options import LocalPath, Options
from nestvec_testing.memory import MemoryAdapter
from nestvec_testing.memory import nestvec_backend as memory
from nestvec_testing.registry import test_registry

#: An embedded store of each kind, by the name of its path.
STORES = {"sqlite": "store.db", "embedded": "embedded", "qdrant": "folder", "milvus": "milvus.db"}
EVERY_STORE = pytest.mark.parametrize("use", STORES)
THREADS, ROUNDS, SHARED_DOCUMENTS = 4, 6, 5


def values(use: str, folder: Path | str, **collection: Any) -> dict[str, Any]:
    path = folder if folder == ":memory:" else str(Path(folder) / STORES[use])
    return {
        "backends": {"store": {"use": use, "path": path}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {"dimensions": 32, "fields": {"writer": "keyword"}, **collection}},
    }


@pytest.fixture
def runtime() -> Runtime:
    return Runtime(test_registry())


@pytest.fixture
def connect(runtime: Runtime) -> Iterator[Callable[..., nestvec.Nestvec]]:
    opened: list[nestvec.Nestvec] = []

    def connect_one(*arguments: Any, **more: Any) -> nestvec.Nestvec:
        opened.append(nestvec.connect(values(*arguments, **more), runtime))
        return opened[-1]

    yield connect_one
    for client in opened:
        client.close()


def engines_of(*clients: nestvec.Nestvec) -> set[int]:
    """What answers their requests in the end."""
    found = {id(each._connections.adapters["store"].lease.component) for each in clients if each.adapter("store")}
    assert found
    return found


def locked(use: str, folder: Path, runtime: Runtime) -> bool:
    """Whether somebody has the store open: asked by a plugin itself, which nothing is shared with."""
    connection = nestvec.connect(values(use, folder), runtime).config.backends["store"]
    try:
        adapter = connection.plugin.open(connection.options)
    except BackendLocked:
        return True
    closing: Any = adapter.close()
    if closing is not None:
        with pytest.raises(StopIteration):
            closing.send(None)
    return False


# ---------------------------------------------------------------- a second client


@EVERY_STORE
def test_a_second_client_shares_the_engine_and_the_last_one_closes_it(
    use: str, tmp_path: Path, connect: Any, runtime: Runtime
) -> None:
    first, second = connect(use, tmp_path), connect(use, tmp_path)
    first.apply()
    first["docs"].upsert([Document("a", "one text")])
    assert second["docs"].count() == 1
    assert len(engines_of(first, second)) == 1
    first.close()
    first.close()
    assert locked(use, tmp_path, runtime)
    second["docs"].upsert([Document("b", "another text")])
    assert [hit.document_id for hit in second["docs"].search("another text", limit=1)] == ["b"]
    with pytest.raises(NestvecError, match="this client is closed"):
        first["docs"].count()
    second.close()
    assert not locked(use, tmp_path, runtime)
    assert connect(use, tmp_path)["docs"].count() == 2


def test_a_path_is_the_same_however_it_is_written(tmp_path: Path, connect: Any, monkeypatch: Any) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    clients = [connect("qdrant", path) for path in (tmp_path / "there", "there", "link", "there/../link")]
    assert len(engines_of(*clients)) == 1


def test_stores_in_memory_are_nobody_elses(connect: Any) -> None:
    first, second = connect("sqlite", ":memory:"), connect("sqlite", ":memory:")
    first.apply()
    second.apply()
    first["docs"].upsert([Document("a", "one text")])
    assert second["docs"].count() == 0
    assert len(engines_of(first, second)) == 2


def test_two_blocks_of_one_configuration_share_it_too(tmp_path: Path, runtime: Runtime) -> None:
    given = values("sqlite", tmp_path)
    given["backends"]["again"] = dict(given["backends"]["store"])
    given["collections"] = {name: {"backend": name, "dimensions": 32} for name in ("store", "again")}
    with nestvec.connect(given, runtime) as nv:
        nv.apply()
        nv["store"].upsert([Document("a", "one text")])
        assert (nv["store"].count(), nv["again"].count()) == (1, 0)


class _Options(Options):
    path: LocalPath
    speed: int = 1


def counted(runtime: Runtime, opening: Callable[[], object] = lambda: None) -> tuple[Runtime, list[str]]:
    """A backend with a path and another option, and what was opened and closed of it."""
    told: list[str] = []

    class Told(MemoryAdapter):
        def close(self) -> None:
            told.append("closed")

    def open_it(_: _Options) -> MemoryAdapter:
        opening()
        told.append("opened")
        return Told()

    plugin = replace(memory(), options=_Options, open=open_it, path_option="path")
    runtime.registry.backend = lambda name: plugin  # type: ignore[method-assign]  # the only one here
    return runtime, told


def on(path: Path, **options: Any) -> dict[str, Any]:
    return {
        "backends": {"store": {"use": "memory", "path": str(path), **options}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {"dimensions": 32}},
    }


def test_other_options_for_the_same_store_are_refused(tmp_path: Path, runtime: Runtime) -> None:
    runtime, told = counted(runtime)
    first, second = nestvec.connect(on(tmp_path), runtime), nestvec.connect(on(tmp_path, speed=2), runtime)
    first.adapter("store")
    with pytest.raises(ConfigError, match=f"{tmp_path} is open in this process with another speed") as caught:
        second["docs"].count()
    assert "close the other client" in str(caught.value)
    first.close()
    second.adapter("store")
    second.close()
    assert told == ["opened", "closed"] * 2


def test_threads_that_open_it_at_once_open_it_once(tmp_path: Path, runtime: Runtime) -> None:
    together = threading.Barrier(THREADS)
    runtime, told = counted(runtime)

    def use(_: int) -> None:
        nv = nestvec.connect(on(tmp_path), runtime)
        together.wait(10)
        nv.adapter("store")
        together.wait(10)
        nv.close()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(use, range(THREADS)))
    assert told == ["opened", "closed"]


def test_what_cannot_be_opened_is_tried_again(tmp_path: Path, runtime: Runtime) -> None:
    failures = [OSError("not now")]

    def opening() -> None:
        if failures:
            raise failures.pop()

    runtime, told = counted(runtime, opening)
    with nestvec.connect(on(tmp_path), runtime) as nv:
        with pytest.raises(OSError, match="not now"):
            nv.adapter("store")
        nv.adapter("store")
    assert told == ["opened", "closed"]


def test_a_client_that_is_dropped_unclosed_holds_nobody_up(tmp_path: Path, connect: Any, runtime: Runtime) -> None:
    dropped = nestvec.connect(values("sqlite", tmp_path), runtime)
    dropped.adapter("store")
    kept = connect("sqlite", tmp_path)
    kept.adapter("store")
    del dropped
    gc.collect()
    kept.close()
    assert not locked("sqlite", tmp_path, runtime)


def test_a_store_that_was_put_in_its_place_is_opened_anew(tmp_path: Path, connect: Any) -> None:
    first = connect("qdrant", tmp_path)
    first.apply()
    shutil.rmtree(tmp_path / STORES["qdrant"])
    second = connect("qdrant", tmp_path)
    second.apply()
    assert len(engines_of(first, second)) == 2
    first.close()
    assert second["docs"].count() == 0


def test_nothing_is_known_of_a_path_any_more_once_nobody_uses_it(tmp_path: Path, runtime: Runtime) -> None:
    with nestvec.connect(values("sqlite", tmp_path), runtime) as nv:
        nv.apply()
    del nv
    gc.collect()
    assert not [key for key in PLACES._places if str(tmp_path) in key[1]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@EVERY_STORE
def test_a_forked_child_hears_that_its_parent_has_the_store(use: str, tmp_path: Path, connect: Any) -> None:
    nv = connect(use, tmp_path)
    nv.apply()
    nv["docs"].upsert([Document("a", "one text")])
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        told = []
        for client in (nv, connect(use, tmp_path)):
            try:
                told.append(f"counted {client['docs'].count()}")
            except NestvecError as error:
                told.append(type(error).__name__)
            client.close()
        os.write(writing, " ".join(told).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 1000).decode() == "BackendLocked BackendLocked"
    os.close(reading)
    os.close(writing)
    assert nv["docs"].count() == 1
    nv["docs"].upsert([Document("b", "another text")])  # and the child's closing has unlocked nothing
    assert nv["docs"].count() == 2


def test_in_a_forked_child_nothing_of_the_parents_is_closed_or_destroyed(tmp_path: Path) -> None:
    told: list[str] = []

    class Told(MemoryAdapter):
        def close(self) -> None:
            told.append("closed")

        def __del__(self) -> None:
            told.append("destroyed")

    places = Places()
    place = places.at("told", tmp_path)
    lease = place.enter(Told)
    places.forked()
    lease.end()
    del lease
    gc.collect()
    assert not told
    place.enter(Told).end()
    assert told[0] == "closed"


# ---------------------------------------------------------------- writing together


def text(writer: str, number: int, paragraphs: int) -> str:
    """A chunk for each paragraph: a torn document would show."""
    return "\n\n".join(f"{writer} writes paragraph {n} of version {number}." for n in range(paragraphs))


def whole(docs: nestvec.Collection) -> None:
    """Each document is one version, and nothing of another is left."""
    got = docs.get_many([f"d{n}" for n in range(SHARED_DOCUMENTS)])
    assert len(got) == SHARED_DOCUMENTS
    for each in got:
        assert len({line.split(" writes ")[0] for line in each.text.splitlines() if line}) == 1
        assert len({line.split("version ")[1] for line in each.text.splitlines() if line}) == 1
    assert docs.count(chunks=True) == sum(each.text.count("\n\n") + 1 for each in got)
    report = docs.repair(dry_run=True)
    assert report.leftovers == 0


CHUNKED: dict[str, Any] = {"chunking": {"size": 60}}


@EVERY_STORE
def test_two_clients_and_a_face_hammer_the_same_documents(use: str, tmp_path: Path, connect: Any) -> None:
    clients = [connect(use, tmp_path, **CHUNKED) for _ in range(2)]
    clients[0].apply()
    together = threading.Barrier(THREADS)

    def batch(writer: str, number: int) -> list[Document]:
        texts = [text(writer, number, 2 + (n + number) % 6) for n in range(SHARED_DOCUMENTS)]
        return [Document(f"d{n}", each, {"writer": writer}) for n, each in enumerate(texts)]

    def write(client: nestvec.Nestvec, writer: str) -> None:
        together.wait(30)
        for number in range(ROUNDS):
            client["docs"].upsert(batch(writer, number))

    async def write_awaited(client: nestvec.Nestvec, writer: str) -> None:
        for number in range(ROUNDS):
            await asyncio.gather(*(client.aio["docs"].upsert(batch(writer, number)) for _ in range(2)))

    def in_a_loop(client: nestvec.Nestvec, writer: str) -> None:
        together.wait(30)
        asyncio.run(write_awaited(client, writer))

    work = [(write, 0), (write, 1), (in_a_loop, 0), (in_a_loop, 1)]
    with ThreadPoolExecutor(THREADS) as pool:
        done = [pool.submit(how, clients[n], f"w{number}") for number, (how, n) in enumerate(work)]
        for each in done:
            each.result(120)
    whole(clients[1]["docs"])


def test_a_coroutine_that_would_wait_for_a_task_of_its_own_is_told(tmp_path: Path, connect: Any) -> None:
    nv = connect("sqlite", tmp_path)
    nv.apply()

    async def both() -> None:
        turns = nv["docs"]._find_turns()[0]
        async with turns.held_by_task({("docs", None, "a")}):
            with pytest.raises(NestvecError, match=r"await collection\.aio\.upsert"):
                nv["docs"].upsert([Document("a", "one text")])

    asyncio.run(both())


# ---------------------------------------------------------------- copies


def test_a_copy_shares_what_is_in_memory_and_is_closed_by_itself(connect: Any) -> None:
    first = connect("sqlite", ":memory:")
    first.apply()
    first["docs"].upsert([Document("a", "one text", {"writer": "me"})])
    for copied in (copy.copy(first), copy.deepcopy({"client": first})["client"]):
        assert copied is not first
        first.close()
        assert copied["docs"].count(F.writer == "me") == 1
        first = copied
    first.close()
    with pytest.raises(NestvecError, match="closed"):
        first["docs"].count()

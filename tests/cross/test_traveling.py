"""Clients and handles that are pickled into other processes: as configuration and name, and without secrets."""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import nestvec
from nestvec import Document, Runtime
from nestvec.errors import ConfigError, NestvecError, SecretError, Unsupported
from nestvec.runtime import RetryPolicy
from nestvec_testing.memory import CAPABILITIES, MemoryAdapter, MemoryOptions
from nestvec_testing.memory import nestvec_backend as memory
from nestvec_testing.registry import test_registry

from .engines import Engine, patched_environment, qdrant_server

SECRET = "a-secret-that-must-stay-at-home"


def runtime() -> Runtime:
    return Runtime(test_registry(), lease=7.0, retry=RetryPolicy(attempts=2))


def values(engine: Engine, **collection: Any) -> dict[str, Any]:
    return {
        "backends": {"store": {"use": engine.use, **engine.options}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {"dimensions": 32, **collection}},
    }


def stored(path: str | Path, **collection: Any) -> dict[str, Any]:
    return values(Engine("sqlite", {"path": str(path)}), **collection)


def travelled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_clients_and_handles_reach_the_workers_of_a_pool(method: str, tmp_path: Path) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("this system has no fork")
    with qdrant_server(tmp_path) as engine, nestvec.connect(values(engine, namespaces=True), runtime()) as nv:
        nv.apply()
        acme = nv["docs"].namespace("acme")
        acme.upsert([Document("a", "one text"), Document("b", "another text")])
        nv["docs"].namespace("other").upsert([Document("a", "one text")])
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            assert pool.submit(methodcaller("count"), acme).result(60) == 2
            assert pool.submit(methodcaller("tenants"), nv["docs"]).result(60) == ["acme", "other"]
            back = pool.submit(methodcaller("namespace", "acme"), nv["docs"]).result(60)
        assert back.count() == asyncio.run(travelled(acme.aio).count()) == 2


def test_an_embedded_store_is_opened_where_it_lands(tmp_path: Path) -> None:
    with nestvec.connect(stored(tmp_path / "store.db"), runtime()) as nv:
        nv.apply()
        nv["docs"].upsert([Document("a", "one text")])
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(methodcaller("status"), nv).result(60)[0].documents == 1


def test_a_file_is_read_anew_where_it_lands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "nestvec.toml"
    text = '[backends.store]\nuse = "sqlite"\npath = "s.db"\n[embedders.model]\nuse = "recording"\n[collections.docs]\n'
    file.write_text(text)
    monkeypatch.chdir(tmp_path)
    nv = nestvec.connect("nestvec.toml", runtime())
    monkeypatch.chdir("/")
    sent = pickle.dumps(nv)
    file.write_text(text + "[collections.more]\n")
    assert list(pickle.loads(sent)) == ["docs", "more"]
    file.unlink()
    gone = pickle.loads(sent)
    for _ in range(2):
        with pytest.raises(ConfigError, match=f"there is no configuration file {file}"):
            gone["docs"]


def test_relative_paths_in_plain_values_count_from_where_they_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nv = nestvec.connect(stored("store.db"), runtime())
    sent = pickle.dumps(nv)
    monkeypatch.chdir("/")
    with pickle.loads(sent) as landed:
        landed.apply()
    assert (tmp_path / "store.db").exists()


def test_values_travel_as_they_were_given(tmp_path: Path) -> None:
    given = stored(tmp_path / "store.db")
    nv = nestvec.connect(given, runtime())
    given["backends"].clear()
    with travelled(nv) as landed:
        landed.apply()
        assert landed.config.collections == nv.config.collections
        assert (landed._runtime.lease, landed._runtime.retry) == (7.0, RetryPolicy(attempts=2))


def test_a_client_and_its_handles_stay_together(tmp_path: Path) -> None:
    nv = nestvec.connect(stored(tmp_path / "store.db", namespaces=True), runtime())
    client, docs, view = travelled((nv, nv["docs"], nv["docs"].namespace("acme")))
    with client:
        client.apply()
        view.upsert([Document("a", "one text")])
        assert docs.namespace("acme").count() == 1
        assert view.aio.sync is view
        docs.close()
        assert client["docs"].tenants() == ["acme"]
    with pytest.raises(NestvecError, match="this client is closed"):
        view.count()


def test_a_collection_with_a_client_of_its_own_closes_that_where_it_lands(tmp_path: Path) -> None:
    with nestvec.collection("notes", path=tmp_path / "notes", dimensions=32) as notes:
        notes.upsert([Document("a", "Bonjour")])
        sent = pickle.dumps(notes)
        copied = copy.deepcopy(notes)
    assert copied.count() == 1
    copied.close()
    with pytest.raises(NestvecError, match="this client is closed"):
        copied.count()
    with pickle.loads(sent) as landed:
        assert landed.count() == 1
    with pytest.raises(NestvecError, match="this client is closed"):
        landed.count()


def test_a_copied_handle_has_a_client_that_it_can_close(tmp_path: Path) -> None:
    with nestvec.connect(stored(tmp_path / "store.db"), runtime()) as nv:
        nv.apply()
        alone = copy.deepcopy(nv["docs"])
        together = copy.deepcopy({"client": nv, "docs": nv["docs"]})
        assert together["docs"]._owner is together["client"]
        nv.close()
        assert alone.count() == together["docs"].count() == 0
        alone.close()
        with pytest.raises(NestvecError, match="this client is closed"):
            alone.count()
        together["docs"].close()
        assert together["client"]["docs"].count() == 0
        together["client"].close()


def test_nothing_is_opened_before_it_is_used_and_then_once(tmp_path: Path) -> None:
    nv = nestvec.connect(stored(tmp_path / "store.db"), runtime())
    landed = travelled(nv)
    assert "config" not in vars(landed)
    again, copied = travelled(landed), copy.deepcopy(landed)
    together = threading.Barrier(4)

    def use(_: int) -> Any:
        together.wait(10)
        return landed._connections

    with ThreadPoolExecutor(4) as pool:
        assert len({id(each) for each in pool.map(use, range(4))}) == 1
    assert list(again) == list(copied) == ["docs"]
    unused = travelled(nv)
    unused.close()
    with pytest.raises(NestvecError, match="this client is closed"):
        unused["docs"]
    with pytest.raises(AttributeError, match="'Nestvec' object has no attribute 'nonsense'"):
        nv.nonsense  # type: ignore[attr-defined]  # noqa: B018
    asyncio.run(travelled(nv.aio).close())


def test_what_is_in_memory_alone_is_not_pickled() -> None:
    nv = nestvec.connect(stored(":memory:"), runtime())
    for each in (nv, nv["docs"], nv.aio, nv.aio["docs"]):
        with pytest.raises(Unsupported, match=r"'store' keeps everything in this process's memory.*give it a path"):
            pickle.dumps(each)


# ---------------------------------------------------------------- secrets


def test_references_travel_and_secrets_stay(tmp_path: Path) -> None:
    with qdrant_server(tmp_path) as engine:
        given = values(replace(engine, options={**engine.options, "api_key": {"env": "NESTVEC_TRAVELLING_KEY"}}))
        with patched_environment(NESTVEC_TRAVELLING_KEY=SECRET), nestvec.connect(given, runtime()) as nv:
            nv.apply()
            sent = pickle.dumps((nv, nv["docs"]))
            assert SECRET.encode() not in sent
        client, docs = pickle.loads(sent)
        for use in (docs.count, client.apply):
            with pytest.raises(SecretError, match="the environment variable NESTVEC_TRAVELLING_KEY is not set"):
                use()
        with patched_environment(NESTVEC_TRAVELLING_KEY=SECRET):
            assert docs.count() == 0
        client.close()


class _Login(MemoryOptions):
    class Inner(MemoryOptions):
        password: SecretStr

    token: SecretStr
    login: Inner


def test_a_secret_that_stands_in_the_configuration_is_left_out_and_named() -> None:
    plugin = replace(memory(), options=_Login, open=lambda _: MemoryAdapter(), capabilities=lambda _: CAPABILITIES)
    registry = test_registry()
    registry.backend = lambda name: plugin  # type: ignore[method-assign]  # the only one here
    given = values(Engine("memory", {"token": SECRET, "login": {"password": SECRET}, "store": "x"}))
    nv = nestvec.connect(given, Runtime(registry))
    sent = pickle.dumps(nv)
    assert SECRET.encode() not in sent
    assert SECRET not in repr(nv.config)
    landed = pickle.loads(sent)
    with pytest.raises(ConfigError) as caught:
        landed["docs"]
    for key in ("backends.store.token", "backends.store.login.password"):
        assert key in str(caught.value)
    assert "set it where this process connects" in str(caught.value)
    assert given["backends"]["store"]["token"] == SECRET
    assert copy.deepcopy(nv)["docs"] is not None


def test_what_does_not_pickle_is_named() -> None:
    nv = nestvec.connect(stored("store.db"), Runtime(test_registry(), clock=lambda: 0.0))
    with pytest.raises(Unsupported, match=r"this client cannot be pickled, because its runtime cannot.*connect anew"):
        pickle.dumps(nv)
    nv = nestvec.connect(nestvec.config.Config(), runtime())
    with pytest.raises(Unsupported, match="neither read nor parsed"):
        pickle.dumps(nv)

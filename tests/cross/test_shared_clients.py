"""`shared_client`: one open client for each configuration in a process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import nestvec
from nestvec import Document
from nestvec._client.workers import _CLIENTS
from nestvec.errors import ConfigError, NestvecError

CONFIGURATION = """
[backends.store]
use = "sqlite"
path = "store.db"
[embedders.model]
use = "e5"
[collections.docs]
dimensions = 64
"""


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    yield
    nestvec.close_shared_clients()
    assert not _CLIENTS.open


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "nestvec.toml"
    path.write_text(CONFIGURATION)
    return path


def test_it_is_the_same_for_the_same_configuration(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nv = nestvec.shared_client(file)
    monkeypatch.chdir(file.parent)
    (file.parent / "link.toml").symlink_to(file)
    for same in ("nestvec.toml", "link.toml", str(file), nv.config):
        assert nestvec.shared_client(same) is nv
    other = file.with_name("other.toml")
    other.write_text(CONFIGURATION)
    assert nestvec.shared_client(other) is not nv
    given: dict[str, Any] = {"backends": {"store": {"use": "sqlite", "path": "a.db"}}, "embedders": {}}
    reordered = dict(reversed(list(given.items())))
    assert nestvec.shared_client(given) is nestvec.shared_client(reordered) is not nv
    monkeypatch.chdir("/")  # a relative path is another one there
    assert nestvec.shared_client(given) is not nestvec.shared_client(file)


def test_one_that_was_closed_or_whose_file_changed_is_opened_anew(file: Path) -> None:
    nv = nestvec.shared_client(file)
    nv.close()
    again = nestvec.shared_client(file)
    assert again is not nv
    again.apply()
    file.write_text(CONFIGURATION + "[collections.more]\n")
    changed = nestvec.shared_client(file)
    assert list(changed) == ["docs", "more"]
    assert again["docs"].count() == changed["docs"].count() == 0  # they share the store


def test_closing_them_all_closes_them(file: Path) -> None:
    nv = nestvec.shared_client(file)
    nestvec.close_shared_clients()
    nestvec.close_shared_clients()
    with pytest.raises(NestvecError, match="this client is closed"):
        nv["docs"].count()
    assert nestvec.shared_client(file) is not nv


def test_threads_that_ask_at_once_get_the_same(file: Path) -> None:
    together = threading.Barrier(4)

    def ask(_: int) -> nestvec.Nestvec:
        together.wait(10)
        return nestvec.shared_client(file)

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(ask, range(4)))) == 1


@pytest.mark.parametrize("wrong", [{1: {}}, 5, "nowhere.toml", {"backends": {"a": {}}}])
def test_what_is_no_configuration_is_told_and_not_kept(wrong: Any) -> None:
    with pytest.raises(ConfigError):
        nestvec.shared_client(wrong)


WORKER = """
import multiprocessing, os, pathlib, sys
import nestvec

CONFIGURATION, METHOD, TOLD = sys.argv[1:]

def told_when_closed(nv):
    client = nv._connections.adapters["store"].lease.component.client
    close = client.close
    def closing():
        with open(TOLD, "a") as file:
            file.write(f"{os.getpid()} ")
        close()
    client.close = closing

def work(number):
    nv = nestvec.shared_client(CONFIGURATION)
    nv.apply()
    nv["docs"].upsert([nestvec.Document(f"d{number}", "one text")])
    if number == 0:
        told_when_closed(nv)
    return os.getpid(), id(nv), nv["docs"].count()

if __name__ == "__main__":
    with nestvec.shared_client(CONFIGURATION) as before:
        before.apply()
    with multiprocessing.get_context(METHOD).Pool(1) as pool:
        found = pool.map(work, range(3), chunksize=1)
        pool.close()
        pool.join()
    assert len({(process, client) for process, client, _ in found}) == 1
    assert [count for _, _, count in found] == [1, 2, 3]
    again = nestvec.shared_client(CONFIGURATION)
    assert again["docs"].count() == 3
    told_when_closed(again)
    print(found[0][0], os.getpid())
"""


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_workers_of_a_pool_open_their_own_and_close_it_at_their_end(method: str, file: Path, tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    told = tmp_path / "told"
    command = [sys.executable, script, file, method, told]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    child, parent = done.stdout.split()
    assert told.read_text().split() == [child, parent]
    assert child != parent


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_does_not_get_its_parents(file: Path) -> None:
    nv = nestvec.shared_client({"backends": {"store": {"use": "qdrant", "path": ":memory:"}}, "embedders": {}})
    child = os.fork()
    if child == 0:
        mine = nestvec.shared_client({"backends": {"store": {"use": "qdrant", "path": ":memory:"}}, "embedders": {}})
        os._exit(0 if mine is not nv else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_documents_of_one_worker_are_anothers(file: Path) -> None:
    nestvec.shared_client(file).apply()
    nestvec.shared_client(file)["docs"].upsert([Document("a", "one text")])
    assert nestvec.shared_client(str(file))["docs"].get("a") is not None

"""What only an engine in this process has: a folder, a lock, one writer at a time."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client.local.local_collection import LocalCollection
from qdrant_client.local.qdrant_local import QdrantLocal

from nestvec.contract import Count, Describe, Fetch, Query, Remove, ResolveAlias, Scroll, SetAlias, Write
from nestvec.errors import BackendFull, BackendLocked, BackendRefused, ConfigError
from nestvec.types import DENSE, Metric


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def opened(kit, folder):
    """Opens the folder; everything is closed afterwards."""
    adapters = []

    def open_folder(path=folder):
        adapters.append(kit.open(kit.options(path=str(path))))
        return adapters[-1]

    yield open_folder
    for adapter in adapters:
        adapter.close()


def test_everything_survives_a_reopening(kit, opened):
    first = opened()
    kit.fill(first, [kit.record(n, lang="de") for n in range(3)])
    first.set_alias(SetAlias("docs", "docs_1"))
    first.remove(Remove("docs_1", [kit.identity(1)]))
    first.close()
    again = opened()
    assert again.resolve_alias(ResolveAlias("docs")) == "docs_1"
    assert again.describe(Describe("docs_1")).record == kit.RECORD
    batch = again.scroll(Scroll("docs_1", vectors=True))
    assert batch.records == [kit.record(0, lang="de"), kit.record(2, lang="de")]
    assert np.allclose(batch.vectors[DENSE], [[1, 0, 0], [0, 0, 1]])
    (hit,) = again.query(Query("docs_1", kit.vectors([0, 0, 1]), Metric.COSINE, 1))[0]
    assert (hit.record.id, hit.score) == (kit.identity(2), pytest.approx(1))


def test_the_folder_stays_readable_for_qdrants_own_client(kit, opened, folder):
    adapter = opened()
    kit.fill(adapter, [kit.record(1)])
    adapter.close()
    with closing(QdrantClient(path=str(folder))) as client:
        (point,) = client.retrieve("docs_1", [kit.identity(1)], with_vectors=True)
        assert point.payload["document_id"] == "d"
        assert list(point.vector["dense"]) == [1, 0, 0]


def test_a_write_is_one_commit(kit, opened, monkeypatch):
    adapter = opened()
    kit.fill(adapter, [])
    statements = []
    storage = adapter.client.raw.collections["docs_1"].storage
    storage.storage.set_trace_callback(statements.append)
    adapter.write(Write("docs_1", [kit.record(n) for n in range(50)], {DENSE: np.ones((50, 3), np.float32)}))
    assert statements.count("COMMIT") == 1
    adapter.remove(Remove("docs_1", [kit.identity(n) for n in range(50)]))
    assert statements.count("COMMIT") == 2
    assert isinstance(storage.storage, sqlite3.Connection)


def test_another_process_finds_the_folder_locked(kit, opened, folder):
    opened()
    code = (
        "import sys\n"
        "from nestvec_qdrant.adapter import open_adapter\n"
        "from nestvec_qdrant.options import QdrantOptions\n"
        "from nestvec.errors import BackendLocked\n"
        "try:\n"
        "    open_adapter(QdrantOptions.model_validate({'path': sys.argv[1]}), blocking=True)\n"
        "except BackendLocked as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert str(folder) in done.stdout
    assert "Traceback" not in done.stderr


def test_closing_unlocks(opened):
    first = opened()
    with pytest.raises(BackendLocked, match="store"):
        opened()
    first.close()
    first.close()
    opened()


def test_a_path_that_is_a_file_is_a_mistake_of_the_configuration(opened, tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    for path in (file, file / "below"):
        with pytest.raises(ConfigError, match="file"):
            opened(path)


def test_a_folder_that_may_not_be_written_is_full(opened, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(BackendFull, match="store"):
        opened()


@pytest.mark.parametrize("content", ["{", "{}", '{"collections": {"a": {"vectors": 7}}, "aliases": {}}'])
def test_a_damaged_folder_says_so(opened, folder, content):
    folder.mkdir()
    (folder / "meta.json").write_text(content)
    with pytest.raises(BackendRefused, match="damaged") as caught:
        opened()
    assert str(folder) in str(caught.value)


def test_a_damaged_collection_says_so(kit, opened, folder):
    adapter = opened()
    kit.fill(adapter, [kit.record(1)])
    adapter.close()
    (folder / "collection" / "docs_1" / "storage.sqlite").write_text("no database" * 1000)
    with pytest.raises(BackendRefused, match="damaged"):
        opened()


def test_a_full_disk_says_so_and_keeps_nothing_of_the_write(kit, opened):
    adapter = opened()
    kit.fill(adapter, [kit.record(0)])
    storage = adapter.client.raw.collections["docs_1"].storage
    pages = storage.storage.execute("PRAGMA page_count").fetchone()[0]
    storage.storage.execute(f"PRAGMA max_page_count = {pages + 2}")
    big = [kit.record(n, "x" * 5000) for n in range(1, 9)]
    with pytest.raises(BackendFull, match="store"):
        adapter.write(Write("docs_1", big, {DENSE: np.ones((8, 3), np.float32)}))
    adapter.close()
    assert opened().count(Count("docs_1")) == 1


def test_threads_may_hammer_it(kit):
    adapter = kit.open(kit.options(path=":memory:"))
    adapter.create(kit.create())
    start = threading.Barrier(8)

    def work(worker):
        start.wait()
        for step in range(10):
            number = worker * 100 + step
            adapter.write(Write("docs_1", [kit.record(number)], kit.vectors([1, worker, step])))
            assert adapter.fetch(Fetch("docs_1", [kit.identity(number)])).records
            assert adapter.query(Query("docs_1", kit.vectors([1, 1, 1]), Metric.COSINE, 3))[0]
            if step % 2:
                adapter.remove(Remove("docs_1", [kit.identity(number)]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert adapter.count(Count("docs_1")) == 40
    adapter.close()


def test_a_folder_may_be_used_from_other_threads(kit, opened):
    adapter = opened()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(kit.fill, adapter, [kit.record(1)]).result()
    assert adapter.count(Count("docs_1")) == 1


def test_nobody_is_told_that_the_store_is_large(kit, opened, monkeypatch):
    monkeypatch.setattr(LocalCollection, "LARGE_DATA_THRESHOLD", 1)
    monkeypatch.setattr(QdrantLocal, "LARGE_DATA_THRESHOLD", 1)
    monkeypatch.setattr("qdrant_client.common.client_warnings.SEEN_MESSAGES", set())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adapter = opened()
        kit.fill(adapter, [kit.record(n) for n in range(3)])
        adapter.close()
        opened()

"""A cache folder among processes, and what only another process can show: full disks, permissions, forks."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nestvec._caching.disk import Disk

_SCRIPT = """
import os, resource, sys
from pathlib import Path
import numpy as np
from nestvec._cli import main
from nestvec._client import connect
from nestvec.runtime import Runtime
from nestvec_testing.recording import RecordingEmbedder
from nestvec_testing.registry import test_registry
from nestvec.types import Document
import nestvec._caching.cache, nestvec._caching.embedder, nestvec_testing.memory, nestvec_testing.discarding
import concurrent.futures.thread

path = Path(sys.argv[1])
documents = [Document(f"d{i}", f"text number {i}") for i in range(600)]
values = {
    "backends": {"store": {"use": "memory"}},
    "embedders": {"model": {"use": "recording", "cache": {"path": str(path)}}},
    "collections": {"docs": {"dimensions": 64}},
}

def ingest():
    with connect(values, Runtime(test_registry())) as nv:
        nv.apply()
        report = nv["docs"].upsert(documents)
        assert report.documents == 600 and not report.failed
        return report.usage
"""


def run(script: str, path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _SCRIPT + textwrap.dedent(script), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What stands on standard error where logging is not set up."""
    return [line for line in done.stderr.splitlines() if "embedding cache" in line]


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """The system refuses to let files grow."""
    done = run(
        """
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        for _ in range(3):
            usage = ingest()
            assert usage.cached < 600
        """,
        tmp_path / "cache",
    )
    assert len(said(done)) == 1, done.stderr
    assert done.stderr.splitlines() == said(done)


def test_a_database_that_is_cut_off_while_it_is_in_use(tmp_path: Path) -> None:
    """In a process of its own, because what is mapped into memory could end it with a signal."""
    done = run(
        """
        with connect(values, Runtime(test_registry())) as nv:
            texts = [item.text for item in documents]
            rows = nv.embed(texts)
            nv.embed(["this one makes room for SQLite's log"] * 2000)
            os.truncate(path / "cache.db", 4096)
            np.testing.assert_array_equal(nv.embed(texts), rows)
        """,
        tmp_path / "cache",
    )
    assert len(said(done)) <= 1


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may look into."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made) / "cache"


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="permissions work otherwise on this system")
@pytest.mark.parametrize("filled", [True, False])
def test_a_folder_that_can_only_be_read(open_folder: Path, filled: bool) -> None:
    done = run(
        f"""
        path.mkdir()
        if {filled}:
            ingest()
            (path / "cache.db").chmod(0o444)
        path.chmod(0o555)
        block = values["embedders"]["model"]["cache"]
        block["path"] = "/dev/null/cache"
        ingest()  # imports everything: the other user may have no access to it
        block["path"] = sys.argv[1]
        if os.getuid() == 0:
            os.setuid(65534)  # to root nothing is read-only
        for _ in range(2):
            assert ingest().cached == 0
        """,
        open_folder,
    )
    open_folder.chmod(0o755)
    (told,) = [line for line in said(done) if str(open_folder) in line]
    assert "see that it is a folder that can be written to" in told


def test_several_processes_at_once(tmp_path: Path) -> None:
    """They ingest the same documents into one folder: the vectors are those without a cache, and nothing is damaged."""
    script = textwrap.dedent(
        """
        ingest()
        with connect(values, Runtime(test_registry())) as nv:
            rows = nv.embed([item.text for item in documents], task="retrieval.passage")
        plain = RecordingEmbedder()
        from nestvec.contract import Encode, Group
        groups = tuple(Group("", item.text, ((0, len(item.text)),)) for item in documents)
        wanted = np.concatenate(plain.encode(Encode(groups, "retrieval.passage", 64)).vectors)
        np.testing.assert_array_equal(rows, wanted)
        """
    )
    command = [sys.executable, "-c", _SCRIPT + script, str(tmp_path / "cache")]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in running:
        _, told = process.communicate(timeout=120)
        assert (process.returncode, told) == (0, "")
    with closing(sqlite3.connect(tmp_path / "cache" / "cache.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with closing(Disk(tmp_path / "cache", 10_000_000)) as opened:
        assert len(opened) == 600


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_goes_without_what_its_parent_opened(tmp_path: Path) -> None:
    run(
        """
        client = connect(values, Runtime(test_registry()))
        embed = lambda: client.embed(["text"], task="retrieval.passage")
        inner = (embed(), client.embedder("model").inner)[1]
        child = os.fork()
        if child == 0:
            embed()
            client.close()
            os._exit(0 if len(inner.requests) == 2 and ingest().requests else 1)
        assert os.waitpid(child, 0)[1] == 0
        embed()
        assert len(inner.requests) == 1
        client.close()
        assert ingest().cached == 600
        """,
        tmp_path / "cache",
    )

"""The process dies between any two writes; the next run mends it, and meanwhile nothing is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nestvec._client import connect
from nestvec.runtime import Runtime
from nestvec_testing.registry import test_registry

from .victim import corpus

VICTIM = Path(__file__).with_name("victim.py")
SOAK = bool(os.environ.get("NESTVEC_SOAK"))
BACKENDS = {"sqlite": "store.db", "embedded": "store", "qdrant": "store"}


def config(backend: str, folder: Path) -> dict[str, Any]:
    return {
        "backends": {"store": {"use": backend, "path": str(folder / BACKENDS[backend])}},
        "embedders": {"model": {"use": "recording", "batch": 2}},
        "collections": {"docs": {"dimensions": 8, "chunking": {"size": 12}, "fields": {"version": "keyword"}}},
    }


def run(values: dict[str, Any], version: str, death: int = -1) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(VICTIM), json.dumps(values), version, str(death)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def deaths(backend: str, folder: Path) -> range:
    """Every write of a whole replacing run; on the slower backend a sample, unless soaking."""
    values = config(backend, folder)
    assert run(values, "old").returncode == 0
    done = run(values, "new")
    assert done.returncode == 0, done.stderr
    total = int(done.stdout)
    assert total > 4
    return range(0, total, 1 if SOAK or backend == "sqlite" else 3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_killed_replacement_is_mended_by_the_next_run(backend: str, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    for death in deaths(backend, tmp_path / "whole"):
        folder = tmp_path / str(death)
        folder.mkdir()
        values = config(backend, folder)
        assert run(values, "old").returncode == 0
        assert run(values, "new", death).returncode == 9
        with connect(values, Runtime(test_registry())) as client:
            docs = client["docs"]
            for old, new in zip(corpus("old"), corpus("new"), strict=True):
                assert docs.get(old.id) in (old, new), f"killed before write {death}: {old.id} is neither"
            docs.upsert(corpus("new"))
            assert docs.get_many([item.id for item in corpus("new")]) == corpus("new")
            assert docs.count(chunks=True) == 1 + 4 + 5 + 2, f"killed before write {death}: leftovers"
            assert docs.upsert(corpus("new")).embedded == 0


def test_a_killed_first_ingestion_and_deletion_are_finished_by_the_next_run(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = int(run(config("sqlite", tmp_path / "whole"), "gone").stdout)
    for death in range(whole):
        folder = tmp_path / str(death)
        folder.mkdir()
        values = config("sqlite", folder)
        assert run(values, "gone", death).returncode == 9
        with connect(values, Runtime(test_registry())) as client:
            client["docs"].delete([item.id for item in corpus("old")])
            assert client["docs"].count(chunks=True) == 0

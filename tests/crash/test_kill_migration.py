"""The process is killed anywhere in a migration: what was there answers, and the next run finishes it."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nestvec._client import connect
from nestvec._client.sync import Nestvec
from nestvec.types import Document

from .migrant import DIMENSIONS, go, runtime

MIGRANT = Path(__file__).with_name("migrant.py")
#: Kills of each way: five, and a hundred where there is time for them.
KILLS = 100 if os.environ.get("NESTVEC_SOAK") else 5
DOCUMENTS = [
    Document(f"doc-{i}", " ".join(f"word{i:02d}x{j:03d}" for j in range(1 + i % 3)), {"number": i}) for i in range(30)
]
CHUNKS = sum(1 + i % 3 for i in range(30))

#: What the collection becomes, and what stands in `previous`; how it gets there.
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "shrink": ({"embedder": "model", "dimensions": 64}, {}, "shrink"),
    "another model": ({"embedder": "other"}, {"embedder": "model"}, "migrate"),
    "another model elsewhere": (
        {"embedder": "other", "backend": "second"},
        {"embedder": "model", "backend": "first"},
        "migrate",
    ),
    "back": ({"embedder": "other"}, {"embedder": "model"}, "rollback"),
}


def config(folder: Path, way: str, *, before: bool) -> dict[str, Any]:
    """The configuration before the migration, or as it is deployed for it."""
    now, previous, _ = WAYS[way]
    block = {"backend": "first", "dimensions": 32, "chunking": {"size": 10}, "fields": {"number": "integer"}} | now
    if before:
        block |= previous
    elif previous:
        block["previous"] = previous
    return {
        "backends": {
            "first": {"use": "sqlite", "path": str(folder / "first.db")},
            "second": {"use": "qdrant", "path": str(folder / "second")},
        },
        "embedders": {
            "model": {"use": "recording"},
            "other": {"use": "recording", "model": "recording-v4"},
        },
        "collections": {"docs": block},
    }


def fill(folder: Path, way: str) -> None:
    """The collection before; where it is to go back, it went forth already."""
    folder.mkdir()
    with connect(config(folder, way, before=True), runtime()) as client:
        client.apply()
        client["docs"].upsert(DOCUMENTS)
    if WAYS[way][2] == "rollback":
        with connect(config(folder, way, before=False), runtime()) as client:
            client.migrate("docs")
            client["docs"].upsert(DOCUMENTS[0])  # what is written since comes back, too


def started(folder: Path, way: str) -> subprocess.Popen[str]:
    values = config(folder, way, before=False)
    command = [sys.executable, "-u", str(MIGRANT), json.dumps(values), WAYS[way][2]]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def requests(folder: Path, way: str) -> int:
    """How many requests a whole run sends."""
    process = started(folder, way)
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return len(said.splitlines())


def killed(folder: Path, way: str, after: int) -> None:
    """Let it send so many requests, and kill it, wherever it is by then."""
    process = started(folder, way)
    assert process.stdout is not None
    with process:
        for number, _ in enumerate(lines(process), start=1):
            if number == after:
                process.kill()
                break
        process.stdout.read()


def lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    yield from iter(process.stdout.readline, "")


def check(client: Nestvec, moment: str) -> None:
    """Every document is there, once, and found."""
    docs = client["docs"]
    assert docs.count() == len(DOCUMENTS), moment
    assert docs.count(chunks=True) == CHUNKS, moment
    assert docs.get_many([document.id for document in DOCUMENTS]) == DOCUMENTS, moment
    found = docs.search_many([document.text[:10].strip() for document in DOCUMENTS], limit=1)
    assert [hits[0].document_id for hits in found] == [document.id for document in DOCUMENTS], moment


@pytest.mark.parametrize("way", WAYS)
def test_a_killed_migration_is_finished_by_the_next_run(way: str, tmp_path: Path) -> None:
    before, whole = tmp_path / "before", tmp_path / "whole"
    fill(before, way)
    shutil.copytree(before, whole)
    total = requests(whole, way)
    assert total > 20
    for number, after in enumerate(sorted(random.Random(way).choices(range(1, total + 1), k=KILLS))):
        folder = tmp_path / str(number)
        shutil.copytree(before, folder)
        killed(folder, way, after)
        moment = f"killed after request {after} of {total}"
        with connect(config(folder, way, before=False), runtime()) as client:
            check(client, moment)
            go(client, WAYS[way][2])
            check(client, f"{moment}, and run again")
            arrived(client, way, moment)
            assert client["docs"].upsert(DOCUMENTS).embedded == 0


def arrived(client: Nestvec, way: str, moment: str) -> None:
    """One generation is live, in the space and on the backend that were wanted; none is left half-way."""
    roles = [str(each.role) for each in client.generations("docs")]
    assert roles.count("live") == 1, (moment, roles)
    assert "candidate" not in roles, (moment, roles)
    (live,) = (each for each in client.generations("docs") if each.role == "live")
    wanted = {
        "shrink": ("recording-v3", DIMENSIONS, "first"),
        "another model": ("recording-v4", 32, "first"),
        "another model elsewhere": ("recording-v4", 32, "second"),
        "back": ("recording-v3", 32, "first"),
    }
    assert (live.model, live.dimensions, live.backend) == wanted[way], moment

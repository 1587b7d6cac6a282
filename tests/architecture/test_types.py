"""The type checker sees what generators hid: a wrong answer of a backend, and a forgotten await."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .sources import ROOT

RULES = """
from nestvec._collections.opening import OpenCollection
from nestvec.contract import Count, Query, Describe


async def right(collection: OpenCollection) -> int:
    return await collection.backend.count(Count("docs_1"))


async def wrong_answer(collection: OpenCollection) -> str:
    answer: str = await collection.backend.count(Count("docs_1"))
    return answer


async def wrong_request(collection: OpenCollection) -> None:
    await collection.backend.count(Describe("docs_1"))


async def forgotten_await(collection: OpenCollection) -> None:
    collection.backend.count(Count("docs_1"))


async def awaited_never(collection: OpenCollection) -> int:
    return collection.backend.count(Count("docs_1"))
"""


def test_wrong_answers_and_forgotten_awaits_are_type_errors(tmp_path: Path) -> None:
    file = tmp_path / "rules.py"
    file.write_text(RULES)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"), str(file)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    lines = RULES.splitlines()
    found = {}
    for line in told.splitlines():
        if "rules.py:" in line and ": error:" in line:
            number = int(line.split("rules.py:")[1].split(":")[0])
            found[lines[number - 1].strip()] = line.rpartition("[")[2].rstrip("]")
    assert found == {
        'answer: str = await collection.backend.count(Count("docs_1"))': "assignment",
        'await collection.backend.count(Describe("docs_1"))': "arg-type",
        'collection.backend.count(Count("docs_1"))': "unused-coroutine",
        'return collection.backend.count(Count("docs_1"))': "return-value",
    }, told

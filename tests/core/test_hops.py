"""How far a call travels through nestvec: whoever reads the code, or a traceback, walks the same way.

`benchmarks/bench_hops.py` counts, in a process of its own. Where a limit is exceeded, run it with `--visits`: either
the way became longer for nothing, or what is always visited together belongs into one file.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks/bench_hops.py"


@dataclass(frozen=True)
class Limits:
    """The most that a call may take on a warm handle on Qdrant in memory.

    `files` are entered, `moves` made between them, and `frames` of nestvec are on the stack when the vendor's client
    is called. So many lines has a traceback where the collection was `never_created`, or `dropped` by somebody else.
    """

    files: int
    moves: int
    frames: int
    never_created: int
    dropped: int


COUNT = Limits(files=8, moves=16, frames=12, never_created=50, dropped=50)
SEARCH = Limits(files=16, moves=45, frames=12, never_created=50, dropped=50)
UPSERT = Limits(files=18, moves=70, frames=15, never_created=50, dropped=50)
LIMITS = pytest.mark.parametrize(("call", "limits"), [("count", COUNT), ("search", SEARCH), ("upsert", UPSERT)])


@pytest.fixture(scope="module")
def counted() -> Any:
    done = subprocess.run([sys.executable, BENCHMARK, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def numbered(lines: list[str]) -> str:
    return "".join(f"\n{number:4} {line}" for number, line in enumerate(lines, 1))


@LIMITS
def test_a_call_enters_few_files(counted: Any, call: str, limits: Limits) -> None:
    files = counted["calls"][call]["files"]
    assert files, "nothing was followed"
    assert len(files) <= limits.files, f"{call} enters {len(files)} files, more than {limits.files}:{numbered(files)}"


@LIMITS
def test_a_call_moves_seldom_between_files(counted: Any, call: str, limits: Limits) -> None:
    moves, visits = counted["calls"][call]["moves"], counted["calls"][call]["visits"]
    assert moves <= limits.moves, f"{call} moves {moves} times, more than {limits.moves}:{numbered(visits)}"


@LIMITS
def test_few_frames_stand_above_the_vendors_client(counted: Any, call: str, limits: Limits) -> None:
    frames, vendor = counted["calls"][call]["frames"], counted["calls"][call]["vendor"]
    assert frames, f"{call} never called the vendor's client"
    message = f"{call} calls {vendor} below {len(frames)} frames, more than {limits.frames}:{numbered(frames)}"
    assert len(frames) <= limits.frames, message


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="later Pythons print whole expressions, which take more lines")
@LIMITS
def test_a_missing_collection_prints_few_lines(counted: Any, call: str, limits: Limits) -> None:
    lines = counted["never_created"][call], counted["dropped"][call]
    assert lines[0] <= limits.never_created, f"{call} on a collection that was never created prints {lines[0]} lines"
    assert lines[1] <= limits.dropped, f"{call} on a collection that was dropped prints {lines[1]} lines"

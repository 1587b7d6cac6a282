"""What starting costs: importing, connecting, being ready, and commands. Fresh processes, interleaved, medians.

Libraries are measured in CPU milliseconds beyond the interpreter's start, commands by the clock. Bytecode is cached, as
it is for what pip installed: the first round writes it and does not count. "Ready" is a client of which the backend and
the embedder are open, with all that a first search imports; no server is asked. Beside it stands what its vendors cost
alone: their libraries imported, and their clients made.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nestvec

EMBEDDED = """
[backends.store]
use = "{backend}"
path = "{backend}.store"
[embedders.model]
use = "e5"
[collections.docs]
"""
SERVERS = """
[backends.store]
use = "qdrant"
url = "http://127.0.0.1:6333"
[embedders.model]
use = "jina"
api_key = { env = "BENCH_KEY" }
[collections.docs]
"""
READY = """
import nestvec
nv = nestvec.connect('servers.toml')
nv.adapter('store'), nv.embedder('model'), nv['docs']
import nestvec._documents.search
"""
#: What is measured in CPU time: a statement by name.
PROGRAMS = {
    "import numpy": "import numpy",
    "import nestvec": "import nestvec",
    "pydantic's first model": "import pydantic; type('M', (pydantic.BaseModel,), {'__annotations__': {'x': int}})",
    "connect, embedded": "import nestvec; nestvec.connect('embedded.toml')",
    "connect, servers": "import nestvec; nestvec.connect('servers.toml')",
    "import qdrant_client, httpx": "import qdrant_client, httpx",
    "the same, clients made": "import qdrant_client, httpx; httpx.Client(); "
    "qdrant_client.QdrantClient('http://127.0.0.1:6333', check_compatibility=False)",
    "ready, servers": READY,
}
#: What is measured by the clock: a command's arguments by name.
COMMANDS = {
    "nestvec --help": ["--help"],
    "nestvec plugins": ["plugins"],
    "nestvec search": ["-c", "embedded.toml", "search", "docs", "How many days of vacation?"],
}
#: One by the other, and what is wanted.
RATIOS = {
    "import nestvec / numpy": ("import nestvec", "import numpy"),
    "connect, embedded / pydantic's first model": ("connect, embedded", "pydantic's first model"),
    "ready / vendors imported": ("ready, servers", "import qdrant_client, httpx"),
    "ready / vendors' clients made": ("ready, servers", "the same, clients made"),
}
TIMED = "import time; s = time.process_time()\n{}\nprint('\\n', (time.process_time() - s) * 1e3)"


def environment() -> dict[str, str]:
    """Of the processes: with bytecode, and a key that nobody is asked for."""
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "BENCH_KEY": "unused"}


def run(arguments: list[str], folder: Path) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environment()).stdout


def cpu(statement: str, folder: Path) -> float:
    """CPU milliseconds of a statement in a process of its own."""
    return float(run(["-c", TIMED.format(statement)], folder).split()[-1])


def clock(arguments: list[str], folder: Path) -> float:
    """Milliseconds of a command, with the interpreter's start."""
    begun = time.perf_counter()
    run(["-m", "nestvec", *arguments], folder)
    return (time.perf_counter() - begun) * 1e3


def prepare(folder: Path, backend: str, documents: int) -> None:
    """The configurations, and a store of this many documents."""
    (folder / "embedded.toml").write_text(EMBEDDED.format(backend=backend), "utf-8")
    (folder / "servers.toml").write_text(SERVERS, "utf-8")
    texts = (f"Paragraph {number} of the rules on vacation, travel and remote work." for number in range(documents))
    with nestvec.connect(folder / "embedded.toml") as nv:
        nv.apply()
        nv["docs"].upsert(nestvec.Document(f"d{number}", text) for number, text in enumerate(texts))


def measure(folder: Path, rounds: int) -> dict[str, list[float]]:
    """All cases, one after the other, round after round."""
    cases: dict[str, Callable[[], float]] = {
        **{name: lambda statement=statement: cpu(statement, folder) for name, statement in PROGRAMS.items()},
        **{name: lambda arguments=arguments: clock(arguments, folder) for name, arguments in COMMANDS.items()},
    }
    found: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, case in cases.items():
            taken = case()
            if number:  # the first round writes bytecode
                found[name].append(taken)
    return found


def main() -> None:
    """Print a table of medians, and ratios of what was measured in the same round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--backend", default="sqlite", help="an embedded one: sqlite (of the tests) or qdrant")
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), options.backend, options.documents)
        found = measure(Path(folder), options.rounds)
    medians = {name: round(statistics.median(taken), 1) for name, taken in found.items()}
    ratios = {
        name: round(statistics.median(a / b for a, b in zip(found[one], found[other], strict=True)), 3)
        for name, (one, other) in RATIOS.items()
    }
    if options.json:
        print(json.dumps({"ms": medians, "ratios": ratios}))
        return
    for name, value in medians.items():
        print(f"{name:44} {value:8.1f} ms{' by the clock' if name in COMMANDS else ''}")
    for name, value in ratios.items():
        print(f"{name:44} {value:8.3f}")


if __name__ == "__main__":
    main()

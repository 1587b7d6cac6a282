"""What the embedded default holds: filling a folder, opening it, searching it, and the memory that it takes.

Each size is filled by one process and read by another one, as a program is that starts anew. Vectors are random and
given with the documents, so that embedding costs nothing; each search asks another question.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

DIMENSIONS = 384
SEARCHES = 40
BATCH = 512


def configuration(folder: str, use: str) -> dict[str, Any]:
    """One collection of vectors that come from elsewhere."""
    fields = {"lang": "keyword", "year": "integer", "price": "float", "open": "boolean", "tags": "keyword[]"}
    docs = {"embedder": "none", "model": "random", "dimensions": DIMENSIONS, "fields": fields}
    return {"backends": {"store": {"use": use, "path": folder}}, "collections": {"docs": docs}}


def documents(count: int) -> Iterator[Any]:
    """Texts of 300 characters, five fields and random vectors."""
    import numpy as np

    from nestvec import Document

    generator = np.random.default_rng(0)
    for start in range(0, count, 10_000):
        for number, vector in enumerate(vectors(generator, min(10_000, count - start)), start):
            metadata = {
                "lang": f"l{number % 10}",
                "year": 1950 + number % 75,
                "price": number * 0.25,
                "open": number % 2 == 0,
                "tags": [f"t{number % 7}", f"u{number % 11}"],
            }
            yield Document(f"doc-{number}", f"Document {number} speaks of this and that. " * 8, metadata, vector=vector)


def vectors(generator: Any, count: int) -> Any:
    """Random vectors of length 1."""
    import numpy as np

    rows = generator.standard_normal((count, DIMENSIONS)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def fill(folder: str, use: str, count: int) -> dict[str, float]:
    """Ingest through nestvec; another thread sees how long it is kept waiting."""
    import nestvec

    with nestvec.connect(configuration(folder, use)) as nv:
        nv.apply()
        given = list(documents(count))
        with Ticker() as ticker:
            start, cpu = time.perf_counter(), time.process_time()
            for first in range(0, count, 20_000):
                nv["docs"].upsert(given[first : first + 20_000])
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    disk = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return {
        "ingest, ms a document": seconds / count * 1000,
        "ingest, CPU ms a document": cpu / count * 1000,
        "stall of another thread, ms": ticker.longest * 1000,
        "disk, MB": disk / 1e6,
    }


def read(folder: str, use: str) -> dict[str, float]:
    """Open and search, in a process that has done nothing before."""
    import numpy as np

    import nestvec
    from nestvec import F

    questions = vectors(np.random.default_rng(1), 2 * SEARCHES + 64)
    before = resident()
    start = time.perf_counter()
    with nestvec.connect(configuration(folder, use)) as nv:
        docs = nv["docs"]
        found = docs.count()
        opened = time.perf_counter() - start
        start = time.perf_counter()
        docs.search(vector=questions[0])
        first = time.perf_counter() - start
        keyword = [F.lang == f"l{number % 10}" for number in range(SEARCHES)]
        years = [(F.year >= 1950 + number) & (F.year < 1955 + number) for number in range(SEARCHES)]
        result = {
            "documents": found,
            "open and count, s": opened,
            "first search, ms": first * 1000,
            "search, ms": p50(lambda i: docs.search(vector=questions[i])),
            "keyword, a tenth, ms": p50(lambda i: docs.search(vector=questions[i], where=keyword[i])),
            "range, a fifteenth, ms": p50(lambda i: docs.search(vector=questions[i], where=years[i])),
            "half of all, first time, ms": timed(lambda: docs.search(vector=questions[0], where=F.open == True)),  # noqa: E712
            "memory added, MB": resident() - before,
            "64 at once, ms each": timed(lambda: docs.search_vectors(questions[-64:])) / 64,
        }
    result["memory at most, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return result


def timed(work: Callable[[], Any]) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def p50(work: Callable[[int], Any]) -> float:
    """The median of many, in milliseconds."""
    return statistics.median(timed(partial(work, number)) for number in range(SEARCHES))


def resident() -> float:
    """Memory of this process that is in use now, in MB; mapped files that were read are part of it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if sys.platform == "linux" else 0
    return pages * resource.getpagesize() / 1e6


class Ticker:
    """A thread that wants to run each millisecond; `longest` is what it was kept from at most, in seconds."""

    def __enter__(self) -> Ticker:
        self.longest, self._done = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._tick)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _tick(self) -> None:
        last = time.perf_counter()
        while not self._done.wait(0.001):
            now = time.perf_counter()
            self.longest, last = max(self.longest, now - last), now


def measured(count: int, use: str) -> dict[str, float]:
    """Both parts, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        result: dict[str, float] = {}
        for part in ("fill", "read"):
            command = [sys.executable, __file__, "--part", part, "--folder", f"{folder}/store", "--use", use]
            done = subprocess.run([*command, "--documents", str(count)], check=True, capture_output=True, text=True)
            result |= json.loads(done.stdout)
        return result


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--use", default="embedded", help="the backend: embedded, or another one with a path")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--part", choices=("fill", "read"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        count = options.documents[0]
        part = fill(options.folder, options.use, count) if options.part == "fill" else read(options.folder, options.use)
        print(json.dumps(part))
        return
    results = [measured(count, options.use) for count in options.documents]
    if options.json:
        print(json.dumps(results))
        return
    for name in results[0]:
        print(f"{name:32}" + "".join(f"{result[name]:>14,.2f}" for result in results))


if __name__ == "__main__":
    main()

"""A search from coarse to fine against a plain one: an embedded engine, both collections in the same run.

Embedded Qdrant and Milvus Lite are pure Python and compare everything with numpy, so what is measured here is what the
stages cost *there*; it says nothing about a server, whose long vectors are on disk and whose index is approximate.
"""

from __future__ import annotations

import argparse
import statistics
from time import perf_counter

import numpy as np

from nestvec._client import connect
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.registry import test_registry

FULL = 1024


def main() -> None:
    """Fill both, ask both the same questions in turn, and compare times and answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("qdrant", "milvus"), default="qdrant")
    parser.add_argument("--records", type=int, default=5000)
    parser.add_argument("--questions", type=int, default=40)
    asked = parser.parse_args()
    values = {
        "backends": {"store": {"use": asked.backend, "path": ":memory:"}},
        "embedders": {"model": {"use": "recording", "dimensions": FULL}},
        "collections": {"plain": {}, "funnel": {"funnel": [64, 256]}},
    }
    with connect(values, Runtime(test_registry())) as nv:
        nv.apply()
        documents = [Document(f"d{i}", f"record {i} of {i % 97} and {i % 89}") for i in range(asked.records)]
        for name in values["collections"]:
            nv[name].upsert(documents)
        questions = nv["plain"].embed([f"record of {i % 97} and {i % 89}" for i in range(asked.questions)])
        times: dict[str, list[float]] = {"plain": [], "funnel": []}
        shared = 0
        for row in questions:
            found = {}
            for name, spent in times.items():
                start = perf_counter()
                found[name] = {hit.id for hit in nv[name].search_vector(row, limit=10)}
                spent.append(perf_counter() - start)
            shared += len(found["plain"] & found["funnel"])
    plain, funnel = (statistics.median(times[name]) * 1e3 for name in ("plain", "funnel"))
    shape = f"{asked.backend}, {asked.records:,} records of {FULL} dimensions"
    print(f"{shape}: plain {plain:.1f} ms, funnel [64, 256] {funnel:.1f} ms")
    print(f"ratio {funnel / plain:.2f}; {shared / np.prod((asked.questions, 10)):.1%} of the ten best are the same")


if __name__ == "__main__":
    main()

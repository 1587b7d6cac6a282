"""What a search through nestvec adds to the raw client's: Qdrant over REST, against a server that answers at once.

Both ask with the same vector for ten points with payload, in turn, and what is printed are differences and ratios of
one run. `benchmarks/null_qdrant.py` is the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from null_qdrant import NullQdrant
from qdrant_client import AsyncQdrantClient, QdrantClient, models

import nestvec
from nestvec import F
from nestvec.runtime import Runtime
from nestvec_testing.registry import test_registry

SIZE = 256
VALUES: dict[str, Any] = {
    "embedders": {"m": {"use": "recording", "dimensions": SIZE}},
    "collections": {"docs": {"fields": {"lang": "keyword", "year": "integer"}}},
}
OURS = (F.lang == "de") & (F.year >= 2000)
RAW = models.Filter(
    must=[
        models.FieldCondition(key="metadata.lang", match=models.MatchValue(value="de")),
        models.FieldCondition(key="metadata.year", range=models.Range(gte=2000)),
    ]
)


def runtime() -> Runtime:
    """A lease that does not end meanwhile."""
    return Runtime(test_registry(), lease=3600)


def compared(raw: Callable[[], Any], ours: Callable[[], Any], rounds: int) -> dict[str, float]:
    """Milliseconds at p50 and p99, in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for work, seen in zip((raw, ours), times, strict=True):
            start = time.perf_counter()
            work()
            seen.append((time.perf_counter() - start) * 1000)
    (one, two), (high, higher) = [[np.percentile(seen, part) for seen in times] for part in (50, 99)]
    return {"raw": one, "added p50": two - one, "ratio p50": two / one, "ratio p99": higher / high}


def called(url: str, questions: Any, rounds: int) -> dict[str, dict[str, float]]:
    """The synchronous clients."""
    values = {**VALUES, "backends": {"q": {"use": "qdrant", "url": url}}}
    client = QdrantClient(url=url, check_compatibility=False)
    batch = [models.QueryRequest(query=row.tolist(), using="dense", limit=10, with_payload=True) for row in questions]
    with nestvec.connect(values, runtime()) as nv:
        docs = nv["docs"]
        row = questions[0]
        query = partial(client.query_points, "docs_1", using="dense", limit=10, with_payload=True)
        return {
            "called": compared(lambda: query(row.tolist()), lambda: docs.search_vector(row), rounds),
            "called, filter": compared(
                lambda: query(row.tolist(), query_filter=RAW), lambda: docs.search_vector(row, where=OURS), rounds
            ),
            "called, 64 at once": compared(
                lambda: client.query_batch_points("docs_1", batch),
                lambda: docs.search_vectors(questions),
                max(rounds // 20, 5),
            ),
        }


async def awaited(url: str, questions: Any, rounds: int) -> dict[str, dict[str, float]]:
    """The asynchronous clients."""
    values = {**VALUES, "backends": {"q": {"use": "qdrant", "url": url}}}
    client = AsyncQdrantClient(url=url, check_compatibility=False)
    row = questions[0]
    async with nestvec.aconnect(values, runtime()) as nv:
        docs = nv["docs"]
        result = {}
        for name, raw_filter, our_filter in (("awaited", None, None), ("awaited, filter", RAW, OURS)):
            times: tuple[list[float], list[float]] = ([], [])
            for _ in range(rounds):
                start = time.perf_counter()
                await client.query_points(
                    "docs_1", row.tolist(), using="dense", limit=10, with_payload=True, query_filter=raw_filter
                )
                middle = time.perf_counter()
                await docs.search_vector(row, where=our_filter)
                times[0].append((middle - start) * 1000)
                times[1].append((time.perf_counter() - middle) * 1000)
            (one, two), (high, higher) = [[np.percentile(seen, part) for seen in times] for part in (50, 99)]
            result[name] = {"raw": one, "added p50": two - one, "ratio p50": two / one, "ratio p99": higher / high}
    await client.close()
    return result


def main() -> None:
    """Print the table: medians over several runs of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=600)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    questions = np.random.default_rng(0).standard_normal((64, SIZE)).astype(np.float32)
    questions /= np.linalg.norm(questions, axis=1, keepdims=True)
    runs = []
    with NullQdrant(VALUES, runtime()) as server:
        for _ in range(options.runs):
            found = called(server.url, questions, options.rounds)
            runs.append(found | asyncio.run(awaited(server.url, questions, options.rounds)))
    result = {
        name: {key: statistics.median(float(run[name][key]) for run in runs) for key in runs[0][name]}
        for name in runs[0]
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"{'':20}" + "".join(f"{key:>12}" for key in result["called"]))
    for name, row in result.items():
        print(f"{name:20}" + "".join(f"{value:12.3f}" for value in row.values()))


if __name__ == "__main__":
    main()

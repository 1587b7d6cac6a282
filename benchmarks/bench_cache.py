"""What a cached vector costs, against computing it again: 256 texts at a time, out of a cache that holds many more.

Computing is asked for with `fresh`, so both go through the same client in the same run, one after the other. The real
embedded model computes on this machine; the embeddings API is a server of its own process that answers after 150 ms.
Then a corpus is ingested into fresh collections (of a backend that discards): without a cache, with an empty one, and
with a full one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from bench_embedding import server, timed

from nestvec._client import connect
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.registry import test_registry

BATCH = 256


def texts(count: int) -> list[str]:
    """Of about 150 characters."""
    return [
        f"Text {i} says what the river, the stones and the winter of year {i % 97} have in common. " * 2
        for i in range(count)
    ]


def values(embedder: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A configuration with a cache."""
    return {
        "backends": {"none": {"use": "discarding"}},
        "embedders": {"model": {**embedder, "cache": {"path": str(folder)}}},
        "collections": {"docs": {}},
    }


def hits(name: str, embedder: dict[str, Any], task: str, kept: int, rounds: int) -> None:
    """256 texts: computed, and found in a cache of `kept` vectors."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "cache"
        with connect(values(embedder, folder), Runtime(test_registry())) as nv:
            batch, others = texts(BATCH), texts(kept)[BATCH:]
            for start in range(0, len(others), BATCH):
                nv.embed(others[start : start + BATCH], task=task)
            nv.embed(batch, task=task)
            computed = [timed(lambda: nv.embed(batch, task=task, fresh=True)) for _ in range(rounds)]
            found = [timed(lambda: nv.embed(batch, task=task)) for _ in range(5 * rounds)]
        slow, fast = statistics.median(computed), statistics.median(found)
        print(f"{name}: computed {slow * 1e3:,.0f} ms, found {fast * 1e3:.1f} ms: {slow / fast:,.0f} times as fast")


def ingestion(embedder: dict[str, Any], count: int) -> None:
    """The same corpus, twice."""
    documents = [Document(f"d{i}", text) for i, text in enumerate(texts(count))]
    with tempfile.TemporaryDirectory() as made:
        seconds = []
        for _ in range(2):
            with connect(values(embedder, Path(made) / "cache"), Runtime(test_registry())) as nv:
                nv.apply()
                seconds.append(timed(lambda docs=nv["docs"]: docs.upsert(documents)))
        size = sum(file.stat().st_size for file in (Path(made) / "cache").iterdir())
    with connect({**values(embedder, Path("/")), "embedders": {"model": embedder}}, Runtime(test_registry())) as nv:
        nv.apply()
        plain = timed(lambda: nv["docs"].upsert(documents))
    print(
        f"ingest {count:,} texts: without a cache {plain:.2f} s, with an empty one {seconds[0]:.2f} s, "
        f"with a full one {seconds[1]:.2f} s; {size / count:,.0f} bytes a vector"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kept", type=int, default=10_000)
    parser.add_argument("--texts", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    os.environ["NESTVEC_BENCH_KEY"] = "jina_bench"
    hits("e5, 384 numbers", {"use": "e5"}, "retrieval.passage", BATCH, 1)
    with server() as url:
        api = {
            "use": "jina",
            "base_url": url,
            "api_key": {"env": "NESTVEC_BENCH_KEY"},
            "requests_per_minute": 0,
            "tokens_per_minute": 0,
        }
        hits("API, 1,024 numbers", api, "retrieval.passage", arguments.kept, arguments.rounds)
        ingestion(api, arguments.texts)


if __name__ == "__main__":
    main()

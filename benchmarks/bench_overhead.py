"""What nestvec costs on top of the raw Qdrant client: ingest and search, precomputed vectors, interleaved.

Both sides write the same points (vector, text, metadata) into an in-memory Qdrant, in batches of 64, and search with
the same vectors. nestvec also splits, hashes, looks up what is stored and computes ids.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models

from nestvec._client import Nestvec, connect
from nestvec.contract import Embedder, Encode, Encoded
from nestvec.encoding.vectors import normalize
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.registry import test_registry

BATCH = 64


class Precomputed(Embedder):
    """Looks vectors up by their text: embedding costs nothing."""

    def __init__(self, vectors: dict[str, np.ndarray]) -> None:
        self._vectors = vectors

    def encode(self, request: Encode) -> Encoded:
        """Vectors by text."""
        return Encoded(tuple(np.stack([self._vectors[text] for text in group.texts()]) for group in request.groups))


class Side:
    """One way of doing the work; each call gives its seconds."""

    def __init__(self, texts: list[str], vectors: np.ndarray, queries: np.ndarray) -> None:
        self.texts, self.vectors, self.queries = texts, vectors, queries

    def timed(self, work: Callable[[], Any]) -> float:
        """Seconds that the work takes."""
        start = time.perf_counter()
        work()
        return time.perf_counter() - start


class Raw(Side):
    """qdrant-client as its documentation shows it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.client = QdrantClient(":memory:")
        size = self.vectors.shape[1]
        self.client.create_collection(
            "docs", {"dense": models.VectorParams(size=size, distance=models.Distance.COSINE)}
        )

    def ingest(self) -> None:
        """Upsert in batches."""
        for start in range(0, len(self.texts), BATCH):
            points = [
                models.PointStruct(
                    id=str(uuid.uuid5(uuid.NAMESPACE_URL, str(i))),
                    vector={"dense": self.vectors[i].tolist()},
                    payload={"document_id": str(i), "text": self.texts[i], "metadata": {"n": i}},
                )
                for i in range(start, min(start + BATCH, len(self.texts)))
            ]
            self.client.upsert("docs", points, wait=True)

    def search(self) -> None:
        """One query at a time."""
        for query in self.queries:
            self.client.query_points("docs", query=query.tolist(), using="dense", limit=10)


class Ours(Side):
    """The same through nestvec."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        size = self.vectors.shape[1]
        values = {
            "backends": {"q": {"use": "qdrant", "path": ":memory:"}},
            "embedders": {"m": {"use": "recording", "dimensions": size, "batch": BATCH}},
            "collections": {"docs": {"fields": {"n": "integer"}}},
        }
        self.client: Nestvec = connect(values, Runtime(test_registry()))
        self.client.apply()
        known = dict(zip(self.texts, self.vectors, strict=True))
        self.client._connections.embedders.put("m", Precomputed(known))  # noqa: SLF001 - the benchmark replaces the model

    def ingest(self) -> None:
        """Upsert documents."""
        self.client["docs"].upsert(Document(str(i), text, {"n": i}) for i, text in enumerate(self.texts))

    def again(self) -> None:
        """Upsert the same documents once more: nothing changed."""
        self.ingest()

    def search(self) -> None:
        """One query at a time."""
        for query in self.queries:
            self.client["docs"].search_vector(query)


def measure(count: int, size: int, rounds: int) -> dict[str, Any]:
    """Ratios ours / raw, round by round."""
    generator = np.random.default_rng(0)
    texts = [f"Document number {i} speaks of {i % 97} things. " * 4 for i in range(count)]
    vectors = normalize(generator.standard_normal((count, size)).astype(np.float32))  # as embedders give them
    queries = normalize(generator.standard_normal((100, size)).astype(np.float32))
    rows: dict[str, list[float]] = {"ingest": [], "search": [], "unchanged": []}
    for _ in range(rounds):
        raw, ours = Raw(texts, vectors, queries), Ours(texts, vectors, queries)
        base = raw.timed(raw.ingest)
        rows["ingest"].append(ours.timed(ours.ingest) / base)
        rows["unchanged"].append(ours.timed(ours.again) / base)
        rows["search"].append(ours.timed(ours.search) / raw.timed(raw.search))
    ratios = {name: statistics.median(values) for name, values in rows.items()}
    return {"documents": count, "dimensions": size, "rounds": rounds, "ratio_to_raw_client": ratios}


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = [measure(options.documents, size, options.rounds) for size in (128, 1024)]
    if options.json:
        print(json.dumps(results))
        return
    for result in results:
        print(
            f"{result['documents']} documents, {result['dimensions']} dimensions, median of {result['rounds']} rounds:"
        )
        for name, ratio in result["ratio_to_raw_client"].items():
            print(f"  {name:10} {ratio:5.2f} × raw client")


if __name__ == "__main__":
    main()

"""Ingesting into a real Milvus server with its default settings: nestvec beside the raw client's plain loop.

Vectors are looked up, so embedding costs nothing. The raw client upserts what nestvec stores (id, vector, text,
metadata) in batches of 256. Both write into new collections, in turn. nestvec looks up what is stored before it writes,
and what is there afterwards; each of these reads waits for the server's clock, some 0.2 to 0.4 seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient

from nestvec import Document, connect
from nestvec.contract import Embedder, Encode, Encoded
from nestvec.runtime import Runtime
from nestvec_milvus.testing.server import MilvusServer
from nestvec_testing.registry import test_registry

BATCH = 256


class Ready(Embedder):
    """Hands out rows of one array."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def encode(self, request: Encode) -> Encoded:
        """A row for each text."""
        return Encoded(tuple(self._rows[: len(group.spans)] for group in request.groups))


def text(number: int) -> str:
    """300 characters."""
    return f"Document {number} speaks of this and that. " * 8


def raw(uri: str, name: str, rows: Any, count: int) -> float:
    """Seconds of the plain loop."""
    client = MilvusClient(uri)
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=rows.shape[1])
    schema.add_field("text", DataType.VARCHAR, max_length=65535)
    schema.add_field("metadata", DataType.JSON)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="COSINE")
    client.create_collection(name, schema=schema, index_params=index)
    start = time.perf_counter()
    for first in range(0, count, BATCH):
        client.upsert(
            name,
            [
                {
                    "id": str(uuid.uuid5(uuid.NAMESPACE_URL, str(i))),
                    "vector": rows[i % len(rows)],
                    "text": text(i),
                    "metadata": {"document_id": f"doc-{i}", "lang": "de", "year": 2000 + i % 20},
                }
                for i in range(first, min(first + BATCH, count))
            ],
        )
    seconds = time.perf_counter() - start
    client.drop_collection(name)
    client.close()
    return seconds


def ours(uri: str, name: str, rows: Any, count: int) -> float:
    """Seconds of `upsert`, without waiting for the index."""
    values = {
        "backends": {"m": {"use": "milvus", "uri": uri}},
        "embedders": {"e": {"use": "recording", "dimensions": rows.shape[1], "batch": BATCH}},
        "collections": {name: {"fields": {"lang": "keyword", "year": "integer"}}},
    }
    given = [Document(f"doc-{i}", text(i), {"lang": "de", "year": 2000 + i % 20}) for i in range(count)]
    with connect(values, Runtime(test_registry())) as nv:
        nv.apply()
        nv._connections.embedders.put("e", Ready(rows))  # noqa: SLF001 - the benchmark replaces the model
        start = time.perf_counter()
        nv[name].upsert(given, settle=0)
        seconds = time.perf_counter() - start
        nv.drop(name)
    return seconds


def main() -> None:
    """Print ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder, MilvusServer(Path(folder), hasten=False) as server:
        for size in options.dimensions:
            rows = np.random.default_rng(0).standard_normal((1024, size)).astype(np.float32)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            times = [
                (
                    raw(server.uri, f"raw_{size}_{i}", rows, options.documents),
                    ours(server.uri, f"ours{size}x{i}", rows, options.documents),
                )
                for i in range(options.rounds)
            ]
            result[str(size)] = {
                "raw, ms a document": statistics.median(one for one, _ in times) / options.documents * 1000,
                "nestvec, ms a document": statistics.median(two for _, two in times) / options.documents * 1000,
                "ratio": statistics.median(two / one for one, two in times),
            }
    if options.json:
        print(json.dumps(result))
        return
    for size, row in result.items():
        print(f"{size} dimensions: " + ", ".join(f"{name} {value:.2f}" for name, value in row.items()))


if __name__ == "__main__":
    main()

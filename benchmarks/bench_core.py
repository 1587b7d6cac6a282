"""What the core itself does for a document: microseconds of CPU from `upsert` to the adapter, by step and in all.

One-chunk documents with two declared fields, vectors that are looked up, and an adapter that keeps nothing or keeps
records in a dictionary. Steps are timed apart, on the same documents.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from nestvec import Document, connect
from nestvec._chunking import Splitter
from nestvec._documents.layout import Head, head_id, make_record, record_id
from nestvec._documents.upsert import IncomingDocument, prepare
from nestvec.contract import Embedder, Encode, Encoded
from nestvec.runtime import Runtime
from nestvec_testing.registry import test_registry

SIZE = 64


class Ready(Embedder):
    """Hands out rows of one array: embedding costs next to nothing."""

    rows = np.full((4096, SIZE), 0.125, np.float32)

    def encode(self, request: Encode) -> Encoded:
        """As many rows as there are texts."""
        return Encoded(tuple(self.rows[: len(group.spans)] for group in request.groups))


def documents(count: int) -> list[Document]:
    """Texts of 300 characters."""
    return [
        Document(f"doc-{i}", f"Document {i} speaks of this and that. " * 8, {"lang": "de", "year": 2000 + i % 20})
        for i in range(count)
    ]


def values(backend: dict[str, Any]) -> dict[str, Any]:
    """One collection."""
    return {
        "backends": {"b": backend},
        "embedders": {"m": {"use": "recording", "dimensions": SIZE, "batch": 256}},
        "collections": {"docs": {"fields": {"lang": "keyword", "year": "integer"}}},
    }


def micros(work: Callable[[], Any], count: int, rounds: int) -> float:
    """CPU time for each document, the median of some rounds."""
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        taken.append((time.process_time() - start) / count * 1e6)
    return statistics.median(taken)


def steps(given: list[Document], rounds: int) -> dict[str, float]:
    """The parts that are functions of their own."""
    with connect(values({"use": "memory"}), Runtime(test_registry())) as nv:
        spec = nv.config.collections["docs"]
    splitter, incoming, count = Splitter(spec.chunking), [IncomingDocument(each) for each in given], len(given)
    prepared, _ = prepare(spec, splitter, incoming)

    def ids() -> None:
        record_id.cache_clear()
        for item in prepared:
            head_id(None, item.id)

    def records() -> None:
        for item in prepared:
            head = Head("r", 1, item.document_hash, item.metadata_hash, item.layout)
            make_record(
                tenant=None, document_id=item.id, chunk=0, span=item.spans[0], text=item.text,
                text_hash=item.hashes[0], metadata=item.metadata, head=head, store_text=True,
            )  # fmt: skip

    return {
        "prepare": micros(lambda: prepare(spec, splitter, incoming), count, rounds),
        "ids": micros(ids, count, rounds),
        "records": micros(records, count, rounds),
    }


def whole(given: list[Document], rounds: int) -> dict[str, float]:
    """Through `upsert`: new documents, and the same ones again."""
    taken: dict[str, list[float]] = {"all, nothing kept": [], "all, kept in memory": [], "unchanged": []}
    for number in range(rounds):
        for name, backend in (("all, nothing kept", {"use": "discarding"}), ("all, kept in memory", {"use": "memory"})):
            place = {**backend, **({"store": f"bench-core-{number}"} if backend["use"] == "memory" else {})}
            with connect(values(place), Runtime(test_registry())) as nv:
                nv.apply()
                nv._connections.embedders.put("m", Ready())  # noqa: SLF001 - the benchmark replaces the model
                taken[name].append(micros(lambda nv=nv: nv["docs"].upsert(given), len(given), 1))
                if backend["use"] == "memory":
                    taken["unchanged"].append(micros(lambda nv=nv: nv["docs"].upsert(given), len(given), 1))
    return {name: statistics.median(each) for name, each in taken.items()}


def main() -> None:
    """Print microseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    given = documents(options.documents)
    result = steps(given, options.rounds) | whole(given, options.rounds)
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:24} {value:8.1f} µs a document")


if __name__ == "__main__":
    main()

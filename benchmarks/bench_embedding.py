"""What the embeddings API embedder makes of its quota and latency: against a hand-written pipeline in the same run.

A server of its own process answers after 150 ms, whatever it is asked. "ideal" is httpx with 8 requests of 256 texts in
flight, decoding with the standard library and storing nothing; nestvec does the same and ingests: splits, hashes, looks
up, writes (to a backend that discards), with its default of 10 in flight. Late chunking: documents of three chunks, one
request each, against the same loop. Decoding: a reply of 1,000 × 1,024 against `json.loads` and
`np.frombuffer(b64decode(…))`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import numpy as np

from nestvec._client import connect
from nestvec.embedders.jina.wire import decode
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.registry import test_registry

LATENCY, FLIGHT, BATCH, SIZE = 0.15, 8, 256, 1024
#: Requests in flight unless configured otherwise.
DEFAULT = 10
_SERVER = """
import sys
from nestvec_testing.emulators.jina import JinaEmulator
emulator = JinaEmulator(latency=float(sys.argv[1]), vectors="constant", keys=None)
emulator.journal.keep = 10
emulator.start()
print(emulator.base_url, flush=True)
sys.stdin.read()
emulator.close()
"""


@contextmanager
def server() -> Iterator[str]:
    """The address of an emulated API in another process."""
    command = [sys.executable, "-c", _SERVER, str(LATENCY)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.wait(10)


async def ideal(url: str, parts: list[list[str]], flight: int) -> None:
    """The least that anybody can do: requests in flight, decoded, nothing stored."""
    gate = asyncio.Semaphore(flight)

    async def one(client: httpx.AsyncClient, part: list[str]) -> np.ndarray:
        body = {"model": "jina-embeddings-v3", "input": part, "dimensions": SIZE, "embedding_type": "base64"}
        async with gate:
            reply = (await client.post(f"{url}/embeddings", json=body)).json()
        return np.stack([np.frombuffer(base64.b64decode(item["embedding"]), "<f4") for item in reply["data"]])

    async with httpx.AsyncClient(timeout=60) as client:
        await asyncio.gather(*(one(client, part) for part in parts))


def timed(work: Callable[[], object]) -> float:
    """Seconds that the work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ingest(url: str, documents: list[Document], *, late: bool) -> tuple[float, float]:
    """Seconds to ingest with nothing tuned but the quota, which is none; and those of the first document before.

    The first document of a new collection brings the requests by which hosts are compared.
    """
    values = {
        "backends": {"none": {"use": "discarding"}},
        "embedders": {
            "api": {
                "use": "jina",
                "base_url": url,
                "api_key": {"env": "NESTVEC_BENCH_KEY"},
                "requests_per_minute": 0,
                "tokens_per_minute": 0,
            }
        },
        "collections": {"docs": {"late_chunking": late, "chunking": {"size": 120}}},
    }
    with connect(values, Runtime(test_registry())) as nv:
        nv.apply()
        first = timed(lambda: nv["docs"].upsert(documents[0]))
        return timed(lambda: nv["docs"].upsert(documents[1:])), first


def decoding() -> float:
    """How many times the plain decoding ours takes."""
    rows = np.random.default_rng(1).standard_normal((1000, SIZE)).astype("<f4")
    data = [{"index": i, "embedding": base64.b64encode(row.tobytes()).decode()} for i, row in enumerate(rows)]
    content = json.dumps({"data": data, "usage": {"total_tokens": 1}}).encode()

    def plain() -> np.ndarray:
        reply = json.loads(content)
        return np.stack([np.frombuffer(base64.b64decode(item["embedding"]), "<f4") for item in reply["data"]])

    pairs = [(timed(lambda: decode(content, 1000, SIZE)), timed(plain)) for _ in range(21)]
    return statistics.median(ours for ours, _ in pairs) / statistics.median(theirs for _, theirs in pairs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--texts", type=int, default=5000)
    parser.add_argument("--late", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    os.environ["NESTVEC_BENCH_KEY"] = "jina_bench"
    texts = [f"text {i} about rivers, stones and winters" for i in range(arguments.texts)]
    documents = [Document(f"d{i}", text) for i, text in enumerate(texts)]
    late = [
        Document(f"d{i}", " ".join(f"Sentence {j} of document {i} says something." * 2 for j in range(3)))
        for i in range(arguments.texts)
    ]
    parts = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    some = late[: arguments.late]
    thirds = [[item.text[:80], item.text[80:160], item.text[160:]] for item in some]
    with server() as url:
        asyncio.run(ideal(url, parts[:2], FLIGHT))
        rounds = [
            (timed(lambda: asyncio.run(ideal(url, parts, FLIGHT))), ingest(url, documents, late=False))
            for _ in range(arguments.rounds)
        ]
        best, ours = (statistics.median(column) for column in zip(*[(one, two[0]) for one, two in rounds], strict=True))
        first = statistics.median(two[1] for _, two in rounds)
        print(f"first: {first:.2f} s for one document of a new collection, {LATENCY:.2f} s of it its own")
        print(f"plain: ideal {best:.2f} s, nestvec {ours:.2f} s: {best / ours:.2f} of the ideal")
        theirs = len(some) / timed(lambda: asyncio.run(ideal(url, thirds, DEFAULT)))
        ours = len(some) / ingest(url, some, late=True)[0]
        print(f"late:  {ours:.1f} requests a second; a plain loop {theirs:.1f}: {ours / theirs:.2f}")
    print(f"decoding 1,000 x {SIZE}: {decoding():.2f} of json.loads and np.frombuffer")


if __name__ == "__main__":
    main()

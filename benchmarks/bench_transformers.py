"""What nestvec-transformers adds to the model's own time: batches by length, and late chunking.

Texts are the paragraphs of the Universal Declaration of Human Rights in four languages; the model is the tiny one of
`nestvec_transformers.testing`, with random weights. Ratios, because only they carry over to the real one.

  - batches: the same texts in the order in which they come, 64 in a forward pass, padded to the longest of them, take
    so many times the time of batches by length; what runs and what pools is the same.
  - late: documents of 5 and of 20 chunks, late-chunked, per token: against the same text read as one (what pooling by
    chunk costs), and against its chunks read one by one (what the longer context costs: attention grows with it).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from nestvec.contract import Encode, Group
from nestvec_transformers.embedder import TransformersEmbedder
from nestvec_transformers.options import TransformersOptions
from nestvec_transformers.sequences import plain
from nestvec_transformers.testing import make_tiny_model

TASK, BATCH = "retrieval.passage", 64
SIZES = (5, 20)
DATA = Path(__file__).parent / "data" / "udhr.json"


def paragraphs() -> dict[str, list[str]]:
    """The paragraphs of each language, in order."""
    texts: dict[str, list[str]] = json.loads(DATA.read_text(encoding="utf-8"))["texts"]
    return {language: texts[language] for language in ("en", "de", "fr", "es")}


def timed(work: Callable[[], int]) -> float:
    """Seconds that the work takes for each of the tokens that it says it read."""
    start = time.perf_counter()
    tokens = work()
    return (time.perf_counter() - start) / tokens


class Naive:
    """Texts as they come, through the same model."""

    def __init__(self, embedder: TransformersEmbedder) -> None:
        self.model = embedder._live()  # noqa: SLF001 - the benchmark goes around the batches

    def encode(self, groups: list[Group]) -> int:
        """All of them. Returns tokens without padding."""
        prompt = "Represent the document for retrieval: "
        read = [each for n, group in enumerate(groups) for each in plain(n, group, self.model.tokenizer, prompt)]
        for start in range(0, len(read), BATCH):
            self.model.vectors(read[start : start + BATCH], TASK)
        return sum(len(each.ids) for each in read)


def documents(texts: dict[str, list[str]], size: int, *, pieces: bool) -> list[Group]:
    """So many paragraphs make a document: of as many chunks, or of one."""
    found = []
    for language, paragraphs in texts.items():
        for first in range(0, 20, size):
            spans, start = [], 0
            for each in paragraphs[first : first + size]:
                spans.append((start, start + len(each)))
                start += len(each) + 1
            text = "\n".join(paragraphs[first : first + size])
            found.append(Group(f"{language} {first}", text, tuple(spans) if pieces else ((0, len(text)),)))
    return found


def measure(embedder: TransformersEmbedder, rounds: int) -> dict[str, float]:
    """Ratios, each the median of some rounds in which what is compared takes turns."""

    def encode(groups: list[Group], *, late: bool = False) -> int:
        reply = embedder.encode(Encode(tuple(groups), TASK, 1024, late))
        assert not reply.failures, reply.failures
        return reply.usage.tokens

    texts = paragraphs()
    mixed = [Group(f"{n}", each[n], ((0, len(each[n])),)) for n in range(0, 50, 2) for each in texts.values()]
    naive = Naive(embedder)
    ratios: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        ours, theirs = timed(lambda: encode(mixed)), timed(lambda: naive.encode(mixed))
        ratios["batches"].append(theirs / ours)
        for size in SIZES:
            chunked, single = (documents(texts, size, pieces=pieces) for pieces in (True, False))
            late = timed(lambda chunked=chunked: encode(chunked, late=True))
            ratios[f"late {size}, one text"].append(late / timed(lambda single=single: encode(single)))
            ratios[f"late {size}, its chunks"].append(late / timed(lambda chunked=chunked: encode(chunked)))
    return {name: statistics.median(values) for name, values in ratios.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # steadier where others work, too
    with tempfile.TemporaryDirectory() as folder:
        make_tiny_model(Path(folder))
        values: dict[str, Any] = {"path": folder, "revision": "tiny-0", "device": "cpu", "batch": BATCH}
        embedder = TransformersEmbedder(TransformersOptions.model_validate(values))
        ratios = measure(embedder, arguments.rounds)
    if arguments.json:
        print(json.dumps({"rounds": arguments.rounds, "ratios": ratios}))
        return
    print(f"batches in the order of the texts take {ratios['batches']:.2f} × the time of batches by length")
    for size in SIZES:
        one, alone = (ratios[f"late {size}, {what}"] for what in ("one text", "its chunks"))
        print(f"late chunking, {size} chunks a document, time a token: {one:.2f} × that of the same text read as one,")
        print(f"  {alone:.2f} × that of its chunks read one by one")


if __name__ == "__main__":
    main()

"""Text matching: quotes that were collected twice, in other words or another language, found by a threshold.

What score means "the same" differs between models, so the threshold is measured: half-way between pairs known to be the
same and pairs known to differ.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from _shared import connected, documents, main, rows, say

from nestvec import Nestvec


def calibrated(nv: Nestvec) -> float:
    """The threshold that the known pairs ask for, in the space of the quotes."""
    pairs, space = rows(__file__, "calibration.jsonl"), nv["quotes"].spec.space
    texts = [pair[side] for side in ("one", "other") for pair in pairs]
    one, other = np.split(nv.embed(texts, task=space.index_task, dimensions=space.dimensions), 2)
    cosines = (one * other).sum(axis=1)
    lowest = min(cosine for cosine, pair in zip(cosines, pairs, strict=True) if pair["same"])
    highest = max(cosine for cosine, pair in zip(cosines, pairs, strict=True) if not pair["same"])
    say(f"known pairs: the same at {lowest:.3f} or more, different at {highest:.3f} or less")
    return float(lowest + highest) / 2


def run(real: bool) -> None:
    """Search for each quote among the quotes, above the threshold."""
    quotes = documents(__file__, "quotes.jsonl")
    with connected(__file__, real=real, vectors="e5") as nv:
        nv["quotes"].upsert(quotes)
        threshold = calibrated(nv)
        found = nv["quotes"].search_many([quote.text for quote in quotes], threshold=threshold)
    texts = {quote.id: quote.text for quote in quotes}
    scores = {(q.id, hit.document_id): hit.score for q, hits in zip(quotes, found, strict=True) for hit in hits}
    pairs = {pair: score for pair, score in scores.items() if pair[0] < pair[1]}
    say(f"repeated at {threshold:.3f} or more:")
    for (one, other), score in sorted(pairs.items(), key=lambda item: -item[1]):
        say(f"\n{score:.3f}  {texts[one]}\n       {texts[other]}")
    # The ids tell who belongs together: map-1, map-2, map-3.
    right = sum(one.split("-")[0] == other.split("-")[0] for one, other in pairs)
    say(f"\n{len(pairs)} repeated pairs found among {len(quotes)} quotes, {right} of them right, of 5 that there are.")


if __name__ == "__main__":
    main(run)

"""Text matching: quotes that were collected twice, in other words or another language, found by a threshold.

What score means "the same" differs between models, so the threshold is measured: half-way between pairs known to be the
same and pairs known to differ.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from _shared import calibrated, connected, documents, main, rows, say


def run(real: bool) -> None:
    """Search for each quote among the quotes, above the threshold."""
    quotes = documents(__file__, "quotes.jsonl")
    with connected(__file__, real=real, vectors="e5") as nv:
        nv["quotes"].upsert(quotes)
        threshold = calibrated(nv["quotes"], rows(__file__, "calibration.jsonl"))
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

"""Classification by labelled examples: a new review is what most of its three nearest labelled reviews are."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from _shared import connected, documents, main, say


def run(real: bool) -> None:
    """Store the labelled reviews, search with the new ones, let the nearest vote."""
    new = documents(__file__, "new.jsonl")
    with connected(__file__, real=real, vectors="e5") as nv:
        reviews = nv["reviews"]
        reviews.upsert(documents(__file__, "labelled.jsonl"))
        found = reviews.search_many([review.text for review in new], limit=3)
    right = 0
    for review, hits in zip(new, found, strict=True):
        votes = Counter(hit.metadata["label"] for hit in hits)
        label, count = votes.most_common(1)[0]
        right += label == review.metadata["label"]
        verdict = "right" if label == review.metadata["label"] else "WRONG"
        say(f"\n{review.text}\n    {verdict}: {label}, {count} of {len(hits)} votes; nearest: {hits[0].text}")
    say(f"\n{right} of {len(new)} reviews classified right by 12 labelled ones.")


if __name__ == "__main__":
    main(run)

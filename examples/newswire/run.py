"""Near-duplicates: news that agencies tell in words and languages of their own, put together by story.

All pairs above a threshold, without comparing texts in Python: scikit-learn's neighbours on the stored vectors. The
threshold is measured on pairs that are known.
"""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from _shared import calibrated, connected, documents, main, rows, say

try:
    from scipy.sparse.csgraph import connected_components
    from sklearn.neighbors import NearestNeighbors
except ModuleNotFoundError:
    sys.exit("scikit-learn is missing: pip install scikit-learn")


def run(real: bool) -> None:
    """Connect all news that are close enough; what hangs together is one story."""
    with connected(__file__, real=real, vectors="e5") as nv:
        newswire = nv["newswire"]
        newswire.upsert(documents(__file__, "news.jsonl"))
        threshold = calibrated(newswire, rows(__file__, "calibration.jsonl"))
        news = newswire.matrix()

    neighbours = NearestNeighbors(metric="cosine").fit(news.vectors)
    close = neighbours.radius_neighbors_graph(radius=1 - threshold)  # cosine distance is 1 - similarity
    _, groups = connected_components(close, directed=False)
    stories = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    repeated = [story for story in stories if len(story) > 1]

    say(f"told more than once, at {threshold:.3f} or more:")
    for story in sorted(repeated, key=lambda members: news.document_ids[members[0]]):
        similar = news.vectors[story] @ news.vectors[story].T
        say(f"\n{similar.min():.3f}")
        for member in story:
            say(f"    {news.metadata[member]['lang']}  {news.texts[member]}")

    # The field `story` was not used to find them. It tells who belongs together.
    told = [each["story"] for each in news.metadata]
    found = {pair for story in repeated for pair in combinations(story.tolist(), 2)}
    true = {pair for pair in combinations(range(len(told)), 2) if told[pair[0]] == told[pair[1]]}
    say(f"\n{len(repeated)} stories told more than once among {len(told)} news:")
    say(f"{len(found)} pairs found, {len(found & true)} of them right, of {len(true)} that there are.")


if __name__ == "__main__":
    main(run)

"""Clusters labelled by their central texts: what citizens write to their town, sorted into topics that nobody named.

How many topics there are is chosen by silhouette. Texts of one language are alike, whatever they are about; what a
language has in common is taken away first.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from _shared import connected, documents, main, say

try:
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, silhouette_score
    from sklearn.preprocessing import normalize
except ModuleNotFoundError:
    sys.exit("scikit-learn is missing: pip install scikit-learn")

MOST = 9
CENTRAL = 3


def centred(vectors: np.ndarray, languages: np.ndarray) -> np.ndarray:
    """Without the mean of their language, at length 1 again: shape (texts, dimensions) in and out."""
    rows = vectors.copy()
    for language in np.unique(languages):
        rows[languages == language] -= rows[languages == language].mean(axis=0)
    return normalize(rows)


def clustered(vectors: np.ndarray, clusters: int) -> KMeans:
    """The same every time."""
    return KMeans(clusters, n_init=10, random_state=0).fit(vectors)


def run(real: bool) -> None:
    """Cluster the stored vectors, and let each cluster speak through the texts nearest to its centre."""
    with connected(__file__, real=real, vectors="e5") as nv:
        suggestions = nv["suggestions"]
        suggestions.upsert(documents(__file__, "suggestions.jsonl"))
        found = suggestions.matrix()
    languages = np.array([each["lang"] for each in found.metadata])
    vectors = centred(found.vectors, languages)

    tried = {number: clustered(vectors, number) for number in range(2, MOST + 1)}
    scores = {number: silhouette_score(vectors, each.labels_, metric="cosine") for number, each in tried.items()}
    chosen = max(scores, key=scores.get)
    say("silhouette: " + ", ".join(f"{number} clusters {score:.3f}" for number, score in scores.items()))

    labels, centres = tried[chosen].labels_, tried[chosen].cluster_centers_
    for cluster in range(chosen):
        members = np.flatnonzero(labels == cluster)
        central = members[np.argsort(-(vectors[members] @ centres[cluster]))][:CENTRAL]
        spread = ", ".join(f"{count} {language}" for language, count in Counter(languages[members]).most_common())
        say(f"\n{len(members)} texts ({spread}), in the middle of which:")
        for member in central:
            say(f"    {languages[member]}  {found.texts[member]}")

    # The field `topic` was not used. It tells what each text is about.
    topics = [each["topic"] for each in found.metadata]
    agreement = adjusted_rand_score(topics, labels)
    plain = adjusted_rand_score(topics, clustered(found.vectors, chosen).labels_)
    say(f"\n{chosen} clusters of {len(topics)} texts on {len(set(topics))} topics; agreement with the topics")
    say(f"{agreement:.2f} (1 is perfect, 0 is chance), and {plain:.2f} on the vectors as they are stored.")


if __name__ == "__main__":
    main(run)

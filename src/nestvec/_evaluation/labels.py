"""Relevance labels: nDCG@10 of documents, each as good as the best of its texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nestvec._evaluation.scoring import blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.types import FloatArray

DEPTH = 10


class Labels:
    """What is relevant to some questions, among the documents that rows belong to."""

    def __init__(self, documents: Sequence[str], relevant: Sequence[Mapping[str, float]]) -> None:
        self.names = sorted(set(documents))
        numbers = {name: number for number, name in enumerate(self.names)}
        owners = np.array([numbers[name] for name in documents], np.intp)
        self._order = np.argsort(owners, kind="stable")
        self._starts = np.searchsorted(owners[self._order], np.arange(len(self.names)))
        self._gains = [{numbers[name]: grade for name, grade in each.items()} for each in relevant]

    def ndcg(self, left: FloatArray, right: FloatArray) -> NDArray[np.float64]:
        """For each question: shape (questions,). `left` and `right` as `aligned` gives them.

        Gains are the grades as they are, discounted by log2(rank + 1), as trec_eval has it. Documents with equal scores
        come in the order of their ids.
        """
        found = np.zeros(len(left), np.float64)
        for part in blocks(len(left), 2 * len(right)):
            scores = (left[part] @ right.T)[:, self._order]
            best = np.maximum.reduceat(scores, self._starts, axis=1)
            ranked = np.argsort(-best, axis=1, kind="stable")[:, :DEPTH]
            for number, places in zip(range(part.start, part.stop), ranked, strict=True):
                gains = self._gains[number]
                found[number] = _dcg([gains.get(int(place), 0.0) for place in places]) / _dcg(_ideal(gains))
        return found


def _ideal(gains: Mapping[int, float]) -> list[float]:
    return sorted(gains.values(), reverse=True)[:DEPTH]


def _dcg(gains: Sequence[float]) -> float:
    return float(sum(gain / np.log2(rank + 2) for rank, gain in enumerate(gains)))

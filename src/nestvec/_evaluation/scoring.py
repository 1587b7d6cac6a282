"""Exact search among rows, in blocks of questions: memory grows with the rows, never with their square."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.encoding.vectors import normalize
from nestvec.types import Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.types import FloatArray

    Places = NDArray[np.intp]
    Exact = NDArray[np.float64]

#: Numbers that a block of scores, or of gathered vectors, may have.
_BLOCK = 4_000_000


def aligned(questions: FloatArray, rows: FloatArray, metric: Metric) -> tuple[FloatArray, FloatArray]:
    """Both as matrices whose inner products rank the rows as the metric does: (questions, d'), (rows, d')."""
    if metric is Metric.COSINE:
        return normalize(questions), normalize(rows)
    if metric is Metric.DOT:
        return questions, rows
    # -|q - r|² is 2 q·r - |r|² and a constant for each question.
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)[:, None]
    ones = np.ones((len(questions), 1), np.float32)
    return np.hstack([2 * questions, ones]), np.hstack([rows, -squares]).astype(np.float32)


def blocks(count: int, width: int) -> Iterator[slice]:
    """Slices of `count` questions, each of which needs `width` numbers."""
    step = max(1, _BLOCK // max(1, width))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def nearest(left: FloatArray, right: FloatArray, count: int) -> Places:
    """The places of the best rows for each question, best first: shape (questions, at most `count`).

    Of rows with equal scores, any may come first.
    """
    most = min(count, len(right))
    found: Places = np.zeros((len(left), most), np.intp)
    for part in blocks(len(left), len(right)):
        scores = left[part] @ right.T
        some = np.argpartition(-scores, most - 1, axis=1)[:, :most] if most else found[part]
        order = np.argsort(-np.take_along_axis(scores, some, axis=1), axis=1, kind="stable")
        found[part] = np.take_along_axis(some, order, axis=1)
    return found


def scores_at(left: FloatArray, right: FloatArray, places: Places) -> Exact:
    """The scores of chosen rows for each question, summed in float64: the shape of `places`."""
    found = np.zeros(places.shape, np.float64)
    for part in blocks(len(left), places.shape[1] * left.shape[1]):
        gathered = right[places[part]].astype(np.float64)
        found[part] = np.einsum("qd,qkd->qk", left[part].astype(np.float64), gathered)
    return found


def rescored(left: FloatArray, right: FloatArray, places: Places, count: int) -> Places:
    """The best `count` of candidates by these vectors, best first."""
    order = np.argsort(-scores_at(left, right, places), axis=1, kind="stable")[:, :count]
    best: Places = np.take_along_axis(places, order, axis=1)
    return best


class Neighbours:
    """The true neighbours of questions among rows, at full size."""

    #: A row that scores as high as the last of them, but for rounding, is one of them: equal vectors are equally near.
    TOLERANCE = 1e-6

    def __init__(self, questions: FloatArray, rows: FloatArray, k: int, metric: Metric) -> None:
        self._left, self._right = aligned(questions, rows, metric)
        exact = scores_at(self._left, self._right, nearest(self._left, self._right, k))
        self._least: Exact = exact.min(axis=1, keepdims=True)
        self._count = exact.shape[1]

    def recall(self, places: Places) -> Exact:
        """For each of the first questions the share of true neighbours among its places: shape (len(places),).

        `places` has at most as many columns as there are neighbours; -1 stands for a place that is not filled.
        """
        asked = slice(0, len(places))
        scores = scores_at(self._left[asked], self._right, np.maximum(places, 0))
        hits = (scores >= self._least[asked] - self.TOLERANCE) & (places >= 0)
        shares: Any = hits.sum(axis=1) / self._count
        return np.asarray(shares, np.float64)

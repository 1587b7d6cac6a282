"""Exact search: which rows of a matrix are the best for a question, and their scores.

All rows are compared in float32, which is a matter of memory bandwidth; those that could be among the best are compared
again in float64. So equal vectors have equal scores and stand in the order of their slots, whatever the rest is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from nestvec.types import Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.types import FloatArray

    Doubles = NDArray[np.float64]
    Slots = NDArray[np.int64]

#: Bytes of scores that are held at a time.
_SCORES: Final = 32 << 20
#: Rows of which differences are held at a time.
_ROWS: Final = 8192
#: How much float32 may be wrong in a dot product, in parts of the product of the lengths.
_ERROR: Final = 1e-5
#: From which part of all rows on it is faster to compare all than to gather some.
_MOST: Final = 0.3


@dataclass(frozen=True)
class ComparedRows:
    """The rows that may be found: the matrix, the lengths of its rows, and which of them; None: all up to `count`."""

    matrix: FloatArray
    lengths: Doubles
    count: int
    slots: Slots | None = None

    @property
    def found(self) -> int:
        """How many there are."""
        return self.count if self.slots is None else len(self.slots)


def rank(
    candidates: ComparedRows, questions: FloatArray, metric: Metric, limit: int, threshold: float | None = None
) -> Iterator[tuple[Slots, Doubles]]:
    """For each question the best slots and their scores, at most `limit`, best first, none below the threshold."""
    if not candidates.found or limit < 1:
        yield from ((np.empty(0, np.int64), np.empty(0)) for _ in questions)
        return
    together = max(1, _SCORES // (4 * candidates.count))
    for start in range(0, len(questions), together):
        part = questions[start : start + together]
        for question, scores in zip(part, _scores(candidates, part, metric), strict=True):
            near = _near(candidates, question, scores, metric, limit)
            yield _ordered(candidates, near, question, metric, limit, threshold)


def _scores(candidates: ComparedRows, questions: FloatArray, metric: Metric) -> FloatArray:
    """In float32, a row for each question and a column for each candidate; cosines times the question's length."""
    slots, count = candidates.slots, candidates.count
    if slots is not None and len(slots) < _MOST * count:
        rows, lengths, chosen = candidates.matrix[slots], candidates.lengths[slots], None
    else:
        rows, lengths, chosen = candidates.matrix[:count], candidates.lengths[:count], slots
    if metric is Metric.EUCLIDEAN:
        scores = np.stack([_distances(rows, question) for question in questions])
    else:
        # Free rows may hold anything; what they score is left out below.
        with np.errstate(over="ignore", invalid="ignore"):
            scores = questions @ rows.T
            if metric is Metric.COSINE:
                scores *= np.divide(1, lengths, out=np.zeros(len(lengths)), where=lengths > 0).astype(np.float32)
    return scores if chosen is None else scores[:, chosen]


def _distances(rows: FloatArray, question: FloatArray) -> FloatArray:
    scores = np.empty(len(rows), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(rows), _ROWS):
            scores[start : start + _ROWS] = -np.linalg.norm(rows[start : start + _ROWS] - question, axis=1)
    return scores


def _near(candidates: ComparedRows, question: FloatArray, scores: FloatArray, metric: Metric, limit: int) -> Slots:
    """The places of all candidates that may be among the best, in ascending order of their slots."""
    if limit < len(scores):
        worst = float(np.partition(scores, len(scores) - limit)[len(scores) - limit])
        places = np.flatnonzero(scores >= worst - _margin(candidates, question, worst, metric))
    else:
        places = np.arange(len(scores))
    return places if candidates.slots is None else candidates.slots[places]


def _margin(candidates: ComparedRows, question: FloatArray, worst: float, metric: Metric) -> float:
    length = float(np.linalg.norm(question.astype(np.float64)))
    if metric is Metric.COSINE:
        return _ERROR * length
    longest = float(candidates.lengths[: candidates.count].max())
    return _ERROR * (longest * length if metric is Metric.DOT else longest + length + abs(worst))


def _ordered(
    candidates: ComparedRows, slots: Slots, question: FloatArray, metric: Metric, limit: int, threshold: float | None
) -> tuple[Slots, Doubles]:
    scores = exact_scores(candidates.matrix[slots], candidates.lengths[slots], question, metric)
    order = np.argsort(-scores, kind="stable")[:limit]
    best = scores[order]
    if threshold is not None:
        order = order[best >= threshold]
        best = scores[order]
    return slots[order], best


def exact_scores(rows: FloatArray, lengths: Doubles, question: FloatArray, metric: Metric) -> Doubles:
    """Scores in float64, as `Metric` says; a vector of zeros is like none."""
    rows, question = rows.astype(np.float64), question.astype(np.float64)
    if metric is Metric.EUCLIDEAN:
        distances: Doubles = np.linalg.norm(rows - question, axis=1)
        return -distances
    dots: Doubles = np.einsum(
        "ij,j->i", rows, question
    )  # each row alone: in products of matrices equal rows may differ
    if metric is Metric.DOT:
        return dots
    product = lengths * float(np.linalg.norm(question))
    cosines: Doubles = np.divide(dots, product, out=np.zeros(len(dots)), where=product > 0)
    return cosines


def lengths_of(rows: FloatArray) -> Doubles:
    """The length of each row."""
    with np.errstate(over="ignore"):
        lengths: Doubles = np.linalg.norm(rows.astype(np.float64), axis=1)
    return lengths

"""Percentile intervals by resampling the questions.

They say how much the figures would move with other questions of the same kind; not what other texts would do. (Efron &
Tibshirani, An Introduction to the Bootstrap, chapter 13.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Exact = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure, and its confidence interval.

    Attributes:
        value: The figure.
        low, high: The ends of the interval.
    """

    value: float
    low: float
    high: float


class Bootstrap:
    """The same resamples for every figure, so that figures of the same questions are compared pairwise."""

    def __init__(self, questions: int, resamples: int, confidence: float, seed: int) -> None:
        generator = np.random.default_rng(seed)
        even = np.full(questions, 1 / questions)
        # How often each question is drawn: (resamples, questions).
        self._weights = generator.multinomial(questions, even, resamples).astype(np.float64)
        self._tails = ((1 - confidence) / 2, (1 + confidence) / 2)

    def mean(self, values: Exact) -> Interval:
        """The mean of a figure of each question: shape (questions,)."""
        return self._interval(float(values.mean()), self._weights @ values / len(values))

    def share(self, part: Exact, whole: Exact) -> Interval | None:
        """The mean of one figure as a share of another's, of the same questions; None where the whole is nothing."""
        if not whole.sum() > 0:
            return None
        sums = self._weights @ whole
        # Few questions: a resample may have none of those that give anything. It says nothing of the share.
        usable = sums > 0
        drawn = (self._weights @ part)[usable] / sums[usable]
        return self._interval(float(part.sum() / whole.sum()), drawn)

    def _interval(self, value: float, drawn: Exact) -> Interval:
        if not len(drawn):
            return Interval(value, value, value)
        low, high = np.quantile(drawn, self._tails)
        return Interval(value, float(low), float(high))

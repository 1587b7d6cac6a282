"""Which size to take: the smallest that keeps enough, as far as the questions can tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nestvec._evaluation.bootstrap import Interval

#: A mean of shares that are exactly what is wanted may be this much below it.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A size, and why.

    Attributes:
        dimensions: The size.
        curve: The name of its curve: "plain" or "nested".
        measure: What had to be kept.
        kept: The share of it that this size keeps.
        saved: The share of a full vector's bytes that it does without.
        reason: A sentence for people.
    """

    dimensions: int
    curve: str
    measure: str
    kept: Interval
    saved: float
    reason: str


@dataclass(frozen=True, slots=True)
class Basis:
    """What figures rest on, as sentences tell it. `note` is added to a size below the full one."""

    measure: str
    keep: float
    confidence: float
    questions: int
    texts: int
    note: str = ""

    def __str__(self) -> str:
        return f"{self.questions:,} questions among {self.texts:,} texts"


def recommend(curve: str, shares: Sequence[tuple[int, Interval]], least: int, basis: Basis) -> Recommendation:
    """The smallest size from `least` on whose interval begins at the wanted share, as all larger ones' do.

    `shares` are ascending sizes and what share of the full quality each keeps; the last one is the full size.
    """
    full = shares[-1][0]
    allowed = [(size, kept) for size, kept in shares if size >= least or size == full]
    size, kept = _smallest([(size, kept, kept.low) for size, kept in allowed], basis.keep)
    hoped, _ = _smallest([(size, kept, kept.value) for size, kept in allowed], basis.keep)
    if size == full:
        reason = (
            f"No shorter prefix that can be used is sure to keep {percent(basis.keep)} of {basis.measure} at "
            f"{percent(basis.confidence)} confidence, with {basis}"
        )
    else:
        reason = (
            f"{size} of {full} dimensions keep {percent(kept.value)} of {basis.measure} ({percent(basis.confidence)} "
            f"interval {percent(kept.low)} to {percent(kept.high)}), with {basis}{basis.note}"
        )
    if hoped < size:
        reason += f"; {hoped} may do as well, which more questions might show"
    return Recommendation(size, curve, basis.measure, kept, 1 - size / full, f"{reason}.")


def _smallest(sizes: Sequence[tuple[int, Interval, float]], keep: float) -> tuple[int, Interval]:
    """The smallest size of which, and of all larger ones, this figure is high enough; the full one at least."""
    best = sizes[-1]
    for each in reversed(sizes[:-1]):
        if each[2] < keep - _ROUNDING:
            break
        best = each
    return best[0], best[1]


def percent(share: float) -> str:
    """`99.3 %`, `99 %`. Never rounded up: what is told as kept is kept."""
    whole = int(share * 1000 + 1e-9) / 10
    return f"{whole:g} %"

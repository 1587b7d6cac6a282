"""How alike two hosts' vectors of the canary texts are, and how alike they must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nestvec._hosts.canaries import Leg
    from nestvec.types import FloatArray

#: The tolerance. Every cosine, and the median of each task, must be at least this; lengths may differ by this share.
#: Number formats stay within it (bfloat16: 0.9999); another prompt, adapter or pooling does not.
LEAST, MEDIAN, STRETCH = 0.995, 0.999, 0.02
TOLERANCE = f"each cosine at least {LEAST}, the median of each task at least {MEDIAN}, lengths within {STRETCH:.0%}"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How alike two hosts' vectors of the same texts are.

    Attributes:
        least: The least cosine.
        median: The median cosine; of several tasks, the lowest.
        stretch: By which share lengths differ at most.
    """

    least: float
    median: float
    stretch: float = 0.0

    @property
    def alike(self) -> bool:
        """Whether they are the same vectors, within the tolerance."""
        return self.least >= LEAST and self.median >= MEDIAN and self.stretch <= STRETCH

    def __str__(self) -> str:
        lengths = f", lengths {self.stretch:.1%} apart" if self.stretch > STRETCH else ""
        return f"least cosine {cosine(self.least)}, median {cosine(self.median)}{lengths}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values.

        Returns:
            The fields by name, rounded to six digits.

        Example:
            >>> nestvec.Agreement(0.99991234, 0.9999).to_dict()
            {'least': 0.999912, 'median': 0.9999, 'stretch': 0.0}
        """
        return {name: round(getattr(self, name), 6) for name in ("least", "median", "stretch")}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two hosts, text by text: `cosines` and `stretches` have shape (texts,) for each leg."""

    cosines: Mapping[Leg, FloatArray]
    stretches: Mapping[Leg, FloatArray]

    def of(self, leg: Leg) -> Agreement:
        """How alike they are in one leg."""
        cosines = self.cosines[leg]
        return Agreement(float(cosines.min()), float(np.median(cosines)), float(self.stretches[leg].max()))

    @property
    def agreement(self) -> Agreement:
        """How alike they are in the worst leg, each figure by itself."""
        legs = [self.of(leg) for leg in self.cosines]
        return Agreement(min(a.least for a in legs), min(a.median for a in legs), max(a.stretch for a in legs))

    @property
    def worst(self) -> tuple[Leg, int]:
        """The leg and the number of the text that are least alike."""
        places = [(float(cosine), leg, i) for leg, row in self.cosines.items() for i, cosine in enumerate(row)]
        _, leg, number = min(places, key=lambda place: place[0])
        return leg, number


def compare(stored: Mapping[Leg, FloatArray], fresh: Mapping[Leg, FloatArray]) -> Comparison:
    """Compare vectors of the same texts, shape (texts, dimensions) for each leg of `stored`."""
    legs = {leg: _alike(rows, fresh[leg]) for leg, rows in stored.items()}
    return Comparison({leg: pair[0] for leg, pair in legs.items()}, {leg: pair[1] for leg, pair in legs.items()})


def agreement_of(one: FloatArray, two: FloatArray) -> Agreement:
    """How alike two arrays of vectors are, row by row."""
    cosines, stretches = _alike(one, two)
    return Agreement(float(cosines.min()), float(np.median(cosines)), float(stretches.max()))


def cosine(value: float) -> str:
    """Four digits, cut off rather than rounded: what is below a limit does not look as if it were not."""
    return f"{np.floor(value * 10_000 + 1e-6) / 10_000:.4f}"


def _alike(one: FloatArray, two: FloatArray) -> tuple[Any, Any]:
    """Cosines, and by which share lengths differ, row by row. Two zero vectors are the same, one is like nothing."""
    first, second = one.astype(np.float64), two.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1)
    longest, product = np.maximum(*lengths), lengths[0] * lengths[1]
    same = (longest == 0).astype(np.float64)
    cosines = np.divide(np.einsum("ij,ij->i", first, second), product, out=same, where=product > 0)
    stretches = np.divide(np.abs(lengths[0] - lengths[1]), longest, out=np.zeros_like(longest), where=longest > 0)
    return np.clip(cosines, -1, 1), stretches

"""Where a number lies in a chart, and which numbers an axis names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: What is not wider than this is one point.
_POINT = 1e-9


@dataclass(frozen=True)
class Scale:
    """Numbers from `low` to `high` on pixels from `start` to `end`; linear, or with equal steps for equal factors."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (
            (math.log(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        part = 0.5 if high == low else (at - low) / (high - low)
        return round(self.start + part * (self.end - self.start), 1)


def steps(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers that enclose `low` to `high`, about `most`, at distances of 1, 2 or 5 times a power of ten."""
    span = next(width for width in (high - low, abs(high), 1.0) if width > _POINT)
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if span / (power * factor) <= most + 1e-6)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]


def powers(low: float, high: float) -> list[float]:
    """The numbers 1, 10, 100 … between the two; with 2 and 5 times them where that leaves fewer than three."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        found = [factor * 10.0**decade for decade in decades for factor in factors]
        inside = [value for value in found if low <= value <= high]
        if len(inside) > 2:
            break
    return inside


def apart(places: Sequence[tuple[float, float]], first: Sequence[int] = ()) -> list[int]:
    """Which of several labels, (centre, width) each, can stand on one line; `first` are placed before all others."""
    taken: list[int] = []
    for i in [*first, *(i for i in range(len(places)) if i not in first)]:
        centre, width = places[i]
        if all(abs(centre - places[j][0]) >= (width + places[j][1]) / 2 for j in taken):
            taken.append(i)
    return sorted(taken)

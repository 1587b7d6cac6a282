"""From vectors to curves: every size, with intervals, and the size to take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nestvec._evaluation.bootstrap import Bootstrap, Interval
from nestvec._evaluation.labels import DEPTH
from nestvec._evaluation.measure import Measured, Trial, bytes_a_vector, measure
from nestvec._evaluation.options import DimensionsOptions
from nestvec._evaluation.recommend import Basis, Recommendation, recommend
from nestvec._evaluation.report import DimensionsCurve, DimensionsPoint, SearchTimes
from nestvec._evaluation.scoring import Neighbours
from nestvec.types import Storage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Exact = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CurveChoice:
    """The curve that a size is recommended on, and its shortest prefix that can be used. `note`: what that takes."""

    curve: str
    least: int
    note: str = ""


@dataclass(slots=True)
class Study:
    """Trials of the same questions and texts under different bases, by the names of the curves.

    The first is the one whose full vectors are compared with: all of them give the same cosines at full size.
    `rotations` are the fingerprints of what turned the others.
    """

    trials: Mapping[str, Trial]
    rotations: Mapping[str, str]
    sizes: Sequence[int]
    options: DimensionsOptions
    measured: dict[str, list[Measured]] = field(init=False)
    neighbours: Neighbours = field(init=False)
    _all: Bootstrap = field(init=False)
    _labelled: Bootstrap | None = field(init=False)

    def __post_init__(self) -> None:
        first, options = self._first, self.options
        self.neighbours = Neighbours(first.questions, first.rows, options.k, first.metric)
        self.measured = {
            name: measure(trial, self.sizes, self.neighbours, options.k) for name, trial in self.trials.items()
        }
        self._all = self.bootstrap(len(first.questions))
        self._labelled = self.bootstrap(len(first.labelled)) if first.labelled else None

    @property
    def _first(self) -> Trial:
        return next(iter(self.trials.values()))

    @property
    def by_labels(self) -> bool:
        """Whether nDCG decides. Not where nothing that is relevant is found at full size, either."""
        whole = self._whole.ndcg
        return whole is not None and bool(whole.sum() > 0)

    @property
    def decides(self) -> str:
        """The measure by which a size is recommended."""
        return f"nDCG@{DEPTH}" if self.by_labels else f"recall@{self.options.k}"

    @property
    def _whole(self) -> Measured:
        return next(iter(self.measured.values()))[-1]

    def bootstrap(self, questions: int) -> Bootstrap:
        """Resamples of so many questions."""
        return Bootstrap(questions, self.options.resamples, self.options.confidence, self.options.seed)

    def curves(self, expected: int, times: Mapping[tuple[str, int], SearchTimes]) -> tuple[DimensionsCurve, ...]:
        """All curves. `times` are by curve and size."""
        return tuple(
            DimensionsCurve(
                name,
                self.rotations.get(name),
                tuple(self._point(each, expected, times.get((name, each.dimensions))) for each in measured),
            )
            for name, measured in self.measured.items()
        )

    def recommendation(self, choice: CurveChoice) -> Recommendation:
        """The size to take."""
        options, first = self.options, self._first
        asked = len(first.labelled) if self.by_labels else len(first.questions)
        basis = Basis(self.decides, options.keep, options.confidence, asked, len(first.rows), choice.note)
        shares = [(each.dimensions, self._kept(each)) for each in self.measured[choice.curve]]
        return recommend(choice.curve, shares, choice.least, basis)

    def _kept(self, measured: Measured) -> Interval:
        whole = self._whole
        if self.by_labels and self._labelled is not None and measured.ndcg is not None and whole.ndcg is not None:
            share = self._labelled.share(measured.ndcg, whole.ndcg)
            if share is not None:
                return share
        # Recall at full size is 1: the figure is the share.
        return self._all.mean(measured.recall)

    def _point(self, measured: Measured, expected: int, times: SearchTimes | None) -> DimensionsPoint:
        mean = self._all.mean
        sizes = bytes_a_vector(measured.dimensions)
        ndcg = measured.ndcg
        return DimensionsPoint(
            dimensions=measured.dimensions,
            recall=mean(measured.recall),
            ndcg=self._labelled.mean(ndcg) if self._labelled is not None and ndcg is not None else None,
            kept=self._kept(measured),
            int8=mean(measured.quantised[Storage.INT8]),
            binary=mean(measured.quantised[Storage.BINARY]),
            unrescored={storage.value: mean(figures) for storage, figures in measured.unrescored.items()},
            bytes=sizes,
            total={kind: size * expected for kind, size in sizes.items()},
            search_ms=times,
        )


def times(seconds: Exact) -> SearchTimes:
    """Of single searches."""
    median, p95 = np.quantile(seconds * 1000, [0.5, 0.95])
    return SearchTimes(float(median), float(p95))

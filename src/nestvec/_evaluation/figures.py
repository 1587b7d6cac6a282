"""A dimensions report in the form that is drawn: its JSON, with what was not measured as None."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nestvec.errors import InvalidInput

VERSION = 1
#: How numbers of a vector may be stored, from large to small.
STORED = ("float32", "float16", "int8", "binary")


@dataclass(frozen=True)
class Interval:
    """A figure with its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Times:
    """Search time in milliseconds."""

    median: float
    p95: float


@dataclass(frozen=True)
class Point:
    """What was measured at one size. `bytes` are those of one vector, `total` those of all that are expected.

    `int8` and `binary` are recall with rescoring, `unrescored` without.
    """

    dimensions: int
    kept: Interval | None
    recall: Interval | None
    ndcg: Interval | None
    int8: Interval | None
    binary: Interval | None
    unrescored: Mapping[str, Interval | None]
    bytes: Mapping[str, float]
    total: Mapping[str, float]
    search: Times | None


@dataclass(frozen=True)
class Curve:
    """The sizes of one kind of prefix, from small to large."""

    name: str
    rotation: str | None
    points: Sequence[Point]

    def at(self, dimensions: int) -> Point | None:
        """What was measured at this size."""
        return next((point for point in self.points if point.dimensions == dimensions), None)


@dataclass(frozen=True)
class Funnel:
    """A search from coarse to fine, beside the plain one on the same backend."""

    stages: Sequence[int]
    oversampling: float
    recall: Interval | None
    plain_recall: Interval | None
    plain: Times | None
    funnel: Times | None
    backend: str


@dataclass(frozen=True)
class Recommendation:
    """The size to take, and why."""

    dimensions: int
    curve: str
    measure: str
    kept: Interval | None
    saved: float
    reason: str


@dataclass(frozen=True)
class Figures:
    """All of a report; `said` is the report itself, for what is only told."""

    said: Mapping[str, Any]
    full: int
    k: int
    keep: float
    confidence: float
    expected: int
    curves: Sequence[Curve]
    funnels: Sequence[Funnel]
    recommendation: Recommendation
    warnings: Sequence[str]

    @property
    def name(self) -> str:
        """What was measured: the collection or, without one, the embedder."""
        return str(self.said["collection"] or self.said["embedder"])

    @property
    def sizes(self) -> list[int]:
        """All sizes that were measured, from small to large."""
        return sorted({point.dimensions for curve in self.curves for point in curve.points})

    @property
    def chosen(self) -> Point | None:
        """What was measured at the recommended size."""
        return next((c.at(self.recommendation.dimensions) for c in self.curves if self.is_chosen(c)), None)

    def is_chosen(self, curve: Curve) -> bool:
        """Whether the recommendation speaks of this curve."""
        return curve.name == self.recommendation.curve

    def anywhere(self, dimensions: int) -> Point | None:
        """One of the points of this size: their bytes are the same on all curves."""
        found = (curve.at(dimensions) for curve in self.curves)
        return next((point for point in found if point is not None), None)


def figures(report: Mapping[str, Any]) -> Figures:
    """Read a report. Raises `InvalidInput` for one of another version."""
    if report.get("version") != VERSION:
        raise InvalidInput(
            f"a dimensions report of version {report.get('version')!r} can not be drawn: this nestvec draws version "
            f"{VERSION}; measure again, or use the nestvec that wrote it"
        )
    return Figures(
        said=report,
        full=report["full"],
        k=report["k"],
        keep=report["keep"],
        confidence=report["confidence"],
        expected=report["expected"],
        curves=[_curve(curve) for curve in report["curves"]],
        funnels=[_funnel(funnel) for funnel in report["funnels"]],
        recommendation=_recommendation(report["recommendation"]),
        warnings=report["warnings"],
    )


def _curve(said: Mapping[str, Any]) -> Curve:
    points = sorted((_point(point) for point in said["points"]), key=lambda point: point.dimensions)
    return Curve(said["name"], said["rotation"], points)


def _point(said: Mapping[str, Any]) -> Point:
    return Point(
        dimensions=said["dimensions"],
        kept=_interval(said["kept"]),
        recall=_interval(said["recall"]),
        ndcg=_interval(said.get("ndcg")),
        int8=_interval(said.get("int8")),
        binary=_interval(said.get("binary")),
        unrescored={name: _interval(at) for name, at in (said.get("unrescored") or {}).items()},
        bytes=_known(said["bytes"]),
        total=_known(said["total"]),
        search=_times(said.get("search_ms")),
    )


def _funnel(said: Mapping[str, Any]) -> Funnel:
    return Funnel(
        stages=said["stages"],
        oversampling=said["oversampling"],
        recall=_interval(said["recall"]),
        plain_recall=_interval(said.get("plain_recall")),
        plain=_times(said["plain_ms"]),
        funnel=_times(said["funnel_ms"]),
        backend=said["backend"],
    )


def _recommendation(said: Mapping[str, Any]) -> Recommendation:
    return Recommendation(
        dimensions=said["dimensions"],
        curve=said["curve"],
        measure=said["measure"],
        kept=_interval(said["kept"]),
        saved=said["saved"],
        reason=said["reason"],
    )


def _known(said: Mapping[str, Any]) -> dict[str, float]:
    return {name: said[name] for name in STORED if _is_number(said.get(name))}


def _interval(said: Mapping[str, Any] | None) -> Interval | None:
    if said is None or not all(_is_number(said[name]) for name in ("value", "low", "high")):
        return None
    return Interval(said["value"], said["low"], said["high"])


def _times(said: Mapping[str, Any] | None) -> Times | None:
    if said is None or not all(_is_number(said[name]) for name in ("median", "p95")):
        return None
    return Times(said["median"], said["p95"])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)

"""What the page asks of a report more than once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nestvec import DimensionsCurve, DimensionsPoint, DimensionsReport

#: How numbers of a vector may be stored, from large to small.
STORED = ("float32", "float16", "int8", "binary")


def name(report: DimensionsReport) -> str:
    """What was measured: the collection or, without one, the embedder."""
    return report.collection or report.embedder


def sizes(report: DimensionsReport) -> list[int]:
    """All sizes that were measured, from small to large."""
    return sorted({point.dimensions for curve in report.curves for point in curve.points})


def at(curve: DimensionsCurve, dimensions: int) -> DimensionsPoint | None:
    """What was measured at this size."""
    return next((point for point in curve.points if point.dimensions == dimensions), None)


def anywhere(report: DimensionsReport, dimensions: int) -> DimensionsPoint | None:
    """One of the points of this size: their bytes are the same on all curves."""
    return next((point for curve in report.curves if (point := at(curve, dimensions)) is not None), None)


def is_chosen(report: DimensionsReport, curve: DimensionsCurve, point: DimensionsPoint) -> bool:
    """Whether this point is the one that is recommended."""
    return curve.name == report.recommendation.curve and point.dimensions == report.recommendation.dimensions


def chosen(report: DimensionsReport) -> DimensionsPoint | None:
    """The point that is recommended."""
    points = ((curve, point) for curve in report.curves for point in curve.points)
    return next((point for curve, point in points if is_chosen(report, curve, point)), None)

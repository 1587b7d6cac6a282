"""The tables of a dimensions report: all of its figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from nestvec_report import readable
from nestvec_report.readings import STORED, anywhere, is_chosen, sizes

if TYPE_CHECKING:
    from nestvec import DimensionsCurve, DimensionsPoint, DimensionsReport, FunnelReport, Interval, SearchTimes


class Cell(NamedTuple):
    """A figure, and a smaller one below it. Without text it was not measured."""

    text: str = ""
    below: str = ""
    is_name: bool = False


class TableRow(NamedTuple):
    """A row with its name."""

    name: str
    cells: Sequence[Cell]
    chosen: bool = False


@dataclass(frozen=True)
class Table:
    """A table with one group of rows for each curve; `spans` are titles above equal shares of the columns."""

    id: str
    title: str
    note: str
    columns: Sequence[str]
    groups: Sequence[tuple[str, Sequence[TableRow]]]
    spans: Sequence[str] = ()


#: A title, and what it shows of a point; a column in which nothing was measured is left out.
Column = tuple[str, Callable[["DimensionsPoint"], Cell]]


def quality(report: DimensionsReport) -> Table:
    """What each size of each curve keeps, and how long a search takes."""
    same = all(point.kept == point.recall for curve in report.curves for point in curve.points)
    recall = f"recall@{report.k}"
    columns: list[Column] = [
        *([] if same else [("Kept", lambda p: _share(p.kept))]),
        (f"{recall} (kept)" if same else recall, lambda p: _share(p.recall)),
        ("nDCG@10", lambda p: _decimal(p.ndcg)),
        ("Search, median", lambda p: _time(p.search_ms, "median")),
        ("Search, 95th percentile", lambda p: _time(p.search_ms, "p95")),
    ]
    timed = any(point.search_ms for curve in report.curves for point in curve.points)
    return _measures(report, "quality", "Quality and search time" if timed else "Quality", columns)


def smaller(report: DimensionsReport) -> Table:
    """recall@k with numbers that are stored in int8 or binary, with rescoring and without."""
    columns: list[Column] = [
        ("int8, rescored", lambda p: _share(p.int8)),
        ("int8, not rescored", lambda p: _share(p.unrescored.get("int8"))),
        ("binary, rescored", lambda p: _share(p.binary)),
        ("binary, not rescored", lambda p: _share(p.unrescored.get("binary"))),
    ]
    return _measures(report, "smaller", f"recall@{report.k} with small storage", columns)


def _measures(report: DimensionsReport, name: str, title: str, columns: Sequence[Column]) -> Table:
    points = [point for curve in report.curves for point in curve.points]
    shown = [column for column in columns if any(column[1](point).text for point in points)]
    groups = [
        (curve.name if len(report.curves) > 1 else "", [_row(report, curve, point, shown) for point in curve.points])
        for curve in report.curves
    ]
    note = f"Below each figure: its {readable.rounded_share(report.confidence)} interval."
    return Table(name, title, note, ["Dimensions", *(title for title, _ in shown)], groups)


def _row(
    report: DimensionsReport, curve: DimensionsCurve, point: DimensionsPoint, columns: Sequence[Column]
) -> TableRow:
    return TableRow(f"{point.dimensions:,}", [show(point) for _, show in columns], is_chosen(report, curve, point))


def storage(report: DimensionsReport) -> Table:
    """Bytes of a vector and of all that are expected."""
    points = [point for size in sizes(report) if (point := anywhere(report, size)) is not None]
    kinds = [kind for kind in STORED if any(kind in point.bytes for point in points)]
    rows = [
        TableRow(
            f"{point.dimensions:,}",
            [Cell(readable.size(known[kind])) for known in (point.bytes, point.total) for kind in kinds],
            point.dimensions == report.recommendation.dimensions,
        )
        for point in points
    ]
    spans = ["A vector", readable.amount(report.expected, "vector")]
    note = "As the searched index holds the vectors."
    return Table("storage", "Storage", note, ["Dimensions", *kinds, *kinds], [("", rows)], spans)


def funnels(report: DimensionsReport) -> Table:
    """Recall and time of each funnel, beside the plain search on the same backend."""
    recall = f"its recall@{report.k}"
    columns = ["Stages", "Oversampling", "Backend", "Plain search", recall, "Funnel", recall, "Gain"]
    rows = [_funnel(funnel) for funnel in report.funnels]
    title = "Funnels beside the plain search on the same backend"
    note = "Times: the median, and below it the 95th percentile."
    return Table("funnels", title, note, columns, [("", rows)])


def _funnel(funnel: FunnelReport) -> TableRow:
    cells = [
        Cell(f"{funnel.oversampling:g}×"),
        Cell(funnel.backend, is_name=True),
        _both_times(funnel.plain_ms),
        _share(funnel.plain_recall),
        _both_times(funnel.funnel_ms),
        _share(funnel.recall),
        _gain(funnel),
    ]
    return TableRow(" → ".join(f"{stage:,}" for stage in funnel.stages), cells)


def _gain(funnel: FunnelReport) -> Cell:
    if not funnel.funnel_ms.median or not funnel.plain_ms.median:
        return Cell()
    ratio = funnel.plain_ms.median / funnel.funnel_ms.median
    if 0.95 < ratio < 1.05:
        return Cell("none")
    return Cell(f"{ratio:.1f}× faster" if ratio > 1 else f"{1 / ratio:.1f}× slower")


def _share(found: Interval | None) -> Cell:
    if found is None:
        return Cell()
    return _figure(readable.share(found.value, 2), readable.shares(found.low, found.high, 2))


def _decimal(found: Interval | None) -> Cell:
    return Cell() if found is None else _figure(f"{found.value:.3f}", f"{found.low:.3f}–{found.high:.3f}")


def _both_times(found: SearchTimes) -> Cell:
    return _figure(readable.milliseconds(found.median), readable.milliseconds(found.p95))


def _time(found: SearchTimes | None, name: str) -> Cell:
    return Cell() if found is None else Cell(readable.milliseconds(getattr(found, name)))


def _figure(value: str, below: str) -> Cell:
    return Cell(value, "" if below == value else below)

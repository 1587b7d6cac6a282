"""The charts of a dimensions report: which figures are drawn, and how they are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from markupsafe import Markup

from nestvec_report import charts, readable
from nestvec_report.charts import Goal, Mark, Series, Track
from nestvec_report.drawing import Words
from nestvec_report.readings import STORED, anywhere, at, is_chosen, sizes

if TYPE_CHECKING:
    from nestvec import DimensionsCurve, DimensionsPoint, DimensionsReport, Interval, SearchTimes

Measure = Callable[["DimensionsPoint"], "Interval | None"]
_TABLE = "All figures are in the tables below."
#: How a range of which only the upper part matters is cut: this many times what may be lost.
_MARGIN = 4
_FIRST = ("var(--plain)", "circle", (1, 0))
_SECOND = ("var(--nested)", "square", (7, 3))
_KINDS = (
    Series("float32", *_FIRST),
    Series("int8", "var(--int8)", "square", (7, 3)),
    Series("binary", "var(--binary)", "M0,-1.2L1.2,0L0,1.2L-1.2,0Z", (2, 3)),
)
_STORED = {"float32": "--f32", "float16": "--f16", "int8": "--i8", "binary": "--bin"}


def kept(report: DimensionsReport) -> Markup:
    """The share of quality that each size keeps."""
    name = f"Share of {report.recommendation.measure} kept, by dimensions"
    return _by_dimensions(report, name, lambda point: point.kept, readable.share, charts.PERCENT, _goal(report))


def recall(report: DimensionsReport) -> Markup:
    """recall@k of each size."""
    name = f"recall@{report.k} by dimensions"
    return _by_dimensions(report, name, lambda point: point.recall, readable.share, charts.PERCENT)


def ndcg(report: DimensionsReport) -> Markup:
    """nDCG@10 of each size; nothing without labels."""
    name = "nDCG@10 by dimensions"
    return _by_dimensions(report, name, lambda point: point.ndcg, lambda value: f"{value:.3f}", charts.DECIMAL)


def _goal(report: DimensionsReport) -> Goal:
    return Goal(report.keep, f"wanted: {readable.rounded_share(report.keep)}")


def _by_dimensions(
    report: DimensionsReport,
    name: str,
    measure: Measure,
    say: Callable[[float], str],
    names: str,
    goal: Goal | None = None,
) -> Markup:
    marks = [
        Mark(series, point.dimensions, found.value, found.low, found.high, told, is_chosen(report, curve, point))
        for curve in report.curves
        for point in curve.points
        if (found := measure(point)) is not None
        for series in [_series_name(curve)]
        for told in [f"{point.dimensions:,} dimensions, {series}: {_spoken(found, say)}"]
    ]
    if not marks:
        return Markup()
    named = sorted({mark.x for mark in marks})
    first = [size for size in (report.recommendation.dimensions, named[-1], named[0]) if size in named]
    words = _words(name, [f"{series.name}: {_listed(marks, series, say)}" for series in _series(report)], ". ")
    return charts.curves(words, marks, _series(report), partial(charts.sizes, named, first), names, goal)


def _listed(marks: Sequence[Mark], series: Series, say: Callable[[float], str]) -> str:
    return ", ".join(f"{say(mark.value)} at {mark.x:,.0f}" for mark in marks if mark.series == series.name)


def _series_name(curve: DimensionsCurve) -> str:
    return readable.clean(curve.name)


def _series(report: DimensionsReport) -> list[Series]:
    looks = {"plain": _FIRST, "nested": _SECOND} if len(report.curves) > 1 else {}
    return [Series(_series_name(curve), *looks.get(curve.name, _FIRST)) for curve in report.curves]


def _words(name: str, told: Sequence[str], between: str = "; ") -> Words:
    return Words(name, f"{between.join(told)}. {_TABLE}")


def _spoken(found: Interval, say: Callable[[float], str] = readable.share) -> str:
    return f"{say(found.value)} ({say(found.low)} to {say(found.high)})"


def close(report: DimensionsReport) -> Markup:
    """The intervals near the wanted share: what the recommendation rests on."""
    tracks = [
        Track(f"{size:,}", series, found.value, found.low, found.high, told, text, is_chosen(report, curve, point))
        for size, curve, point in _by_size(report)
        for found, series in [(point.kept, _series_name(curve))]
        for told in [f"{size:,} dimensions, {series}: {_spoken(found)}"]
        for text in [readable.shares(found.low, found.high)]
    ]
    low = max(report.keep - max(_MARGIN * (1 - report.keep), 0.02), 0.0)
    words = _words(f"Confidence intervals near {readable.rounded_share(report.keep)}", [track.told for track in tracks])
    high = max(1.0, *(track.high for track in tracks))
    return charts.ranges(words, tracks, _series(report), low, high, charts.PERCENT, _goal(report))


def _by_size(report: DimensionsReport) -> list[tuple[int, DimensionsCurve, DimensionsPoint]]:
    """All points, those of one size beside one another."""
    return [
        (size, curve, point)
        for size in sizes(report)
        for curve in report.curves
        if (point := at(curve, size)) is not None
    ]


def storage(report: DimensionsReport) -> Markup:
    """Bytes of all expected vectors, by size and kind of storage."""
    tracks = [
        Track(f"{size:,}", kind, bytes_, 0, bytes_, told, text, size == report.recommendation.dimensions)
        for size in sizes(report)
        if (point := anywhere(report, size)) is not None
        for told in [f"{size:,} dimensions: {_by_kind(point)}"]
        for kind, bytes_ in point.total.items()
        for text in [readable.size(bytes_) if bytes_ == max(point.total.values()) else ""]
    ]
    kinds = [Series(kind, f"var({_STORED[kind]})") for kind in STORED if any(kind == t.series for t in tracks)]
    name = f"Storage of {readable.amount(report.expected, 'vector')}, by dimensions"
    return charts.bars(_words(name, list(dict.fromkeys(track.told for track in tracks))), tracks, kinds)


def _by_kind(point: DimensionsPoint) -> str:
    return ", ".join(f"{readable.size(bytes_)} as {kind}" for kind, bytes_ in point.total.items())


def trade(report: DimensionsReport, curve: DimensionsCurve) -> Markup:
    """recall@k of one curve against the bytes of all expected vectors, for each kind of storage."""
    marks = [
        _stored(report, curve, point, series.name)
        for series in _KINDS
        for point in curve.points
        if point.total.get(series.name)
    ]
    kinds = [series for series in _KINDS if any(mark.series == series.name for mark in marks)]
    goal = _goal(report) if report.recommendation.measure == f"recall@{report.k}" else None
    told = [
        f"{series.name}: "
        + ", ".join(f"{readable.share(m.value)} in {readable.size(m.x)}" for m in marks if m.series == series.name)
        for series in kinds
    ]
    words = _words(f"recall@{report.k} by storage, {curve.name} prefixes", told, ". ")
    axis = charts.powers(min(mark.x for mark in marks), max(mark.x for mark in marks))
    return charts.curves(words, marks, kinds, lambda _: axis, charts.PERCENT, goal)


def _stored(report: DimensionsReport, curve: DimensionsCurve, point: DimensionsPoint, kind: str) -> Mark:
    found = {"float32": point.recall, "int8": point.int8, "binary": point.binary}[kind]
    bytes_ = point.total[kind]
    told = f"{point.dimensions:,} dimensions as {kind}, {readable.size(bytes_)}: {_spoken(found)}"
    chosen = kind == "float32" and is_chosen(report, curve, point)
    label = f"{point.dimensions:,} dimensions" if chosen else f"{point.dimensions:,}"
    return Mark(kind, bytes_, found.value, found.low, found.high, told, chosen, label)


def times(report: DimensionsReport) -> Markup:
    """Search time of each size on the backend; nothing where it was not measured."""
    tracks = [
        _timed(point.search_ms, f"{size:,}", series, told, chosen=is_chosen(report, curve, point))
        for size, curve, point in _by_size(report)
        if point.search_ms is not None
        for series in [_series_name(curve)]
        for told in [f"{size:,} dimensions, {series}"]
    ]
    return _spans("Search time by dimensions", tracks, _series(report))


def funnels(report: DimensionsReport) -> Markup:
    """Search time of each funnel beside the plain search."""
    tracks = [
        _timed(found, name, series.name, f"{name}, {series.name.removesuffix(' search')} search")
        for funnel in report.funnels
        for name in [" → ".join(f"{stage:,}" for stage in funnel.stages)]
        for series, found in zip(_SEARCHES, (funnel.plain_ms, funnel.funnel_ms), strict=True)
    ]
    return _spans("Search time of funnels and of the plain search", tracks, _SEARCHES)


_SEARCHES = (Series("plain search", *_FIRST), Series("funnel", *_SECOND))


def _timed(found: SearchTimes, row: str, series: str, name: str, *, chosen: bool = False) -> Track:
    """A range from the median to the 95th percentile."""
    median, p95 = readable.milliseconds(found.median), readable.milliseconds(found.p95)
    told = f"{name}: median {median}, 95th percentile {p95}"
    longest = max(found.p95, found.median)
    return Track(row, series, found.median, found.median, longest, told, f"{median} · {p95}", chosen)


def _spans(name: str, tracks: Sequence[Track], series: Sequence[Series]) -> Markup:
    if not tracks:
        return Markup()
    measured = [each for each in series if any(track.series == each.name for track in tracks)]
    words = _words(name, [track.told for track in tracks])
    return charts.ranges(words, tracks, measured, 0.0, max(track.high for track in tracks), charts.MILLISECONDS)

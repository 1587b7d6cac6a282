"""The charts of a dimensions report: which figures are drawn, and how they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from xml.etree.ElementTree import Element

from nestvec._evaluation import readable
from nestvec._evaluation.charts import NO_LEGEND, Axis, Goal, Legend, Line, Mark, Row, Track, Words, curves, rows
from nestvec._evaluation.figures import STORED, Curve, Figures, Interval, Point, Times
from nestvec._evaluation.scales import powers, steps

Measure = Callable[[Point], Interval | None]
_TABLE = "All figures are in the tables below."
#: How a range of which only the upper part matters is cut: this many times what may be lost.
_MARGIN = 4


def kept(report: Figures) -> Element | None:
    """The share of quality that each size keeps."""
    name = f"Share of {report.recommendation.measure} kept, by dimensions"
    return _by_dimensions(report, name, lambda point: point.kept, readable.share, _percent, _goal(report), ceiling=1.0)


def _goal(report: Figures) -> Goal:
    return Goal(report.keep, f"wanted: {readable.rounded_share(report.keep)}")


def recall(report: Figures) -> Element | None:
    """recall@k of each size."""
    name = f"recall@{report.k} by dimensions"
    return _by_dimensions(report, name, lambda point: point.recall, readable.share, _percent, ceiling=1.0)


def ndcg(report: Figures) -> Element | None:
    """nDCG@10 of each size."""
    return _by_dimensions(report, "nDCG@10 by dimensions", lambda point: point.ndcg, _decimal, lambda v: f"{v:.4g}")


def _by_dimensions(
    report: Figures,
    name: str,
    measure: Measure,
    say: Callable[[float], str],
    tick: Callable[[float], str],
    goal: Goal | None = None,
    ceiling: float | None = None,
) -> Element | None:
    lines = [line for curve in report.curves if (line := _line(report, curve, measure, say)).marks]
    if not lines:
        return None
    marks = [mark for line in lines for mark in line.marks]
    tops = [mark.at.high for mark in marks] + ([] if ceiling is None else [ceiling])
    levels = steps(min([mark.at.low for mark in marks] + ([goal.value] if goal else [])), max(tops))
    sizes = sorted({mark.x for mark in marks})
    x = Axis(
        sizes,
        lambda v: f"{v:,.0f}",
        sizes[0],
        sizes[-1],
        log=True,
        first=_first(report, sizes),
        strong=report.recommendation.dimensions,
    )
    words = Words(name, f"{'. '.join(_told(line, say) for line in lines)}. {_TABLE}")
    return curves(words, lines, x, Axis(levels, tick, levels[0], levels[-1]), goal)


def _first(report: Figures, sizes: Sequence[float]) -> list[float]:
    """Sizes whose names must not be left out: the recommended one above all."""
    return [size for size in (report.recommendation.dimensions, sizes[-1], sizes[0]) if size in sizes]


def _line(report: Figures, curve: Curve, measure: Measure, say: Callable[[float], str]) -> Line:
    marks = []
    for point in curve.points:
        if (at := measure(point)) is not None:
            told = f"{point.dimensions:,} dimensions, {curve.name}: {_spoken(at, say)}"
            marks.append(Mark(point.dimensions, at, told, _is_chosen(report, curve, point)))
    return Line(curve.name, style(report, curve), marks)


def style(report: Figures, curve: Curve) -> str:
    """The class of a curve in the style sheet."""
    return curve.name if curve.name in ("plain", "nested") and len(report.curves) > 1 else "only"


def _is_chosen(report: Figures, curve: Curve, point: Point) -> bool:
    return report.is_chosen(curve) and point.dimensions == report.recommendation.dimensions


def _told(line: Line, say: Callable[[float], str]) -> str:
    return f"{line.name}: " + ", ".join(f"{say(mark.at.value)} at {mark.x:,.0f}" for mark in line.marks)


def _spoken(at: Interval, say: Callable[[float], str] = readable.share) -> str:
    return f"{say(at.value)} ({say(at.low)} to {say(at.high)})"


def close(report: Figures) -> Element | None:
    """The intervals near the wanted share: what the recommendation rests on."""
    lines = [row for size in report.sizes if (row := _interval_row(report, size)).tracks]
    if not lines:
        return None
    room = max(_MARGIN * (1 - report.keep), 0.02)
    highest = max([1.0, *(track.at.high for row in lines for track in row.tracks if track.at is not None)])
    ticks = steps(max(report.keep - room, 0.0), highest, 5)
    x = Axis(ticks, _percent, ticks[0], ticks[-1])
    told = "; ".join(track.told for row in lines for track in row.tracks)
    words = Words(f"Confidence intervals near {readable.rounded_share(report.keep)}", f"{told}. {_TABLE}")
    legend = Legend([(style(report, curve), curve.name) for curve in report.curves])
    return rows(words, lines, x, _goal(report), legend)


def _interval_row(report: Figures, size: int) -> Row:
    tracks = []
    for curve in report.curves:
        point = curve.at(size)
        if point is not None and point.kept is not None:
            at = point.kept
            told = f"{size:,} dimensions, {curve.name}: {_spoken(at)}"
            text = readable.shares(at.low, at.high)
            tracks.append(Track(text, told, style(report, curve), at=at, chosen=_is_chosen(report, curve, point)))
    return Row(f"{size:,}", tracks, size == report.recommendation.dimensions)


def storage(report: Figures) -> Element:
    """Bytes of all expected vectors, by size and kind of storage."""
    lines = [
        Row(
            f"{size:,}",
            [_bars(size, point, chosen=size == report.recommendation.dimensions)],
            size == report.recommendation.dimensions,
        )
        for size in report.sizes
        if (point := report.anywhere(size)) is not None and point.total
    ]
    longest = max(value for row in lines for track in row.tracks for _, value in track.bars)
    x = Axis([tick for tick in steps(0, longest, 4) if tick <= longest], _bytes, 0, longest)
    kinds = [kind for kind in STORED if any(kind == name for row in lines for t in row.tracks for name, _ in t.bars)]
    told = "; ".join(track.told for row in lines for track in row.tracks)
    words = Words(f"Storage of {readable.amount(report.expected, 'vector')}, by dimensions", f"{told}. {_TABLE}")
    return rows(words, lines, x, shown=Legend([(kind, kind) for kind in kinds], square=True))


def _bars(size: int, point: Point, *, chosen: bool) -> Track:
    told = ", ".join(f"{readable.size(value)} as {kind}" for kind, value in point.total.items())
    largest = readable.size(max(point.total.values()))
    return Track(largest, f"{size:,} dimensions: {told}", bars=list(point.total.items()), chosen=chosen)


def trade(report: Figures, curve: Curve) -> Element | None:
    """recall@k of one curve against the bytes of all expected vectors, for each kind of storage."""
    lines = list(_stored_lines(report, curve))
    if len(lines) < 2:
        return None
    marks = [mark for line in lines for mark in line.marks]
    low, high = min(mark.x for mark in marks), max(mark.x for mark in marks)
    goal = _goal(report) if report.recommendation.measure == f"recall@{report.k}" else None
    lowest = min([mark.at.low for mark in marks] + ([goal.value] if goal else []))
    levels = steps(lowest, max(1.0, *(mark.at.high for mark in marks)))
    x = Axis(powers(low, high), readable.size, low, high, log=True)
    told = ". ".join(
        f"{line.name}: " + ", ".join(f"{readable.share(m.at.value)} in {readable.size(m.x)}" for m in line.marks)
        for line in lines
    )
    words = Words(f"recall@{report.k} by storage, {curve.name} prefixes", f"{told}. {_TABLE}")
    return curves(words, lines, x, Axis(levels, _percent, levels[0], levels[-1]), goal)


_STORED: dict[str, Measure] = {"float32": lambda p: p.recall, "int8": lambda p: p.int8, "binary": lambda p: p.binary}


def _stored_lines(report: Figures, curve: Curve) -> Iterator[Line]:
    for kind, measure in _STORED.items():
        marks = []
        for point in curve.points:
            at, size = measure(point), point.total.get(kind)
            if at is not None and size:
                told = f"{point.dimensions:,} dimensions as {kind}, {readable.size(size)}: {_spoken(at)}"
                chosen = kind == "float32" and _is_chosen(report, curve, point)
                label = f"{point.dimensions:,} dimensions" if chosen else f"{point.dimensions:,}"
                marks.append(Mark(size, at, told, chosen, label))
        if marks:
            yield Line(kind, f"as-{kind}", marks)


def times(report: Figures) -> Element | None:
    """Search time of each size on the backend."""
    lines = [row for size in report.sizes if (row := _time_row(report, size)).tracks]
    timed_ = [curve for curve in report.curves if any(point.search for point in curve.points)]
    legend = Legend([(style(report, curve), curve.name) for curve in timed_])
    return spans("Search time by dimensions", lines, legend) if lines else None


def _time_row(report: Figures, size: int) -> Row:
    tracks = []
    for curve in report.curves:
        point = curve.at(size)
        if point is not None and point.search is not None:
            name = f"{size:,} dimensions, {curve.name}"
            tracks.append(timed(point.search, name, style(report, curve), chosen=_is_chosen(report, curve, point)))
    return Row(f"{size:,}", tracks, size == report.recommendation.dimensions)


def funnels(report: Figures) -> Element | None:
    """Search time of each funnel beside the plain search."""
    lines = []
    for funnel in report.funnels:
        name = " → ".join(f"{stage:,}" for stage in funnel.stages)
        both = (("plain", funnel.plain), ("funnel", funnel.funnel))
        tracks = [timed(at, f"{name}, {kind} search", f"time-{kind}") for kind, at in both if at is not None]
        if tracks:
            lines.append(Row(name, tracks))
    legend = Legend([("time-plain", "plain search"), ("time-funnel", "funnel")])
    return spans("Search time of funnels and of the plain search", lines, legend) if lines else None


def timed(at: Times, name: str, style_: str, *, chosen: bool = False) -> Track:
    """A range from the median to the 95th percentile."""
    text = f"{readable.milliseconds(at.median)} · {readable.milliseconds(at.p95)}"
    told = f"{name}: median {readable.milliseconds(at.median)}, 95th percentile {readable.milliseconds(at.p95)}"
    return Track(text, told, style_, at=Interval(at.median, at.median, max(at.p95, at.median)), chosen=chosen)


def spans(name: str, lines: Sequence[Row], legend: Legend = NO_LEGEND) -> Element:
    """Ranges of times, from zero."""
    longest = max(track.at.high for row in lines for track in row.tracks if track.at is not None)
    ticks = steps(0, longest, 4)
    told = "; ".join(track.told for row in lines for track in row.tracks)
    x = Axis(ticks, readable.rounded_milliseconds, 0, ticks[-1])
    return rows(Words(name, f"{told}. {_TABLE}"), lines, x, shown=legend)


def _percent(value: float) -> str:
    return readable.rounded_share(round(value, 6))


def _decimal(value: float) -> str:
    return f"{value:.3f}"


def _bytes(value: float) -> str:
    return readable.size(value) if value else "0"

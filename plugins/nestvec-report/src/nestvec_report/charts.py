"""Two kinds of chart, in Vega-Lite: lines with confidence bands over one axis, and rows of bars or ranges.

Colours are variables of the style sheet. What is read of a mark when the mouse rests on it is its `told`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from markupsafe import Markup

from nestvec_report.drawing import INK, MUTED, PAPER, RAISED, Spec, Words, chart

_EM = 6.6  # a character of the labels, on average
_LEGEND = {"title": None, "orient": "top"}

# How axes name numbers: Vega expressions.
PERCENT = "format(datum.value * 100, '.6~g') + '\u00a0%'"
DECIMAL = "format(datum.value, '.4~g')"
DIMENSIONS = "format(datum.value, ',')"
BYTES = (
    "!datum.value ? '0' : datum.value < 1000 ? format(datum.value, '~g') + '\u00a0bytes'"
    " : replace(format(datum.value, '~s'), /[A-Za-z]/, '\u00a0$&B')"
)
MILLISECONDS = (
    "!datum.value ? '0' : datum.value < 1000 ? format(datum.value, '~g') + '\u00a0ms'"
    " : format(datum.value / 1000, '~g') + '\u00a0s'"
)


@dataclass(frozen=True)
class Series:
    """Marks of one kind. Shape (a name, or a path within -1 to 1) and dash tell them apart without colour."""

    name: str
    colour: str
    shape: str = "circle"
    dash: tuple[int, int] = (1, 0)


@dataclass(frozen=True)
class Mark:
    """A point of a line; `label` is shown beside it."""

    series: str
    x: float
    value: float
    low: float
    high: float
    told: str
    chosen: bool = False
    label: str = ""


@dataclass(frozen=True)
class Track:
    """One bar or range in a row, with its text to the right. A bar goes from 0 to `value`."""

    row: str
    series: str
    value: float
    low: float
    high: float
    told: str
    text: str = ""
    chosen: bool = False


@dataclass(frozen=True)
class Goal:
    """A line across the chart at a wanted value."""

    value: float
    text: str


def _layer(mark: str, encoding: Spec, *, where: str = "", **properties: Any) -> Spec:
    """Marks for those of the data `where` an expression is true; they are not read aloud unless they are described."""
    drawn = {"type": mark, "aria": "description" in encoding, **properties}
    return {"mark": drawn, "encoding": encoding} | ({"transform": [{"filter": where}]} if where else {})


def _data(records: Sequence[Any]) -> Spec:
    return {"values": [asdict(record) for record in records]}


def _number(field: str, scale: Spec | None = None, axis: Spec | None = None) -> Spec:
    made = {"field": field, "type": "quantitative"}
    return made | ({"scale": scale} if scale else {}) | ({"axis": axis} if axis else {})


def _by_series(series: Sequence[Series], name: str, legend: Spec | None = None) -> Spec:
    """An encoding that gives each series the value it has for it."""
    scale = {"domain": [each.name for each in series], "range": [getattr(each, name) for each in series]}
    return {"field": "series", "type": "nominal", "scale": scale, "legend": legend if len(series) > 1 else None}


def _goal(goal: Goal | None, along: str, encoding: Spec, **text: Any) -> list[Spec]:
    """A line at the wanted value of an axis, and what it is."""
    if goal is None:
        return []
    at = {along: _number("value")}
    line = _layer("rule", at, strokeDash=[5, 4], color=INK)
    told = _layer("text", at | encoding | {"text": {"field": "text"}}, fill=INK, **text)
    return [{"data": _data([goal]), **layer} for layer in (line, told)]


# ---------------------------------------------------------------- lines


def curves(
    words: Words,
    marks: Sequence[Mark],
    series: Sequence[Series],
    x: Callable[[float], Spec],
    names: str,
    goal: Goal | None = None,
) -> Markup:
    """Lines over a logarithmic axis, with their confidence bands.

    `x` makes the axis for a room in pixels; `names` says how the numbers at the left are told.
    """
    low, high = min(mark.x for mark in marks), max(mark.x for mark in marks)
    axis = {"tickCount": 5, "labelExpr": names, "ticks": False, "labelPadding": 8}
    up = _number("value", {"domain": _heights(marks, goal), "zero": False, "nice": 5}, axis)
    wanted = _goal(goal, "y", {"x": {"value": 0}}, align="left", dx=6, dy=13, stroke=PAPER, strokeWidth=3)

    def drawn(width: int) -> Spec:
        axis = x(width - 74) | {"grid": False}
        place = {"x": _number("x", {"type": "log", "domain": [low, high], "nice": False}, axis), "y": up}
        layers = [*wanted, *_lines(series, place), *_labels(marks, place)]
        size = {
            "width": width,
            "height": 340 if width > 400 else 280,
            "autosize": {"type": "fit", "contains": "padding"},
        }
        return {"data": _data(_with_room(marks, width - 74)), "layer": layers, **size}

    return chart(words, drawn)


def _heights(marks: Sequence[Mark], goal: Goal | None) -> list[float]:
    """What a vertical axis spans: all bands, and what is wanted with room for its text below the line."""
    low, high = min(mark.low for mark in marks), max(mark.high for mark in marks)
    if goal is not None:
        high = max(high, 1.0)
        low = min(low, goal.value - 0.3 * (high - goal.value))
    return [low, high] if low < high else [low - 0.1, high + 0.1]


def sizes(values: Sequence[float], first: Sequence[float], room: float) -> Spec:
    """An axis that names sizes where there is room (pixels); those of `first` before all others, the first in bold."""
    span = math.log(values[-1] / values[0]) or 1
    taken: list[float] = []
    for value in [*first, *(each for each in values if each not in first)]:
        width = _EM * len(f"{value:,.0f}") + 8
        if all(abs(math.log(value / other)) / span * room >= width for other in taken):
            taken.append(value)
    bold, ink = ({"condition": {"test": f"datum.value == {first[0]}", "value": value}} for value in ("bold", INK))
    shown = {"labelFontWeight": bold | {"value": "normal"}, "labelColor": ink | {"value": MUTED}}
    return {"values": sorted(taken), "labelExpr": DIMENSIONS, "labelOverlap": False, **shown}


def powers(low: float, high: float) -> Spec:
    """An axis that names bytes at 1, 10, 100 …; and at numbers between where that leaves fewer than three."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        found = [factor * 10.0**decade for decade in decades for factor in factors]
        inside = [value for value in found if low <= value <= high]
        if len(inside) > 2:
            break
    return {"values": inside, "labelExpr": BYTES}


def _with_room(marks: Sequence[Mark], room: float) -> list[Mark]:
    """The marks, without labels that would lie on one another or on that of the chosen one."""
    low, high = min(mark.value for mark in marks), max(mark.value for mark in marks)
    top, bottom = high - 0.12 * (high - low), low + 0.2 * (high - low)  # lines lie close together at the top
    scale = room / (math.log(max(mark.x for mark in marks) / min(mark.x for mark in marks)) or 1)
    foot = [(math.log(mark.x) * scale, _EM * len(mark.label) + 30) for mark in marks if mark.chosen]
    free: dict[str, float] = {}  # where the label to the right begins
    made = []
    for mark in sorted(marks, key=lambda mark: -mark.x):
        at = math.log(mark.x) * scale
        ends = at + 5 + _EM * len(mark.label)
        is_free = mark.value < top and ends <= free.get(mark.series, ends)
        is_apart = mark.value > bottom or all(abs(at - x) > width for x, width in foot)
        is_shown = mark.chosen or (is_free and is_apart)
        free |= {mark.series: at} if is_shown else {}
        made.append(mark if is_shown else replace(mark, label=""))
    return made


def _lines(series: Sequence[Series], place: Spec) -> list[Spec]:
    colour = {"color": _by_series(series, "colour", _LEGEND)}
    dash = {"strokeDash": _by_series(series, "dash", _LEGEND)}
    band = place | {"y": {**place["y"], "field": "low"}, "y2": {"field": "high"}}
    drop = place | {"y2": {"value": "height"}}
    ring = {"size": 255, "stroke": INK, "strokeWidth": 1.5}
    return [
        _layer("area", band | colour, fillOpacity=0.16),
        _layer("rule", drop, where="datum.chosen", color=INK),
        _layer("line", place | colour | dash, strokeWidth=2),
        _layer("point", place, where="datum.chosen", opacity=1, **ring),
        _dots(series, place | colour),
        _layer("point", place | {"description": {"field": "told"}}, size=450, fill="transparent", strokeWidth=0),
    ]


def _dots(series: Sequence[Series], styled: Spec, where: str = "") -> Spec:
    """Marks of the shape and colour of their series, which a legend explains."""
    shape = {"shape": _by_series(series, "shape", styled["color"]["legend"])}
    paper = {"stroke": PAPER, "strokeWidth": 1.5}
    return _layer("point", styled | shape, where=where, filled=True, size=62, opacity=1, **paper)


def _labels(marks: Sequence[Mark], place: Spec) -> list[Spec]:
    """What stands beside marks; that of the chosen one at the foot of its line."""
    halo, text = {"stroke": PAPER, "strokeWidth": 3}, {"text": {"field": "label"}}
    middle = (min(mark.x for mark in marks) * max(mark.x for mark in marks)) ** 0.5
    is_left = any(mark.chosen and mark.x > middle for mark in marks)
    side = {"align": "right", "dx": -7} if is_left else {"align": "left", "dx": 7}
    foot = place | text | {"y": {"value": "height"}}
    return [
        _layer("text", place | text, where="datum.label && !datum.chosen", align="left", dx=5, dy=12, **halo),
        _layer("text", foot, where="datum.chosen", dy=-12, fill=INK, fontWeight="bold", **side, **halo),
    ]


# ---------------------------------------------------------------- rows


def bars(words: Words, tracks: Sequence[Track], series: Sequence[Series]) -> Markup:
    """Rows of bars that are drawn over one another, so from long to short, with sizes in bytes."""
    axis = {"tickCount": 4, "labelExpr": BYTES, "ticks": False, "labelPadding": 8}
    across = _number("value", {"nice": False}, axis) | {"stack": None}
    colour = _by_series(series, "colour", {**_LEGEND, "symbolType": "square"})
    place = {"x": across, "y": _rows(tracks)}
    return _in_rows(words, tracks, [_layer("bar", place | {"color": colour}, height=14)], {})


def ranges(
    words: Words,
    tracks: Sequence[Track],
    series: Sequence[Series],
    low: float,
    high: float,
    names: str,
    goal: Goal | None = None,
) -> Markup:
    """Rows of ranges with a dot at their value, over an axis from `low` to `high`; `names` says how it names numbers.

    One that ends before the axis begins is an arrow.
    """
    offset = {"field": "series", "sort": [each.name for each in series], "scale": {"paddingOuter": 0.35}}
    track: Spec = {"y": _rows(tracks)} | ({"yOffset": offset} if len(series) > 1 else {})
    scale = {"domain": [low, high], "nice": True, "clamp": True}
    axis = {"tickCount": 5, "labelExpr": names, "ticks": False, "labelPadding": 8}
    ends = [_number(field, scale, axis) for field in ("low", "value", "high")]
    styled = track | {"color": _by_series(series, "colour", _LEGEND | {"offset": 26 if goal else 10})}
    end = {"size": 10, "thickness": 2, "orient": "vertical"}
    begins = f"datum.low >= {low} && datum.low < datum.value"
    drawn = [
        _layer("rule", styled | {"x": ends[0], "x2": {"field": "high"}}, where=f"datum.high >= {low}", strokeWidth=2),
        _layer("tick", styled | {"x": ends[0]}, where=begins, **end),
        _layer("tick", styled | {"x": ends[2]}, where=f"datum.high >= {low} && datum.high > datum.value", **end),
        _dots(series, styled | {"x": ends[1]}, f"datum.value >= {low}"),
        _layer("point", styled | {"x": {"value": 4}}, where=f"datum.high < {low}", **_ARROW),
        *_goal(goal, "x", {"y": {"value": 0}}, dy=-10),
    ]
    return _in_rows(words, tracks, drawn, track)


_ARROW = {"shape": "triangle-left", "size": 60, "filled": True, "opacity": 1}


def _rows(tracks: Sequence[Track]) -> Spec:
    """A band for each row, whose name stands left of it."""
    chosen = next((track.row for track in tracks if track.chosen), "")
    weight = {"condition": {"test": f"datum.value == '{chosen}'", "value": "bold"}, "value": "normal"}
    axis = {"ticks": False, "labelPadding": 8, "labelColor": INK, "labelLimit": 200, "labelFontWeight": weight}
    rows = list(dict.fromkeys(track.row for track in tracks))
    return {"field": "row", "sort": rows, "scale": {"padding": 0}, "axis": axis | {"zindex": 1, "grid": False}}


def _in_rows(words: Words, tracks: Sequence[Track], drawn: Sequence[Spec], place: Spec) -> Markup:
    """What is drawn in rows, on a ground below the chosen one, with texts to the right."""
    rows = {track.row for track in tracks}
    depth = len({track.series for track in tracks}) if "yOffset" in place else 1
    pitch = max(30, min(36, 270 // len(rows))) if depth == 1 else 14 + 18 * depth
    left = 16 + _EM * max(len(row) for row in rows)
    right = 14 + _EM * max(len(track.text) for track in tracks)
    place = {"y": _rows(tracks), **place}
    whole = {"x": {"value": 0}, "x2": {"value": "width"}}
    ground = {"y": _rows(tracks), "x": {"value": -left}, "x2": {"value": "width"}}
    strong = {"fontWeight": {"expr": "datum.chosen ? 'bold' : 'normal'"}}
    strong["fill"] = {"expr": f"datum.chosen ? '{INK}' : '{MUTED}'"}
    text = place | {"x": {"value": "width"}, "text": {"field": "text"}}
    layers = [
        _layer("rect", ground, where="datum.chosen && datum.text", fill=RAISED, cornerRadius=4, x2Offset=right),
        *drawn,
        _layer("bar", place | whole | {"description": {"field": "told"}}, height=16, fill="transparent"),
        _layer("text", text, where="datum.text", align="right", dx=right - 4, **strong),
    ]
    size = {"height": pitch * len(rows), "autosize": {"type": "fit-x", "contains": "padding"}}
    return chart(words, lambda width: {"data": _data(tracks), "layer": layers, "width": width, **size})

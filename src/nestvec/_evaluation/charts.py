"""Charts as inline SVG: lines with confidence bands, and rows of bars or ranges.

Each is drawn twice, for wide and for narrow places, because text in a scaled drawing is scaled with it; the style sheet
shows one of the two. Colours are the style sheet's, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from nestvec._evaluation.figures import Interval
from nestvec._evaluation.markup import element, extend
from nestvec._evaluation.scales import Scale, apart

_EM = 6.6  # a character of the labels, on average
_LEGEND = 24
_LONGEST = 18  # characters of a name in a legend


@dataclass(frozen=True)
class Mark:
    """A point of a line; `told` is shown when the mouse rests on it, `label` beside it."""

    x: float
    at: Interval
    told: str
    chosen: bool = False
    label: str = ""


@dataclass(frozen=True)
class Line:
    """A series of marks; `style` is its class in the style sheet."""

    name: str
    style: str
    marks: Sequence[Mark]


@dataclass(frozen=True)
class Axis:
    """What an axis spans, which numbers it names, and how.

    `first` are those not to be left out for lack of room; `strong` is one that stands out.
    """

    ticks: Sequence[float]
    say: Callable[[float], str]
    low: float
    high: float
    log: bool = False
    first: Sequence[float] = ()
    strong: float | None = None


@dataclass(frozen=True)
class Track:
    """One bar or range in a row, with its text to the right.

    `bars` are drawn over one another from zero, so from long to short. A range goes from `low` to `high` with a dot at
    `value`; one that ends before the axis begins is only told.
    """

    text: str
    told: str
    style: str = ""
    bars: Sequence[tuple[str, float]] = ()
    at: Interval | None = None
    chosen: bool = False


@dataclass(frozen=True)
class Row:
    """Tracks with one label."""

    label: str
    tracks: Sequence[Track]
    chosen: bool = False


@dataclass(frozen=True)
class Goal:
    """A line across the chart at a wanted value."""

    value: float
    text: str


@dataclass(frozen=True)
class Words:
    """The accessible name of a chart, and what it shows."""

    name: str
    description: str


@dataclass(frozen=True)
class Legend:
    """Styles and their names, shown where there are several."""

    items: Sequence[tuple[str, str]] = field(default=())
    square: bool = False


NO_LEGEND = Legend()


def curves(words: Words, lines: Sequence[Line], x: Axis, y: Axis, goal: Goal | None = None) -> Element:
    """Lines over a common horizontal axis, with their confidence bands."""
    legend = Legend([(line.style, line.name) for line in lines])

    def draw(width: int, height: int) -> list[Element]:
        top = 12 + _LEGEND * (len(lines) > 1)
        across = Scale(x.low, x.high, 52, width - 22, x.log)
        up = Scale(y.low, y.high, height - 34, top)
        parts = [_levels(y, up, width), *_goal_across(goal, up, width), _feet(x, across, height - 34)]
        parts += [_band(line, across, up) for line in lines]
        parts += [_drop(mark, across, up, height - 34) for mark in _chosen(lines)]
        parts += [_line(line, across, up) for line in lines]
        parts += [_dot(line.style, across(m.x), up(m.at.value), m) for line in lines for m in line.marks]
        parts += [label for line in lines for label in _labels(line, across, up, width)]
        return [*_legend(legend, 52), *parts]

    return _both(words, draw, (560, 340), (340, 280))


def rows(words: Words, lines: Sequence[Row], x: Axis, goal: Goal | None = None, shown: Legend = NO_LEGEND) -> Element:
    """Labelled rows of bars or ranges over a common axis."""
    depth = max(len(row.tracks) for row in lines)
    pitch = max(30, min(36, 270 // len(lines))) if depth == 1 else 14 + 18 * depth
    left = 14 + round(_EM * max(len(row.label) for row in lines))
    right = 14 + round(_EM * max(len(track.text) for row in lines for track in row.tracks))

    def draw(width: int, height: int) -> list[Element]:
        top = 10 + _LEGEND * (len(shown.items) > 1) + 18 * (goal is not None)
        across = Scale(x.low, x.high, left, width - right, x.log)
        bottom = height - 26
        tops = [top + 4 + i * pitch for i in range(len(lines))]
        parts = [_ground(y, pitch, width) for row, y in zip(lines, tops, strict=True) if row.chosen]
        parts += [_posts(x, across, top, bottom), *_goal_down(goal, across, top, bottom)]
        parts += [_row(row, across, y, pitch, width) for row, y in zip(lines, tops, strict=True)]
        return [*_legend(shown, 0), *parts]

    height = 10 + _LEGEND * (len(shown.items) > 1) + 18 * (goal is not None) + 8 + pitch * len(lines) + 26
    return _both(words, draw, (560, height), (340, height))


def _both(
    words: Words, draw: Callable[[int, int], list[Element]], wide: tuple[int, int], narrow: tuple[int, int]
) -> Element:
    made = element("div", class_="chart")
    for name, (width, height) in (("wide", wide), ("narrow", narrow)):
        drawing = element(
            "svg",
            element("title", words.name),
            element("desc", words.description),
            class_=name,
            viewBox=f"0 0 {width} {height}",
            width=width,
            height=height,
            role="img",
        )
        made.append(extend(drawing, draw(width, height)))
    return made


def text(x: float, y: float, words: str, class_: str = "tick", anchor: str = "middle") -> Element:
    """Text in a chart."""
    return element("text", words, x=round(x, 1), y=round(y, 1), class_=class_, text_anchor=anchor)


def _levels(y: Axis, up: Scale, width: int) -> Element:
    made = element("g", class_="grid")
    for tick in y.ticks:
        made.append(element("line", x1=52, x2=width - 8, y1=up(tick), y2=up(tick)))
        made.append(text(44, up(tick) + 4, y.say(tick), anchor="end"))
    return made


def _feet(x: Axis, across: Scale, bottom: float) -> Element:
    """The names under a chart; those without room are left out."""
    made = element("g", class_="axis")
    labels = [x.say(tick) for tick in x.ticks]
    places = [(across(tick), _EM * len(label) + 8) for tick, label in zip(x.ticks, labels, strict=True)]
    first = [i for i, tick in enumerate(x.ticks) if tick in x.first]
    for i in apart(places, first):
        at = across(x.ticks[i])
        made.append(element("line", x1=at, x2=at, y1=bottom, y2=bottom + 5))
        made.append(text(at, bottom + 20, labels[i], "tick strong" if x.ticks[i] == x.strong else "tick"))
    return made


def _posts(x: Axis, across: Scale, top: float, bottom: float) -> Element:
    made = element("g", class_="grid")
    labels = [x.say(tick) for tick in x.ticks]
    shown = apart([(across(tick), _EM * len(label) + 6) for tick, label in zip(x.ticks, labels, strict=True)], [0])
    for i, tick in enumerate(x.ticks):
        made.append(element("line", x1=across(tick), x2=across(tick), y1=top, y2=bottom))
        if i in shown:
            made.append(text(across(tick), bottom + 18, labels[i]))
    return made


def _goal_across(goal: Goal | None, up: Scale, width: int) -> list[Element]:
    if goal is None:
        return []
    y = up(goal.value)
    line = element("line", x1=52, x2=width - 8, y1=y, y2=y, class_="goal")
    return [line, text(58, y + 16, goal.text, "tick ink halo", "start")]


def _goal_down(goal: Goal | None, across: Scale, top: float, bottom: float) -> list[Element]:
    if goal is None:
        return []
    x = across(goal.value)
    line = element("line", x1=x, x2=x, y1=top, y2=bottom, class_="goal")
    return [line, text(x, top - 6, goal.text, "tick ink halo")]


def _band(line: Line, across: Scale, up: Scale) -> Element:
    above = [f"{across(mark.x)},{up(mark.at.high)}" for mark in line.marks]
    below = [f"{across(mark.x)},{up(mark.at.low)}" for mark in reversed(line.marks)]
    return element("path", d=f"M{'L'.join([*above, *below])}Z", class_=f"band {line.style}")


def _line(line: Line, across: Scale, up: Scale) -> Element:
    places = [f"{across(mark.x)},{up(mark.at.value)}" for mark in line.marks]
    return element("path", d=f"M{'L'.join(places)}", class_=f"line {line.style}")


def _chosen(lines: Sequence[Line]) -> list[Mark]:
    return [mark for line in lines for mark in line.marks if mark.chosen]


def _drop(mark: Mark, across: Scale, up: Scale, bottom: float) -> Element:
    x, y = across(mark.x), up(mark.at.value)
    left = x > (across.start + across.end) / 2
    label = text(x + (-7 if left else 7), bottom - 10, mark.label, "tick strong halo", "end" if left else "start")
    return element(
        "g",
        label if mark.label else None,
        element("line", x1=x, x2=x, y1=y, y2=bottom),
        element("circle", cx=x, cy=y, r=9),
        class_="chosen",
    )


def _dot(style: str, x: float, y: float, mark: Mark) -> Element:
    target = element("circle", element("title", mark.told), cx=x, cy=y, r=12, class_="target")
    return element("g", _shape(style, x, y), target, class_=f"dot {style}")


def _shape(style: str, x: float, y: float) -> Element:
    """A mark by which a series is known without its colour."""
    if style in ("nested", "as-int8", "time-funnel"):
        return element("rect", x=round(x - 3.5, 1), y=round(y - 3.5, 1), width=7, height=7)
    if style == "as-binary":
        return element("path", d=f"M{x},{y - 5:.1f}l5,5l-5,5l-5,-5Z")
    return element("circle", cx=x, cy=y, r=4)


def _labels(line: Line, across: Scale, up: Scale, width: int) -> list[Element]:
    """The labels of marks, from the last one on; those without room are left out."""
    made: list[Element] = []
    free = float(width)
    for mark in reversed(line.marks):
        x = across(mark.x) + 5
        low_enough = up(mark.at.value) > up.end + 26  # lines lie close together at the top
        if mark.label and not mark.chosen and low_enough and x + _EM * len(mark.label) <= free:
            made.append(text(x, up(mark.at.value) + 15, mark.label, "tick halo", "start"))
            free = x - 5
    return made


def _legend(legend: Legend, left: float) -> list[Element]:
    if len(legend.items) < 2:
        return []
    made, x = element("g", class_="legend"), left
    for style, name in legend.items:
        if legend.square:
            made.append(element("rect", x=x, y=5, width=12, height=12, class_=f"bar {style}"))
        else:
            made.append(element("path", d=f"M{x},11h24", class_=f"line {style}"))
            made.append(element("g", _shape(style, x + 12, 11), class_=f"dot {style}"))
        x += 18 if legend.square else 31
        short = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
        made.append(text(x, 15, short, "tick ink", "start"))
        x += round(_EM * len(short)) + 18
    return [made]


def _ground(top: float, pitch: float, width: int) -> Element:
    return element("rect", x=0, y=top, width=width, height=pitch, rx=4, class_="ground")


def _row(row: Row, across: Scale, top: float, pitch: float, width: int) -> Element:
    made = element("g")
    made.append(text(8, top + pitch / 2 + 4, row.label, "tick strong" if row.chosen else "tick ink", "start"))
    for i, track in enumerate(row.tracks):
        y = round(top + pitch / 2 + 18 * (i - (len(row.tracks) - 1) / 2), 1)
        made.append(_track(track, across, y))
        made.append(text(width - 4, y + 4, track.text, "tick strong" if track.chosen else "tick", "end"))
    return made


def _track(track: Track, across: Scale, y: float) -> Element:
    made = element("g", element("title", track.told), class_=f"track {track.style}")
    for style, value in track.bars:
        width = max(round(across(value) - across.start, 1), 1)
        made.append(element("rect", x=across.start, y=y - 7, width=width, height=14, class_=f"bar {style}"))
    return made if track.at is None else extend(made, _range(track.at, track.style, across, y))


def _range(at: Interval, style: str, across: Scale, y: float) -> list[Element]:
    if at.high < across.low:  # an arrow to where it would be
        return [element("path", d=f"M{across.start + 8},{y - 4}l-7,4l7,4Z", class_="outside")]
    low, high = across(max(at.low, across.low)), across(min(at.high, across.high))
    ends = [*([low] if across.low <= at.low < at.value else []), *([high] if at.high > at.value else [])]
    whisker = f"M{low},{y}H{high}" + "".join(f"M{end},{y - 5}v10" for end in ends)
    made = [element("path", d=whisker, class_="whisker")]
    return [*made, _shape(style, across(at.value), y)] if at.value >= across.low else made

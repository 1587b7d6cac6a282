"""The tables of a dimensions report: all of its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from xml.etree.ElementTree import Element

from nestvec._evaluation import readable
from nestvec._evaluation.figures import STORED, Curve, Figures, Funnel, Interval, Point, Times
from nestvec._evaluation.markup import element

#: A title, what it shows of a point, and how; nothing to show anywhere leaves it out.
Column = tuple[str, Callable[[Point], object], Callable[[Point], Element]]


def quality(report: Figures) -> list[Element]:
    """What each size of each curve keeps, and how long a search takes."""
    same = all(point.kept == point.recall for curve in report.curves for point in curve.points)
    kept: list[Column] = [
        ("Kept", lambda p: p.kept, lambda p: _share(p.kept)),
        (f"recall@{report.k}", lambda p: p.recall, lambda p: _share(p.recall)),
    ]
    columns: list[Column] = [
        *([(f"recall@{report.k} (kept)", *kept[0][1:])] if same else kept),
        ("nDCG@10", lambda p: p.ndcg, lambda p: _decimal(p.ndcg)),
        ("Search, median", lambda p: p.search, lambda p: _time(p.search, "median")),
        ("Search, 95th percentile", lambda p: p.search, lambda p: _time(p.search, "p95")),
    ]
    timed = _is_measured(report, lambda p: p.search)
    return _measures(report, "quality", "Quality and search time" if timed else "Quality", columns)


def smaller(report: Figures) -> list[Element]:
    """recall@k with numbers that are stored in int8 or binary, with rescoring and without."""
    columns: list[Column] = [
        ("int8, rescored", lambda p: p.int8, lambda p: _share(p.int8)),
        ("int8, not rescored", lambda p: p.unrescored.get("int8"), lambda p: _share(p.unrescored.get("int8"))),
        ("binary, rescored", lambda p: p.binary, lambda p: _share(p.binary)),
        ("binary, not rescored", lambda p: p.unrescored.get("binary"), lambda p: _share(p.unrescored.get("binary"))),
    ]
    if not any(_is_measured(report, read) for _, read, _ in columns):
        return []
    return _measures(report, "smaller", f"recall@{report.k} with small storage", columns)


def _measures(report: Figures, name: str, title: str, columns: Sequence[Column]) -> list[Element]:
    """A table with one group of rows for each curve, without the columns in which nothing was measured."""
    shown = [column for column in columns if _is_measured(report, column[1])]
    head = element("tr", _head("Dimensions"), *(_head(column) for column, _, _ in shown))
    groups = [_group(report, curve, shown) for curve in report.curves]
    note = f"Below each figure: its {readable.rounded_share(report.confidence)} interval."
    return _table(name, title, note, [head], groups)


def _is_measured(report: Figures, read: Callable[[Point], object]) -> bool:
    return any(read(point) is not None for curve in report.curves for point in curve.points)


def _group(report: Figures, curve: Curve, columns: Sequence[Column]) -> Element:
    made = element("tbody")
    if len(report.curves) > 1:
        made.append(
            element("tr", element("th", curve.name, scope="rowgroup", colspan=len(columns) + 1), class_="group")
        )
    for point in curve.points:
        chosen = report.is_chosen(curve) and point.dimensions == report.recommendation.dimensions
        made.append(_row(point.dimensions, chosen, (cell(point) for _, _, cell in columns)))
    return made


def storage(report: Figures) -> list[Element]:
    """Bytes of a vector and of all that are expected."""
    points = [point for size in report.sizes if (point := report.anywhere(size)) is not None]
    kinds = [kind for kind in STORED if any(kind in point.bytes for point in points)]
    above = element(
        "tr",
        element("th", "Dimensions", scope="col", rowspan=2),
        element("th", "A vector", scope="colgroup", colspan=len(kinds)),
        element(
            "th", readable.amount(report.expected, "vector"), scope="colgroup", colspan=len(kinds), class_="second"
        ),
    )
    below = element("tr", *(_head(kind, "second" if i == len(kinds) else None) for i, kind in enumerate(kinds * 2)))
    body = element("tbody")
    for point in points:
        cells = [_size(known.get(kind)) for known in (point.bytes, point.total) for kind in kinds]
        body.append(_row(point.dimensions, point.dimensions == report.recommendation.dimensions, cells))
    note = "As the searched index holds the vectors."
    return _table("storage", "Storage", note, [above, below], [body])


def funnels(report: Figures) -> list[Element]:
    """Recall and time of each funnel, beside the plain search on the same backend."""
    names = (
        "Stages",
        "Oversampling",
        "Backend",
        "Plain search",
        f"its recall@{report.k}",
        "Funnel",
        f"its recall@{report.k}",
        "Gain",
    )
    body = element("tbody", *(_funnel(funnel) for funnel in report.funnels))
    note = "Times: the median, and below it the 95th percentile."
    head = element("tr", *(_head(name) for name in names))
    return _table("funnels", "Funnels beside the plain search on the same backend", note, [head], [body])


def _funnel(funnel: Funnel) -> Element:
    stages = " → ".join(f"{stage:,}" for stage in funnel.stages)
    return element(
        "tr",
        element("th", stages, scope="row"),
        element("td", f"{funnel.oversampling:g}×"),
        element("td", element("bdi", funnel.backend), class_="words"),
        _both_times(funnel.plain),
        _share(funnel.plain_recall),
        _both_times(funnel.funnel),
        _share(funnel.recall),
        _gain(funnel),
    )


def _gain(funnel: Funnel) -> Element:
    if funnel.plain is None or funnel.funnel is None or not funnel.funnel.median or not funnel.plain.median:
        return _missing()
    ratio = funnel.plain.median / funnel.funnel.median
    if 0.95 < ratio < 1.05:
        return element("td", "none")
    return element("td", f"{ratio:.1f}× faster" if ratio > 1 else f"{1 / ratio:.1f}× slower")


def _table(name: str, title: str, note: str, head: Sequence[Element], bodies: Iterable[Element]) -> list[Element]:
    """A heading, and a table that can be scrolled by keyboard where it does not fit."""
    label, below = f"table-{name}", f"table-{name}-note"
    made = element("table", element("thead", *head), *bodies, aria_labelledby=label, aria_describedby=below)
    return [
        element("h3", title, id=label),
        element("p", note, id=below, class_="note"),
        element("div", made, class_="scroll", tabindex=0, role="region", aria_labelledby=label),
    ]


def _head(name: str, class_: str | None = None) -> Element:
    return element("th", name, scope="col", class_=class_)


def _row(dimensions: int, chosen: bool, cells: Iterable[Element]) -> Element:
    note = element("span", "recommended", class_="note") if chosen else None
    label = element("th", f"{dimensions:,}", " " if chosen else None, note, scope="row")
    return element("tr", label, *cells, class_="chosen" if chosen else None)


def _share(at: Interval | None) -> Element:
    return _missing() if at is None else _figure(readable.share(at.value, 2), readable.shares(at.low, at.high, 2))


def _decimal(at: Interval | None) -> Element:
    return _missing() if at is None else _figure(f"{at.value:.3f}", f"{at.low:.3f}–{at.high:.3f}")


def _both_times(at: Times | None) -> Element:
    return _missing() if at is None else _figure(readable.milliseconds(at.median), readable.milliseconds(at.p95))


def _time(at: Times | None, name: str) -> Element:
    return _missing() if at is None else element("td", readable.milliseconds(getattr(at, name)))


def _size(value: float | None) -> Element:
    return _missing() if value is None else element("td", readable.size(value))


def _figure(value: str, below: str) -> Element:
    if below == value:
        return element("td", value)
    return element("td", value, " ", element("span", below, class_="interval"))


def _missing() -> Element:
    return element("td", element("span", "–", aria_hidden="true"), element("span", "not measured", class_="unseen"))

"""A chart in Vega-Lite as SVG that is part of a page: the page's colours and font, a name, and texts on marks.

vl-convert runs Vega within this process: no browser, no network. A colour such as `var(--ink)` stays as it is, so that
one drawing serves light, dark and print.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as Tree

import vl_convert
from markupsafe import Markup

Spec = dict[str, Any]
INK, MUTED, PAPER, RAISED, RULE = (f"var(--{name})" for name in ("ink", "muted", "paper", "raised", "rule"))
_AXIS = {"labelColor": MUTED, "labelFontSize": 12, "labelFlush": False, "title": None, "aria": False}
_LEGEND = {"labelColor": INK, "labelFontSize": 12, "labelLimit": 130, "symbolSize": 70, "symbolStrokeWidth": 0}
_CONFIG = {
    "view": {"stroke": None},
    "axis": {**_AXIS, "gridColor": RULE, "domain": False, "tickColor": MUTED},
    "legend": {**_LEGEND, "offset": 10, "columnPadding": 18, "aria": False},
    "text": {"fontSize": 12, "fill": MUTED},
}

#: Widths of a drawing. Text in a scaled one is scaled with it, so there is one for phones; the style sheet shows one.
WIDTHS = {"wide": 560, "narrow": 340}
_NEEDLESS = {"class", "role", "font-family", "pointer-events", "opacity", "version", "stroke-miterlimit"}
_DEFAULTS = {
    ("transform", "translate(0,0)"),
    ("stroke-width", "1"),
    ("font-weight", "normal"),
    ("text-anchor", "start"),
}
_LONG = re.compile(r"\d+\.\d{2,}")


@dataclass(frozen=True)
class Words:
    """The accessible name of a chart, and what it shows."""

    name: str
    description: str


def chart(words: Words, draw: Callable[[int], Spec]) -> Markup:
    """What `draw` makes of a width, for wide and for narrow places."""
    drawings = "\n".join(_drawing(words, name, draw(width)) for name, width in WIDTHS.items())
    return Markup(f'<div class="chart">\n{drawings}\n</div>')  # noqa: S704 - written by the serialiser  # nosec B704


def _drawing(words: Words, name: str, drawn: Spec) -> str:
    spec = {"background": "transparent", "padding": 2, "config": _CONFIG, **drawn}
    made = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    root = Tree.fromstring(made)  # noqa: S314 - our own drawing  # nosec B314
    _title_marks(root)
    _trim(root)
    for place, (tag, text) in enumerate((("title", words.name), ("desc", words.description))):
        about = Tree.Element(tag)
        about.text = text
        root.insert(place, about)
    root.attrib |= {"class": name, "role": "img"}
    return Tree.tostring(root, encoding="unicode")


def _title_marks(root: Tree.Element) -> None:
    """Descriptions of marks become titles, which a mouse that rests there shows without a script."""
    for group in root.iter("{*}g"):
        if "role-mark" in group.get("class", ""):
            for mark in group:
                if (told := mark.attrib.pop("aria-label", None)) is not None:
                    Tree.SubElement(mark, "title").text = told


def _trim(element: Tree.Element) -> None:
    """Leave out what shows nothing, and attributes that the page does not need."""
    element.tag = element.tag.rpartition("}")[2]
    for child in list(element):
        if _is_unseen(child):
            element.remove(child)
            continue
        _trim(child)
        if child.tag == "g" and not child.attrib:
            place = list(element).index(child)
            element[place : place + 1] = list(child)
    kept = {name: _short(value) for name, value in element.attrib.items() if not _is_needless(name, value)}
    element.attrib.clear()
    element.attrib |= kept


def _is_unseen(element: Tree.Element) -> bool:
    is_blank = element.get("class") == "background" and not {"fill", "stroke"} & set(element.attrib)
    return is_blank or element.get("display") == "none" or element.get("opacity") == "0" or element.get("d") == ""


def _is_needless(name: str, value: str) -> bool:
    return name in _NEEDLESS or name.startswith("aria-") or (name, value) in _DEFAULTS


def _short(value: str) -> str:
    return _LONG.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), value)

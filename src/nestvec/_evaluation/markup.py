"""HTML as a tree, so that what comes from data can not become markup: the serialiser escapes it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree as Tree

#: Elements of their own line: the page's source can be read.
_BLOCKS = frozenset(
    {"head", "body", "header", "main", "footer", "section", "div", "figure", "figcaption", "table", "caption", "thead"}
    | {"tbody", "tr", "h1", "h2", "h3", "p", "ul", "li", "dl", "dt", "dd", "svg", "g", "path", "line", "rect", "circle"}
    | {"meta", "style"}
)
# Control characters, lone surrogates, and what reorders the text beside it.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")

Child = Tree.Element | str | None


def element(name: str, /, *children: Child, **attributes: object) -> Tree.Element:
    """An element with text and elements in it; `class_`, `aria_label` stand for `class`, `aria-label`.

    Children and attributes that are None are left out.
    """
    made = Tree.Element(
        name, {_name(key): _clean(str(value)) for key, value in attributes.items() if value is not None}
    )
    if name in _BLOCKS:
        made.tail = "\n"
    return extend(made, children)


def extend(made: Tree.Element, children: Iterable[Child]) -> Tree.Element:
    """Add text and elements to the end of an element; returns it."""
    for child in children:
        if isinstance(child, str):
            if len(made):
                made[-1].tail = (made[-1].tail or "") + _clean(child)
            else:
                made.text = (made.text or "") + _clean(child)
        elif child is not None:
            made.append(child)
    return made


def document(root: Tree.Element) -> str:
    """The text of an HTML document."""
    return "<!doctype html>\n" + Tree.tostring(root, encoding="unicode", method="html") + "\n"


def _name(keyword: str) -> str:
    return keyword.rstrip("_").replace("_", "-")


def _clean(text: str) -> str:
    return _UNPRINTABLE.sub("\ufffd", text)

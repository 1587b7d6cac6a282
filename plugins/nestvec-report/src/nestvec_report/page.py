"""The dimensions report as one page of HTML that needs nothing else: no script, no font, no request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from nestvec_report import plots, readable, readings, tables

if TYPE_CHECKING:
    from nestvec import DimensionsPoint, DimensionsReport, Interval

_OPTION = re.compile(r"(--[a-z][a-z-]{1,24})")


def render(report: DimensionsReport) -> str:
    """The page of a report: the text of an HTML file.

    A name from the data cannot become markup: the templates escape whatever they are given.
    """
    template = _environment().get_template("page.html")
    page = template.render(
        report=report,
        wanted=report.recommendation,
        name=readings.name(report),
        chosen=readings.chosen(report),
        whole=readings.anywhere(report, report.full),
        more=_more(report),
        plots=plots,
        tables=tables,
    )
    return readable.clean(page)


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("nestvec_report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = ("share", "rounded_share", "size", "amount")
    made.filters |= {name: getattr(readable, name) for name in filters}
    made.filters |= {"sentence": _sentence, "interval": _interval, "instead": _instead}
    return made


def _interval(found: Interval) -> str:
    return readable.shares(found.low, found.high)


def _more(report: DimensionsReport) -> str:
    """What the reason says beyond the sentence above it, which tells the figures already."""
    reason = report.recommendation.reason
    before, basis, after = reason.partition(f"among {report.sample.texts:,} texts")
    return (after if basis else before).strip(" ,;.")


def _sentence(text: str) -> list[str]:
    """Capital and full stop where they lack; every second part is the name of an option, not to be broken."""
    return _OPTION.split(text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else "."))


def _instead(here: DimensionsPoint, whole: DimensionsPoint | None, known: str) -> str:
    """What the same takes at full size; `known` is `bytes` or `total`."""
    full = getattr(whole, known)["float32"] if whole is not None else 0
    return f"instead of {readable.size(full)}" if full > getattr(here, known)["float32"] else "the full size"

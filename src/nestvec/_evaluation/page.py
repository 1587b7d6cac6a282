"""The dimensions report as one page of HTML that needs nothing else: no script, no font, no request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any
from xml.etree.ElementTree import Element

from nestvec._evaluation import plots, tables
from nestvec._evaluation.figures import Curve, Figures, figures
from nestvec._evaluation.markup import Child, document, element
from nestvec._evaluation.readable import amount, rounded_share, share, shares, size

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def render(report: Mapping[str, Any]) -> str:
    """The page of a report in its JSON form, version 1.

    Raises `InvalidInput` for a report of another version.
    """
    read = figures(report)
    style = files("nestvec._evaluation").joinpath("page.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"Dimensions of {read.name}"),
        element("style", style),
    )
    body = element("body", _header(read), element("main", *_sections(read)), _footer())
    return document(element("html", head, body, lang="en"))


def _sections(report: Figures) -> list[Element]:
    found = (
        _warnings(report),
        _charts(report),
        _smaller(report),
        _searching(report),
        _all_figures(report),
        _method(report),
    )
    return [section for section in found if section is not None]


def _section(name: str, title: str, *children: Child) -> Element:
    heading = element("h2", title, id=name)
    return element("section", heading, *children, aria_labelledby=name, class_=name)


# ---------------------------------------------------------------- the recommendation


def _header(report: Figures) -> Element:
    title = element("h1", "How many dimensions does ", _name(report.name), " need?")
    more = _more(report)
    reason = element("p", *_sentence(more), class_="reason") if more else None
    return element("header", title, _verdict(report), reason, _facts(report))


def _name(text: object) -> Element:
    return element("bdi", str(text), class_="name")


def _more(report: Figures) -> str:
    """What the reason says beyond the sentence above it, which tells the figures already."""
    reason = report.recommendation.reason
    before, basis, after = reason.partition(f"among {report.said['sample']['texts']:,} texts")
    return (after if basis else before).strip(" ,;.")


def _sentence(text: str) -> list[Child]:
    """Capital and full stop where they lack; the names of options are not broken at their hyphens."""
    whole = text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
    parts = re.split(r"(--[a-z][a-z-]{1,24})", whole)
    return [element("code", part) if i % 2 else part for i, part in enumerate(parts)]


def _verdict(report: Figures) -> Element:
    """The recommendation, with its interval and what it rests on, as one sentence."""
    sample = report.said["sample"]
    rests = f"measured with {amount(sample['questions'], 'question')} on {amount(sample['texts'], 'text')}."
    if report.recommendation.dimensions >= report.full:
        claim = element("strong", f"All {report.full:,} dimensions:")
        sure = f"with {rounded_share(report.confidence)} confidence"
        wanted = f"{rounded_share(report.keep)} of {report.recommendation.measure}"
        told = f" no smaller size was shown, {sure}, to keep {wanted}, "
        return element("p", claim, told, rests, class_="verdict")
    claim = element("strong", f"{report.recommendation.dimensions:,} of {report.full:,} dimensions")
    how = ", nested by a rotation," if report.recommendation.curve == "nested" else ""
    return element("p", claim, how, *_kept(report), ", ", rests, class_="verdict")


def _kept(report: Figures) -> list[Child]:
    kept = report.recommendation.kept
    if kept is None:
        return []
    interval = f"{rounded_share(report.confidence)} interval: {shares(kept.low, kept.high)}"
    measure = f" of {report.recommendation.measure} ("
    return [" keep ", element("strong", share(kept.value)), measure, element("span", interval), ")"]


def _facts(report: Figures) -> Element | None:
    """What the recommendation costs and saves."""
    wanted, chosen, full = report.recommendation, report.chosen, report.anywhere(report.full)
    if chosen is None:
        return None
    fewer = f"{report.full - wanted.dimensions:,} fewer numbers a vector"
    found = [
        _fact("one vector, float32", *_instead(chosen.bytes, full.bytes if full else {})),
        _fact(amount(report.expected, "vector"), *_instead(chosen.total, full.total if full else {})),
        _fact("storage saved", rounded_share(round(wanted.saved, 2)), fewer) if wanted.saved > 0 else None,
    ]
    if chosen.int8 is not None and "int8" in chosen.total:
        small = f"recall@{report.k} {share(chosen.int8.value)}"
        found.append(_fact("stored as int8", size(chosen.total["int8"]), small))
    return element("dl", *found, class_="facts")


def _instead(here: Mapping[str, float], full: Mapping[str, float]) -> tuple[str, str]:
    if "float32" not in here:
        return "–", ""
    whole = full.get("float32", 0)
    return size(here["float32"]), f"instead of {size(whole)}" if whole > here["float32"] else "the full size"


def _fact(name: str, value: str, note: str) -> Element:
    return element("div", element("dt", name), element("dd", value), element("dd", note, class_="note"))


def _warnings(report: Figures) -> Element | None:
    if not report.warnings:
        return None
    return _section(
        "warnings",
        "Read with care",
        element("ul", *(element("li", *_sentence(warning)) for warning in report.warnings)),
    )


# ---------------------------------------------------------------- charts


def _figure(title: str, chart: Element | None, note: str) -> Element | None:
    if chart is None:
        return None
    caption = element("figcaption", element("h3", title), element("p", note))
    return element("figure", caption, chart)


def _charts(report: Figures) -> Element:
    measure, confidence = report.recommendation.measure, rounded_share(report.confidence)
    other = plots.recall(report) if measure != f"recall@{report.k}" else None
    return _section(
        "charts",
        "What each size keeps, and what it costs",
        element(
            "div",
            _figure(
                f"Share of {measure} kept",
                plots.kept(report),
                f"By dimensions, on a logarithmic axis. Bands: {confidence} intervals.",
            ),
            _figure(
                f"Storage of {amount(report.expected, 'vector')}",
                plots.storage(report),
                "By dimensions; the figure is that of float32.",
            ),
            _figure(
                f"Close to {rounded_share(report.keep)}",
                plots.close(report),
                "The smallest size whose whole interval lies right of the line, as do those of all larger sizes, "
                "is recommended.",
            ),
            _figure(
                "nDCG@10 by dimensions",
                plots.ndcg(report),
                f"Against the documents that are named as relevant. Bands: {confidence} intervals.",
            ),
            _figure(
                f"recall@{report.k} by dimensions",
                other,
                f"Against the exact neighbours at full size. Bands: {confidence} intervals.",
            ),
            class_="figures",
        ),
    )


def _smaller(report: Figures) -> Element | None:
    drawn = [
        _figure(
            f"recall@{report.k} by storage{_of(report, curve)}", chart, "Each mark is a size, the larger to the right."
        )
        for curve in report.curves
        if (chart := plots.trade(report, curve)) is not None
    ]
    if not drawn:
        return None
    text = (
        "int8 and binary numbers take a quarter and a thirty-second of the bytes. Their hits are scored again with "
        f"full numbers before the best {report.k} are taken."
    )
    return _section("smaller", "Stored smaller still", element("p", text), element("div", *drawn, class_="figures"))


def _of(report: Figures, curve: Curve) -> str:
    return f", {curve.name}" if len(report.curves) > 1 else ""


def _searching(report: Figures) -> Element | None:
    note = "From the median (mark, first figure) to the 95th percentile."
    drawn = [
        _figure("Search time by dimensions", plots.times(report), note),
        _figure("Coarse to fine, and the plain search", plots.funnels(report), note),
    ]
    if not report.funnels and drawn == [None, None]:
        return None
    table = tables.funnels(report) if report.funnels else []
    return _section("searching", "How long a search takes", element("div", *drawn, class_="figures"), *table)


# ---------------------------------------------------------------- figures and method


def _all_figures(report: Figures) -> Element:
    return _section("all", "All figures", *tables.quality(report), *tables.smaller(report), *tables.storage(report))


def _method(report: Figures) -> Element:
    said, sample, tasks = report.said, report.said["sample"], report.said["tasks"]
    labelled = f"; relevant documents are named for {sample['labelled']:,}" if sample["labelled"] else ""
    others = f"; a rotation was fitted on {sample.get('fitted', 0):,} others"
    fitted = others if sample.get("fitted") else ""
    terms: list[tuple[str, tuple[Child, ...]]] = [
        ("Texts", (f"{sample['texts']:,}, from ", _name(sample["source"]), fitted)),
        ("Questions", (f"{sample['questions']:,}, from ", _name(sample["questions_from"]), labelled)),
        ("Model", (_name(said["model"]), ", embedder ", _name(said["embedder"]), f", {report.full:,} dimensions")),
        (
            "Tasks",
            ("texts as ", _name(tasks["index"] or _NO_TASK), ", questions as ", _name(tasks["query"] or _NO_TASK)),
        ),
        ("Metric", (_name(said["metric"]),)),
        (f"recall@{report.k}", (_RECALL.format(k=report.k, full=report.full),)),
        ("Kept", (f"{report.recommendation.measure} at a size, as a share of that at {report.full:,} dimensions.",)),
        ("Intervals", (_INTERVALS.format(share=rounded_share(report.confidence), times=said["resamples"]),)),
        ("Storage", (_STORAGE,)),
        *_rotations(report),
    ]
    return _section("method", "How it was measured", element("dl", *(_term(name, told) for name, told in terms)))


_NO_TASK = "they are, without a task"
_RECALL = "How many of the {k} nearest texts, found by exact search at {full:,} dimensions in float32, are found."
_INTERVALS = "{share}, from {times:,} resamples of the questions (percentile bootstrap)."
_STORAGE = (
    "The vectors as the searched index holds them. An engine's own structures, texts and metadata come on top, and so "
    "do full numbers that are kept for rescoring."
)


def _rotations(report: Figures) -> list[tuple[str, tuple[Child, ...]]]:
    return [
        (
            "Rotation",
            ("What is called ", _name(curve.name), " are prefixes of vectors turned by ", _name(curve.rotation)),
        )
        for curve in report.curves
        if curve.rotation is not None
    ]


def _term(name: str, told: tuple[Child, ...]) -> Element:
    return element("div", element("dt", name), element("dd", *told))


def _footer() -> Element:
    return element("footer", element("p", "Made by nestvec. This page holds all that it shows, and loads nothing."))

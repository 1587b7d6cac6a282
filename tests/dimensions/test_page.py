"""The page of a dimensions report: one well-formed file that holds all figures, and in which data stays text."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec._evaluation import readable
from nestvec._evaluation.page import render
from nestvec._evaluation.scales import Scale, apart, powers, steps
from nestvec.errors import InvalidInput

from .reports import HOSTILE, REPORTS, SIZES, full_report, interval, one_point, point, report

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Elements of a page with their attributes, in order; raises where one is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.paths: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.paths.append("/".join([*self.open, tag]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def said(self) -> str:
        """What is read on the page."""
        return " ".join("".join(text for tag, text in self.texts if tag not in ("style", "title", "desc")).split())


@pytest.fixture(params=REPORTS)
def page(request: pytest.FixtureRequest) -> Page:
    return Page(render(REPORTS[request.param]()))


def test_is_well_formed_and_refers_only_to_itself(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name, ids[0]) in ids
        assert not {"src", "href", "srcset", "action", "data", "background"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert not page.all("script")
    assert not page.all("link")
    assert not page.all("img")
    assert not page.all("iframe")
    (style,) = (text for tag, text in page.texts if tag == "style")
    assert "url(" not in style
    assert "@import" not in style
    assert "@font-face" not in style


@pytest.mark.parametrize("name", [name for name in REPORTS if name != "hostile"])
def test_holds_no_address(name: str) -> None:
    assert "://" not in render(REPORTS[name]())


def test_forbids_every_request(page: Page) -> None:
    (policy,) = (meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy.split("; ")[:2] == ["default-src 'none'", "style-src 'unsafe-inline'"]
    assert "script-src" not in policy


def test_can_be_read_aloud(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for head in page.all("th"):
        assert head["scope"] in ("col", "row", "colgroup", "rowgroup")
    for table in page.all("table"):
        assert table["aria-labelledby"]
    drawings = [i for i, (tag, _) in enumerate(page.elements) if tag == "svg"]
    assert drawings
    for i in drawings:
        assert page.elements[i][1]["role"] == "img"
        assert [tag for tag, _ in page.elements[i + 1 : i + 3]] == ["title", "desc"]
    assert next(text for tag, text in page.texts if tag == "title").startswith("Dimensions of ")


def test_says_what_to_do_first() -> None:
    said = Page(render(full_report())).said
    assert said.startswith(
        "How many dimensions does handbook need? 128 of 384 dimensions, nested by a rotation, keep 99.3 % of recall@10 "
        "(95 % interval: 99.1–99.4 %), measured with 500 questions on 5,000 texts. "
        "128 is the smallest size whose interval lies at or above 99 %; without a rotation it would be 256."
    )
    assert "512 MB instead of 1.54 GB" in said
    assert "storage saved 67 %" in said


def test_says_that_nothing_smaller_will_do() -> None:
    said = Page(render(one_point())).said
    assert "How many dimensions does small need?" in said
    assert "All 384 dimensions: no smaller size was shown, with 95 % confidence, to keep 99 % of recall@10" in said
    assert "storage saved" not in said


def test_a_recommendation_for_vectors_as_they_are_does_not_speak_of_rotations() -> None:
    said = Page(render(report())).said
    assert "256 of 384 dimensions keep 99.6 % of recall@10" in said
    assert "rotation" not in said.casefold()


def test_the_tables_hold_every_figure() -> None:
    made = full_report()
    page = Page(render(made))
    cells = [text.strip(" ") for tag, text in page.texts if tag in ("td", "span", "th", "bdi")]
    for curve in made["curves"]:
        for at in curve["points"]:
            for name in ("recall", "int8", "binary"):
                assert readable.share(at[name]["value"], 2) in cells
                assert readable.shares(at[name]["low"], at[name]["high"], 2) in cells
            assert {readable.share(each["value"], 2) for each in at["unrescored"].values()} <= set(cells)
            assert f"{at['ndcg']['value']:.3f}" in cells
            assert f"{at['ndcg']['low']:.3f}–{at['ndcg']['high']:.3f}" in cells
            assert {readable.milliseconds(ms) for ms in at["search_ms"].values()} <= set(cells)
            assert {readable.size(size) for name in ("bytes", "total") for size in at[name].values()} <= set(cells)
    for funnel in made["funnels"]:
        assert " → ".join(map(str, funnel["stages"])) in cells
        assert {readable.share(funnel[name]["value"], 2) for name in ("recall", "plain_recall")} <= set(cells)
    assert {"2.2× faster", "2.8× faster", "none", "qdrant"} <= set(cells)
    assert [tag for tag, text in page.texts if text == "recommended"] == ["span"] * 3


def test_tells_how_it_was_measured() -> None:
    said = Page(render(full_report())).said
    for part in (
        "5,000, from collection handbook; a rotation was fitted on 4,000 others",
        "500, from questions.jsonl; relevant documents are named for 480",
        "multilingual-e5-small, embedder small, 384 dimensions",
        "texts as retrieval.passage, questions as retrieval.query",
        "95 %, from 1,000 resamples of the questions",
        "What is called nested are prefixes of vectors turned by rot-5f2a9c1d0b7e",
    ):
        assert part in said


def test_a_model_without_tasks() -> None:
    said = Page(render(report(tasks={"index": None, "query": None}))).said
    assert "texts as they are, without a task, questions as they are, without a task" in said


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("no other was measured", "No other was measured."),
        ("256 of 384 dimensions keep 99.6 % of recall@10, with 500 questions among 5,000 texts", ""),
        ("256 of 384 dimensions keep 99.6 %, among 5,000 texts; 192 may do as well", "192 may do as well."),
        ("no shorter prefix is sure to keep 99 %, with 500 questions among 5,000 texts", ""),
        ("because it is so!", "Because it is so!"),
    ],
)
def test_the_reason_does_not_say_again_what_the_page_begins_with(reason: str, told: str) -> None:
    made = report()
    made["recommendation"]["reason"] = reason
    page = Page(render(made))
    reasons = [i for i, attributes in enumerate(page.all("p")) if attributes.get("class") == "reason"]
    assert bool(reasons) == bool(told)
    assert page.said.split("on 5,000 texts. ")[1].startswith(told or "one vector")


def test_every_warning_is_read() -> None:
    made = REPORTS["warned"]()
    said = Page(render(made)).said
    assert all(warning in said for warning in made["warnings"])
    assert "Read with care" in said
    assert "Read with care" not in Page(render(report())).said


def test_what_was_not_measured_has_no_chart_and_is_named_in_the_tables() -> None:
    said = Page(render(report())).said
    assert not [part for part in ("nDCG", "int8,", "How long", "Stored smaller") if part in said]
    made = full_report()
    made["curves"][0]["points"][2] |= {"ndcg": None, "int8": None, "search_ms": None}
    made["curves"][0]["points"][3]["recall"] = {"value": float("nan"), "low": None, "high": None}
    assert Page(render(made)).said.count("not measured") == 5  # the times are in two columns


def test_labels_get_their_own_chart_and_may_be_better_than_at_full_size() -> None:
    said = Page(render(REPORTS["labelled"]())).said
    assert "Share of nDCG@10 kept" in said
    assert "recall@10 by dimensions" in said
    assert "nDCG@10 by dimensions" in said
    assert "keep 99.8 % of nDCG@10" in said


# ---------------------------------------------------------------- data stays text


def shape(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """The elements and the names of their attributes, without any text."""
    page = Page(text)
    return [(path, tuple(sorted(attributes))) for path, (_, attributes) in zip(page.paths, page.elements, strict=True)]


def named(text: str) -> dict[str, Any]:
    """A report in which every name is this one."""
    made = full_report()
    made |= {"collection": text, "embedder": text, "model": text, "metric": text, "warnings": [text]}
    made["tasks"] = {"index": text, "query": text}
    made["sample"] |= {"source": text, "questions_from": text}
    made["recommendation"]["reason"] = text
    made["curves"][0]["name"] = text
    made["curves"][1]["rotation"] = text
    made["funnels"][0]["backend"] = text
    return made


@cache
def quiet() -> list[tuple[str, tuple[str, ...]]]:
    """The shape that no name may change."""
    return shape(render(named("quiet")))


@pytest.mark.parametrize(
    "text", [HOSTILE, "</style><script>", "]]>", "<!--", "&lt;script&gt;", '" onload="x', "\ud83d", "\x00\x1b[31m"]
)
def test_names_can_not_become_markup(text: str) -> None:
    page = render(named(text))
    page.encode("utf-8")
    assert shape(page) == quiet()
    assert "\x00" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page


@settings(max_examples=30)
@given(st.text(alphabet=st.sampled_from("<>&\"'/=-! sx\u202e\x00\ud800\n"), min_size=1, max_size=30).filter(str.strip))
def test_no_name_can_become_markup(text: str) -> None:
    text = text.replace("--s", "-s").replace("--x", "-x")  # options get an element of their own
    assert shape(render(named(text))) == quiet()


def test_a_text_is_shown_as_it_is() -> None:
    assert "<script>alert('x')</script><img src=https://evil.example/x onerror=alert(1)>\"&" in Page(
        render(named(HOSTILE))
    ).said.replace("\ufffd", "")


def test_a_report_of_another_version_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"version 2 .*this nestvec draws version 1.*measure again"):
        render(report(version=2))


def test_the_same_report_makes_the_same_page() -> None:
    assert render(full_report()) == render(full_report())


def test_the_style_sheet_comes_with_the_package() -> None:
    assert files("nestvec._evaluation").joinpath("page.css").is_file()


# ---------------------------------------------------------------- drawings


def shares_(low: float, high: float) -> st.SearchStrategy[dict[str, float]]:
    ordered = st.tuples(*[st.floats(low, high)] * 3).map(sorted)
    return ordered.map(lambda v: {"low": v[0], "value": v[1], "high": v[2]})


@st.composite
def reports(draw: st.DrawFn) -> dict[str, Any]:
    sizes = sorted(draw(st.sets(st.integers(1, 4096), min_size=1, max_size=12)))
    expected = draw(st.integers(1, 10**10))
    maybe: Callable[[Any], Any] = lambda strategy: st.none() | strategy  # noqa: E731
    times = st.tuples(st.floats(0, 1e5), st.floats(0, 1e5)).map(lambda v: {"median": v[0], "p95": v[1]})
    points = [
        point(
            size, sizes[-1], expected, kept=draw(shares_(0, 1.2)), ndcg=draw(maybe(shares_(0, 1))),
            int8=draw(maybe(shares_(0, 1))), binary=draw(maybe(shares_(0, 1))), search_ms=draw(maybe(times)),
        )
        for size in sizes
    ]  # fmt: skip
    made = report(full=sizes[-1], expected=expected, keep=draw(st.floats(0.01, 1)))
    made["curves"] = [{"name": "plain", "rotation": None, "points": points}]
    at = draw(st.sampled_from(points))
    made["recommendation"] |= {"dimensions": at["dimensions"], "kept": at["kept"]}
    return made


@settings(max_examples=40)
@given(reports())
def test_nothing_is_drawn_outside_of_its_drawing(made: dict[str, Any]) -> None:
    width = height = 0.0
    for tag, attributes in Page(render(made)).elements:
        if tag == "svg":
            _, _, width, height = map(float, attributes["viewbox"].split())
        for name, value in attributes.items():
            if name in ("x", "cx", "x1", "x2"):
                assert -1 <= float(value) <= width + 1, (tag, name, value)
            if name in ("y", "cy", "y1", "y2"):
                assert -1 <= float(value) <= height + 1, (tag, name, value)
            if name == "width" and tag == "rect":
                assert 0 <= float(attributes["x"]) + float(value) <= width + 1
            if name == "d":
                assert "nan" not in value
                assert "inf" not in value
                assert all(-1 <= float(x) <= width + 1 for x in re.findall(r"[MLH](-?[\d.]+)", value)), value


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_an_axis_encloses_what_it_shows(low: float, span: float) -> None:
    ticks = steps(low, low + span)
    assert 2 <= len(ticks) <= 9
    hair = (abs(low) + span) * 1e-6 + 1e-9  # less than a pixel
    assert ticks[0] <= low + hair
    assert ticks[-1] >= low + span - hair


@given(st.lists(st.tuples(st.floats(0, 500), st.floats(1, 80)), min_size=1, max_size=15))
def test_labels_do_not_lie_on_one_another(places: list[tuple[float, float]]) -> None:
    chosen = apart(places, [len(places) - 1])
    assert len(places) - 1 in chosen
    spans = sorted((places[i][0] - places[i][1] / 2, places[i][0] + places[i][1] / 2) for i in chosen)
    assert all(before[1] <= after[0] + 1e-6 for before, after in pairwise(spans))


def test_scales() -> None:
    assert [Scale(16, 256, 0, 100, log=True)(size) for size in (16, 64, 256)] == [0, 50, 100]
    assert [Scale(0, 4, 100, 0)(value) for value in (0, 1, 4)] == [100, 75, 0]
    assert Scale(5, 5, 0, 100)(5) == 50
    assert powers(2e6, 1.5e9) == [1e7, 1e8, 1e9]
    assert powers(16, 64) == [20, 50]
    assert steps(0.376, 1.0) == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert steps(0, 5e-324) == [0, 0.2]
    assert steps(0.95, 1.0) == [0.95, 0.96, 0.97, 0.98, 0.99, 1.0]


# ---------------------------------------------------------------- numbers for people


@given(st.floats(0, 1.5), st.integers(0, 2))
def test_a_share_never_reads_as_more_than_it_is(value: float, decimals: int) -> None:
    said = float(readable.share(value, decimals).rstrip("\u00a0%"))
    assert value * 100 - 10.0**-decimals - 1e-6 <= said <= value * 100 + 1e-6


def test_numbers_for_people() -> None:
    space = readable.NBSP
    assert readable.share(0.98999) == f"98.9{space}%"
    assert readable.share(0.99) == f"99.0{space}%"
    assert readable.share(1.0, 2) == f"100{space}%"
    assert readable.shares(0.99, 1.0) == f"99.0–100{space}%"
    assert readable.shares(1.0, 1.0) == f"100{space}%"
    assert readable.rounded_share(0.995) == f"99.5{space}%"
    sizes = {
        1: "1 byte",
        2: "2 bytes",
        999: "999 bytes",
        1000: "1 kB",
        1536: "1.54 kB",
        999_999: "1 MB",
        1.5e9: "1.5 GB",
    }
    sizes |= {24.5e6: "24.5 MB", 512e6: "512 MB", 1.02e12: "1.02 TB", 5e15: "5,000 TB"}
    assert {size: readable.size(size) for size in sizes} == {k: v.replace(" ", space) for k, v in sizes.items()}
    times = {0: "0.00 ms", 0.123: "0.12 ms", 3.0: "3.00 ms", 12.34: "12.3 ms", 999.4: "999 ms", 1234: "1.23 s"}
    assert {time: readable.milliseconds(time) for time in times} == {k: v.replace(" ", space) for k, v in times.items()}
    assert [readable.rounded_milliseconds(time) for time in (0, 0.5, 1500)] == ["0", f"0.5{space}ms", f"1.5{space}s"]
    assert readable.amount(1, "text") == f"1{space}text"
    assert readable.amount(5000, "text") == f"5,000{space}texts"


def test_the_made_up_reports_are_what_they_say() -> None:
    """What other tests rest on: the recommended sizes are those of the rule."""
    for made in (report(), full_report(), REPORTS["labelled"]()):
        wanted = made["recommendation"]
        (curve,) = (curve for curve in made["curves"] if curve["name"] == wanted["curve"])
        good = [at["dimensions"] for at in curve["points"] if at["kept"]["low"] >= made["keep"]]
        assert wanted["dimensions"] == min(good)
        assert good == [at["dimensions"] for at in curve["points"]][-len(good) :]
    assert [at["dimensions"] for at in report()["curves"][0]["points"]] == list(SIZES)
    assert interval(0.5) == {"value": 0.5, "low": 0.49, "high": 0.51}

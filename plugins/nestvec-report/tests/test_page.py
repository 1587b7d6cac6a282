"""The page of a dimensions report: one well-formed file that holds all figures, and in which data stays text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from functools import cache
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as Tree
from xml.sax.saxutils import escape

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from nestvec.errors import InvalidInput
from nestvec_report import charts, readable

from .reports import HOSTILE, REPORTS, SIZES, drawn, full_report, interval, page_of, point, report

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
    return Page(drawn(request.param))


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
    assert "://" not in drawn(name)


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
    said = Page(drawn("full")).said
    assert said.startswith(
        "How many dimensions does handbook need? 128 of 384 dimensions, nested by a rotation, keep 99.3 % of recall@10 "
        "(95 % interval: 99.1–99.4 %), measured with 500 questions on 5,000 texts. "
        "128 is the smallest size whose interval lies at or above 99 %; without a rotation it would be 256."
    )
    assert "512 MB instead of 1.54 GB" in said
    assert "storage saved 67 %" in said


def test_says_that_nothing_smaller_will_do() -> None:
    said = Page(drawn("one")).said
    assert "How many dimensions does small need?" in said
    assert "All 384 dimensions: no smaller size was shown, with 95 % confidence, to keep 99 % of recall@10" in said
    assert "storage saved" not in said


def test_a_recommendation_for_vectors_as_they_are_does_not_speak_of_rotations() -> None:
    said = Page(drawn("plain")).said
    assert "256 of 384 dimensions keep 99.6 % of recall@10" in said
    assert "rotation" not in said.casefold()


def test_the_tables_hold_every_figure() -> None:
    made = full_report()
    page = Page(page_of(made))
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
    said = Page(drawn("full")).said
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
    said = Page(page_of(report(tasks={"index": None, "query": None}))).said
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
    page = Page(page_of(made))
    reasons = [i for i, attributes in enumerate(page.all("p")) if attributes.get("class") == "reason"]
    assert bool(reasons) == bool(told)
    assert page.said.split("on 5,000 texts. ")[1].startswith(told or "one vector")


def test_every_warning_is_read() -> None:
    made = REPORTS["warned"]()
    said = Page(page_of(made)).said
    assert all(warning in said for warning in made["warnings"])
    assert "Read with care" in said
    assert "Read with care" not in Page(drawn("plain")).said


def test_what_was_not_measured_has_no_chart_and_is_named_in_the_tables() -> None:
    said = Page(drawn("plain")).said
    assert not [part for part in ("nDCG", "How long", "Coarse to fine", "not measured") if part in said]
    made = full_report()
    made["curves"][0]["points"][2] |= {"ndcg": None, "search_ms": None, "unrescored": {}}
    assert Page(page_of(made)).said.count("not measured") == 5  # times and small storage are in two columns each


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "much", {}])
def test_a_figure_that_is_no_number_is_refused(value: object) -> None:
    made = full_report()
    made["curves"][0]["points"][3]["recall"]["value"] = value
    with pytest.raises(InvalidInput, match="no dimensions report"):
        page_of(made)


def test_what_a_later_version_adds_is_passed_over() -> None:
    made = full_report()
    made["curves"][0]["points"][3]["recall"]["more"] = made["more"] = 1
    assert page_of(made) == drawn("full")


def test_labels_get_their_own_chart_and_may_be_better_than_at_full_size() -> None:
    said = Page(drawn("labelled")).said
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
    return shape(page_of(named("quiet")))


@pytest.mark.parametrize(
    "text", [HOSTILE, "</style><script>", "]]>", "<!--", "&lt;script&gt;", '" onload="x', "\ud83d", "\x00\x1b[31m"]
)
def test_names_cannot_become_markup(text: str) -> None:
    page = page_of(named(text))
    page.encode("utf-8")
    assert shape(page) == quiet()
    assert "\x00" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page


def with_names_in_charts(spec: Any, **_: Any) -> str:
    """What is drawn, without drawing it: the names that a chart holds."""
    names = sorted({record.get("series", "") for record in spec["data"]["values"]})
    texts = "".join(f"<text>{escape(name)}</text>" for name in names)
    return f'<svg xmlns="http://www.w3.org/2000/svg">{texts}</svg>'


@settings(max_examples=30)
@given(st.text(alphabet=st.sampled_from("<>&\"'/=-! sx\u202e\x00\ud800\n"), min_size=1, max_size=30).filter(str.strip))
def test_no_name_can_become_markup(text: str) -> None:
    text = text.replace("--s", "-s").replace("--x", "-x")  # options get an element of their own
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vl_convert.vegalite_to_svg", with_names_in_charts)
        assert shape(page_of(named(text))) == shape(page_of(named("quiet")))


def test_a_text_is_shown_as_it_is() -> None:
    assert "<script>alert('x')</script><img src=https://evil.example/x onerror=alert(1)>\"&" in Page(
        page_of(named(HOSTILE))
    ).said.replace("\ufffd", "")


def test_a_report_of_another_version_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"version 2 .*this nestvec reads version 1.*measure again"):
        page_of(report(version=2))


def test_the_same_report_makes_the_same_page() -> None:
    assert page_of(full_report()) == drawn("full")


def test_the_style_sheet_comes_with_the_package() -> None:
    assert files("nestvec_report").joinpath("templates/page.css").is_file()


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
            int8=draw(shares_(0, 1)), binary=draw(shares_(0, 1)), search_ms=draw(maybe(times)),
        )
        for size in sizes
    ]  # fmt: skip
    made = report(full=sizes[-1], expected=expected, keep=draw(st.floats(0.01, 1)))
    made["curves"] = [{"name": "plain", "rotation": None, "points": points}]
    at = draw(st.sampled_from(points))
    made["recommendation"] |= {"dimensions": at["dimensions"], "kept": at["kept"]}
    return made


@settings(max_examples=10, phases=(Phase.explicit, Phase.generate))
@given(reports())
def test_nothing_is_drawn_outside_of_its_drawing(made: dict[str, Any]) -> None:
    for drawing in drawings(page_of(made)):
        _, _, width, height = map(float, drawing.attrib["viewBox"].split())
        places = list(corners(drawing, 0, 0))
        assert places
        for tag, x, y in places:
            assert -1 <= x <= width + 1, (tag, x)
            assert -1 <= y <= height + 1, (tag, y)


def drawings(page: str) -> list[Tree.Element]:
    return [Tree.fromstring(found) for found in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def corners(element: Tree.Element, x: float, y: float) -> Iterator[tuple[str, float, float]]:
    """Where texts and lines begin and end, and where paths turn."""
    for moved in re.findall(r"translate\(([^)]*)\)", element.get("transform", "")):
        x, y = (at + float(by) for at, by in zip((x, y), moved.split(","), strict=True))
    if element.tag in ("text", "line"):
        yield element.tag, x, y
        yield element.tag, x + float(element.get("x2", 0)), y + float(element.get("y2", 0))
    for pair in re.findall(r"[ML](-?[\d.]+),(-?[\d.]+)", element.get("d", "")):
        yield element.tag, x + float(pair[0]), y + float(pair[1])
    assert not re.search("nan|inf|undefined", " ".join(element.attrib.values()), re.IGNORECASE)
    for child in element:
        yield from corners(child, x, y)


@given(st.sets(st.integers(1, 4096), min_size=1, max_size=12), st.floats(200, 500))
def test_sizes_are_named_where_there_is_room_and_the_first_before_all(found: set[int], room: float) -> None:
    sizes = sorted(found)
    named = charts.sizes(sizes, [sizes[-1]], room)["values"]
    assert sizes[-1] in named
    assert set(named) <= found
    span = math.log(sizes[-1] / sizes[0]) or 1
    assert all(math.log(after / before) / span * room > 7 for before, after in pairwise(named))


@given(st.floats(1, 1e15), st.floats(0, 1e15))
def test_an_axis_of_bytes_names_round_numbers_within_it(low: float, more: float) -> None:
    named = charts.powers(low, low + more)["values"]
    assert all(low <= value <= low + more for value in named)
    assert more < 2 * low or named


def test_powers() -> None:
    assert charts.powers(2e6, 1.5e9)["values"] == [1e7, 1e8, 1e9]
    assert charts.powers(16, 64)["values"] == [20, 50]


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

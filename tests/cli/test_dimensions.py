"""`nestvec dimensions`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from nestvec import DimensionsReport
from nestvec.contract import ListCollections
from nestvec_report import render

from .conftest import SharedMemory, Shell

TEXTS = [
    f"The {place} of number {number} stands by the {place} road." for number in range(30) for place in ("inn", "mill")
]
FEW = ("--k", "3", "--resamples", "50")


@pytest.fixture
def filled(shell: Shell, lines: Callable[..., str]) -> Shell:
    """`docs` at full size, and the same texts in a file."""
    shell.edit("dimensions = 32\n", "")
    assert shell("apply").code == 0
    shell.file("texts.jsonl", lines(*({"id": f"d{i}", "text": text} for i, text in enumerate(TEXTS))))
    assert shell("ingest", "docs", str(shell.folder / "texts.jsonl")).code == 0
    return shell


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The reports that a page was made of."""
    seen: list[Any] = []

    def rendering(report: Any) -> str:
        seen.append(report)
        return render(report)

    monkeypatch.setattr("nestvec_report.render", rendering)
    return seen


def test_a_table_the_warnings_and_the_size_to_take(filled: Shell) -> None:
    run = filled("dimensions", "docs", *FEW, "--expect", "1000000", "--keep", "0.5")
    assert run.code == 0, run.err
    assert "recording-v3 with 64 dimensions, cosine, on collection docs:" in run.out
    assert "54 texts searched with 6 questions" in run.out
    assert "256 B" in run.out
    assert "256 MB" in run.out
    assert "\nRecommended: " in run.out
    assert "warning: 6 questions do not say much" in run.err
    assert max(map(len, run.out.splitlines()[:-2])) <= 100


@pytest.mark.parametrize(
    ("arguments", "step"),
    [
        (("docs",), "`nestvec shrink docs --dimensions 16` brings the collection there, without embedding."),
        (("--embedder", "words", "texts.jsonl"), "write dimensions = 16 in the collection's block."),
    ],
)
def test_the_next_step_is_told(
    filled: Shell, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], step: str
) -> None:
    monkeypatch.chdir(filled.folder)
    run = filled("dimensions", *arguments, *FEW, "--keep", "0.01")
    assert run.out.splitlines()[-1] == f"Next: {step}"
    assert "Next: " not in filled("dimensions", *arguments, *FEW, "--keep", "1").out


@pytest.mark.parametrize("command", ["dimensions", "nest"])
def test_a_file_without_an_embedder_is_told_apart_from_an_unknown_collection(
    filled: Shell, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(filled.folder)
    run = filled(command, "texts.jsonl")
    assert run.code == 2
    assert "texts.jsonl is a file: --embedder NAME says what embeds its texts" in run.err
    assert filled(command, "text.jsonl").code == 1


def test_json_for_programs(filled: Shell) -> None:
    run = filled(
        "dimensions", "docs", *FEW, "--json", "--dimensions", "8,48", "--funnel", "8,32", "--funnel", "16", "--time"
    )
    report = run.json
    assert [point["dimensions"] for point in report["curves"][0]["points"]] == [8, 48, 64]
    assert [funnel["stages"] for funnel in report["funnels"]] == [[8, 32], [16]]
    assert report["curves"][0]["points"][0]["search_ms"]["median"] > 0
    assert (report["collection"], report["k"], report["resamples"]) == ("docs", 3, 50)


def test_files_and_real_questions(filled: Shell, lines: Callable[..., str]) -> None:
    queries = [{"question": f"the inn of number {i}", "relevant": [f"d{2 * i}"]} for i in range(20)]
    path = filled.file("queries.jsonl", lines(*queries))
    texts = str(filled.folder / "texts.jsonl")
    run = filled("dimensions", "--embedder", "words", texts, "--queries", path, *FEW, "--json")
    assert run.code == 0, run.err
    assert run.json["collection"] is None
    assert run.json["sample"]["labelled"] == 20
    assert run.json["recommendation"]["measure"] == "nDCG@10"
    shown = filled("dimensions", "--embedder", "words", texts, "--queries", path, *FEW)
    assert "nDCG@10" in shown.out


def test_a_page_of_the_same_figures(filled: Shell, page: list[Any]) -> None:
    target = filled.folder / "report.html"
    run = filled("dimensions", "docs", *FEW, "--time", "--funnel", "8,32", "--json", "--html", str(target))
    assert run.code == 0, run.err
    written = target.read_text(encoding="utf-8")
    assert written == render(DimensionsReport.from_dict(run.json))
    assert "do not say much" in written
    assert [report.to_dict() for report in page] == [run.json]
    assert f"page: {target}" in run.err


def test_without_the_distribution_that_makes_pages_nothing_is_measured(
    filled: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nestvec_report", None)  # what an import of it finds
    target = filled.folder / "report.html"
    run = filled("dimensions", "docs", "--html", str(target))
    assert (run.code, run.out) == (1, "")
    assert "pip install 'nestvec[report]'" in run.err
    assert not target.exists()
    assert filled("dimensions", "docs", *FEW).code == 0


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_measured(filled: Shell, page: list[Any]) -> None:
    run = filled("dimensions", "docs", "--html", str(filled.folder / "gone" / "report.html"))
    assert (run.code, page) == (1, [])
    assert "there is no folder" in run.err
    assert run.out == ""


@pytest.mark.parametrize("there", [True, False])
def test_so_is_one_in_a_place_that_cannot_be_written(
    filled: Shell, page: list[Any], monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    target = filled.folder / "report.html"
    if there:
        target.write_text("kept", encoding="utf-8")
    locked = target if there else filled.folder  # root may write everywhere, so the system's answer is put in
    monkeypatch.setattr("os.access", lambda path, mode: path != locked)
    run = filled("dimensions", "docs", "--html", str(target))
    assert (run.code, run.out, page) == (1, "", [])
    assert f"{locked} cannot be written to" in run.err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("one", "two"),
        ("docs", "--backend", "store"),
        ("docs", "--dimensions", "64,x"),
        ("docs", "--funnel", "a"),
        ("docs", "--keep", "0"),
        ("docs", "--keep", "1.5"),
        ("docs", "--confidence", "1"),
        ("docs", "--k", "0"),
        ("docs", "--seed", "-1"),
    ],
)
def test_wrong_usage(shell: Shell, arguments: tuple[str, ...]) -> None:
    assert shell("dimensions", *arguments).code == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("docs", "--dimensions", "65"), "65 cannot be measured; the vectors have 1 to 64"),
        (("docs", "--funnel", "32,8"), "give ascending lengths below 64"),
        (("docs", "--queries", "gone.txt"), "questions cannot be read from gone.txt"),
        (("dcos",), "did you mean 'docs'"),
        (("docs", "--rotation", "0" * 16), "was trained for Matryoshka prefixes"),
        (("--embedder", "wrods", "texts.jsonl"), "did you mean 'words'"),
        (("--embedder", "words", "gone.jsonl"), "gone.jsonl"),
        (("docs", "--k", "54"), "too few for 54 neighbours"),
    ],
)
def test_what_is_refused_says_why(filled: Shell, arguments: tuple[str, ...], told: str) -> None:
    run = filled("dimensions", *arguments)
    assert run.code == 1
    assert told in run.err
    assert "Traceback" not in run.err


def test_a_line_that_cannot_be_read_stops_it(filled: Shell) -> None:
    path = filled.file("broken.jsonl", '{"id": "a", "text": "fine"}\n{"id"\n')
    run = filled("dimensions", "--embedder", "words", path)
    assert run.code == 1
    assert "broken.jsonl:2: " in run.err
    assert "Nothing was measured." in run.err


def test_ctrl_c_leaves_no_temporary_collection(filled: Shell, store: SharedMemory) -> None:
    before = store.list_collections(ListCollections())

    def interrupt(ids: list[str]) -> None:
        assert len(store.list_collections(ListCollections())) == len(before) + 1
        raise KeyboardInterrupt

    store.before_write = interrupt
    run = filled("dimensions", "docs", *FEW, "--time", "--json")
    assert run.code == 130
    assert run.json["error"]["type"] == "Interrupted"
    assert store.list_collections(ListCollections()) == before

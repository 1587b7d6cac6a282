"""The page on choosing dimensions: its commands parse, its questions are read, its snippet runs, its fields are all."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import fields
from pathlib import Path

import click
import pytest

import nestvec
from nestvec import DimensionsReport, Document, Question
from nestvec._cli import main
from nestvec._evaluation import report
from nestvec._readers.questions import read_questions

PAGE = (Path(__file__).parents[2] / "docs/how-to/choose-dimensions.md").read_text(encoding="utf-8")
CONFIG = """
[backends.store]
use = "qdrant"
path = "qdrant"
[embedders.small]
use = "e5"
[collections.handbook]
"""


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.parametrize("line", block("bash").splitlines())
def test_every_command_is_one(line: str) -> None:
    program, name, *arguments = shlex.split(line, comments=True)
    command = main.commands[name]
    context = command.make_context(name, arguments, parent=click.Context(main))
    assert program == "nestvec"
    assert context.params["sources"]


def test_the_questions_are_read(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text(block("json"), encoding="utf-8")
    found = read_questions(path)
    assert found[0] == Question("Wie viel Urlaub habe ich?", ["hr-7"])
    assert [len(question.relevant) for question in found] == [1, 2, 0]


def test_the_snippet_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nestvec.toml").write_text(CONFIG, encoding="utf-8")
    with nestvec.connect("nestvec.toml") as nv:
        nv.apply()
        nv["handbook"].upsert(Document(f"hr-{number}", f"Rule {number} about holidays.") for number in range(12))
    exec(compile(block("python"), "choose-dimensions.md", "exec"), {})
    assert "of nDCG@10" in capsys.readouterr().out


def test_every_field_is_documented() -> None:
    told = set(re.findall(r"`([\w.]+)`", PAGE.partition("## The report")[2]))
    kinds = (
        DimensionsReport,
        report.DimensionsSample,
        report.DimensionsCurve,
        report.DimensionsPoint,
        report.FunnelReport,
        report.SearchTimes,
    )
    names = {field.name for kind in kinds for field in fields(kind)} - {"unrescored", "int8", "binary"}
    assert names <= told, json.dumps(sorted(names - told))

"""`nestvec nest`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from nestvec._artifacts import DEFAULT_FOLDER, About, save
from nestvec._cli import progress as progresses
from nestvec._cli.progress import Lines
from nestvec_testing.recording import RecordingEmbedder

from .conftest import Shell

TEXTS = [f"The river {i} runs by stone {i % 7} in winter {i % 5}." for i in range(250)]


@pytest.fixture
def plain(shell: Shell, lines: Callable[..., str]) -> Shell:
    """With a full-size collection `docs` of a model that was not trained for prefixes, and 250 texts in it."""
    shell.edit("batch = 16", "batch = 16\nmatryoshka = false\ndimensions = 32")
    shell.file("texts.jsonl", lines(*({"id": i, "text": text} for i, text in enumerate(TEXTS))))
    assert shell("apply").code == 0
    assert shell("ingest", "docs", str(shell.folder / "texts.jsonl")).code == 0
    return shell


def test_people_get_figures_a_path_and_the_lines_to_write(plain: Shell) -> None:
    run = plain("nest", "docs")
    assert run.code == 0, run.err
    found = re.match(r"rotation (\w{16}) of recording-v3, fitted on 175 vectors: (.*)\n", run.out)
    assert found is not None, run.out
    fingerprint, path = found.groups()
    assert Path(path) == plain.folder / DEFAULT_FOLDER / f"{fingerprint}.npy"
    assert "recall@10 against exact search at 32: 25 questions among\n50 vectors, all of them held out" in run.out
    rows = re.findall(r"^ *(\d+) +(0\.\d{3}) +(0\.\d{3})$", run.out, re.MULTILINE)
    assert [size for size, _, _ in rows] == ["4", "8", "16"]
    assert run.err.count("warning: ") == 1
    assert "among 50 vectors only" in run.err
    block = f'[embedders.words]\nnesting = "{fingerprint}"'
    assert run.out.endswith(f"without embedding:\n\n{block}\n")
    plain.edit("[embedders.words]", block)
    plain.edit("[collections.docs]\ndimensions = 32", "[collections.short]\ndimensions = 8\n[collections.docs]")
    assert plain("plan", "short").code == 3
    assert plain("plan", "docs").code == 1


def test_programs_get_json(plain: Shell) -> None:
    told = plain("nest", "docs", "--sample", "200", "--seed", "3", "--json").json
    assert (told["embedder"], told["model"], told["dimensions"], told["new"]) == ("words", "recording-v3", 32, True)
    assert (told["vectors"], told["questions"], told["searched"]) == (140, 20, 40)
    assert [each["dimensions"] for each in told["recall"]] == [4, 8, 16]
    assert all(0 <= each[how] <= 1 for each in told["recall"] for how in ("plain", "nested"))
    assert told["path"].endswith(f"{told['fingerprint']}.npy")
    assert len(told["warnings"]) == 1


def test_a_second_run_says_that_nothing_was_written(plain: Shell) -> None:
    first, second = plain("nest", "docs"), plain("nest", "docs")
    assert "was kept already, nothing was written: " in second.out
    assert second.out.replace("was kept already, nothing was written: ", "") == first.out
    assert not plain("nest", "docs", "--json").json["new"]
    assert plain("nest", "docs", "--seed", "1", "--sample", "200", "--json").json["new"]


def test_texts_of_files_are_fitted_on(plain: Shell) -> None:
    path = str(plain.folder / "texts.jsonl")
    whole = plain("nest", "--embedder", "words", path, "--json").json
    assert (whole["vectors"], whole["questions"], whole["searched"]) == (175, 25, 50)
    assert plain("nest", "--embedder", "words", "--task", "separation", path, "--json").json["new"]
    bad = plain.file("bad.jsonl", '{"id": 1, "text": "fine"}\n{"id": 2, "text": \n')
    run = plain("nest", "--embedder", "words", path, bad)
    assert run.code == 1
    assert f"{bad}:2" in run.err
    assert "mend it or leave that file out. No rotation was kept." in run.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("docs",), "250 vectors read"), (("--embedder", "words", "texts.jsonl"), "250 vectors embedded")],
)
def test_progress_counts_vectors(
    plain: Shell, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    ticks = count(step=10)
    monkeypatch.setattr(progresses, "Lines", partial(Lines, clock=lambda: float(next(ticks))))
    monkeypatch.chdir(plain.folder)
    run = plain("nest", *arguments)
    assert run.code == 0, run.err
    assert said in run.err
    assert "document" not in run.err


@pytest.mark.parametrize("readonly", [True, False])
def test_a_folder_that_cannot_be_written_is_named_before_anything_is_embedded(
    plain: Shell, monkeypatch: pytest.MonkeyPatch, readonly: bool
) -> None:
    place = plain.folder / "place"
    place.mkdir() if readonly else place.write_text("no folder")
    if readonly:  # root may write everywhere, so the system's answer is put in
        monkeypatch.setattr(os, "access", lambda path, mode: path != place)
    plain.config.write_text('artifacts = "place/new"\n' + plain.config.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(RecordingEmbedder, "encode", None)
    run = plain("nest", "--embedder", "words", str(plain.folder / "texts.jsonl"))
    assert run.code == 1
    why = "cannot be written to" if readonly else "is no folder"
    assert f"rotations cannot be kept in {place / 'new'}: {place} {why}; " in run.err
    assert "write the key `artifacts` with a folder" in run.err


@pytest.mark.parametrize("damaged", [False, True])
def test_doctor_looks_at_the_artifact(shell: Shell, damaged: bool) -> None:
    kept = save(shell.folder / DEFAULT_FOLDER, np.eye(64, dtype=np.float32), About("recording-v3", 64))
    shell.edit("batch = 16", f'batch = 16\nnesting = "{kept.fingerprint}"')
    if damaged:
        kept.matrix.write_bytes(b"gone")
    checks = {check["subject"]: check for check in shell("doctor", "--json").json["checks"]}
    assert checks["nesting of words"]["status"] == ("fail" if damaged else "ok")
    assert kept.fingerprint in checks["nesting of words"]["detail"]


def test_a_model_that_was_trained_for_prefixes_is_refused(shell: Shell) -> None:
    run = shell("nest", "docs")
    assert run.code == 1
    assert "was trained for Matryoshka prefixes" in run.err


def test_either_a_collection_or_an_embedder_and_files(shell: Shell) -> None:
    for arguments in ((), ("one", "two"), ("docs", "--task", "separation")):
        assert shell("nest", *arguments).code == 2


def test_a_collection_that_was_shrunk_is_named_as_one(plain: Shell) -> None:
    clock = count()  # passes by itself: nobody waits for writers
    now = lambda: float(next(clock))  # noqa: E731
    plain.runtime = replace(plain.runtime, clock=now, wall=now, pause=lambda _: None)
    block = plain("nest", "docs", "--json").json["config"]
    plain.edit("[embedders.words]", block)
    assert plain("migrate", "docs").code == 0
    assert plain("shrink", "docs", "--dimensions", "8").code == 0
    run = plain("nest", "docs")
    assert run.code == 1
    assert "collection 'docs' holds 8 of 32 dimensions: what was cut off is needed to fit a rotation" in run.err


def test_a_measurement_with_a_rotation_of_its_own_leads_here(plain: Shell) -> None:
    few = ("--k", "3", "--resamples", "50", "--keep", "0.01")
    assert plain("dimensions", "docs", *few).out.splitlines()[-1].startswith("Next: `nestvec nest docs` fits and keeps")
    kept = plain("nest", "docs", "--json").json["fingerprint"]
    last = plain("dimensions", "docs", *few, "--rotation", kept).out.splitlines()[-1]
    assert last.startswith(f'Next: write nesting = "{kept}" in [embedders.words] and dimensions = ')

"""`nestvec migrate`, `shrink`, `rollback`, `generations` and `cleanup`: what they say, how they end, what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nestvec._cli import tidying
from nestvec._cli.stages import Stages
from nestvec._client import connect
from nestvec._collections import write_fence
from nestvec._migration.report import MigrationProgress, MigrationStage
from nestvec.contract import SetAlias, WriteNote
from nestvec.runtime import Runtime

from .conftest import SharedMemory, Shell

PLAN = {
    "collection", "way", "reason", "source", "target", "documents", "chunks", "tokens", "requests", "money", "seconds",
    "writers_wait", "changes", "advice",
}  # fmt: skip
REPORT = {
    "collection", "way", "reason", "source", "target", "switched", "documents", "chunks", "brought", "changed",
    "deleted", "verified", "overlap", "writers_waited", "seconds", "usage", "failed", "misfits",
}  # fmt: skip
GENERATION = {
    "collection", "backend", "physical", "generation", "role", "space", "dimensions", "model", "storage", "chunks",
    "created_from", "since",
}  # fmt: skip


class Time:
    """Passes when somebody waits for it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.when: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        assert self.now < 1e6, "somebody waits without end"
        self.when()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def runtime(runtime: Runtime, time: Time) -> Runtime:
    return replace(runtime, clock=time, wall=time, pause=time.pass_)


@pytest.fixture
def filled(applied: Shell, lines: Callable[..., str]) -> Shell:
    """With ten documents in `docs`."""
    rows = [{"id": f"d{i}", "text": f"text number {i} of ten", "lang": "en"} for i in range(10)]
    applied.file("docs.jsonl", lines(*rows))
    assert applied("ingest", "docs", str(applied.folder / "docs.jsonl")).code == 0
    return applied


def another_model(shell: Shell) -> None:
    shell.edit("batch = 16", 'batch = 16\nmodel = "recording-v4"')


# ------------------------------------------------------------------ plans


def test_a_plan_exits_3_where_there_is_something_to_do(filled: Shell) -> None:
    nothing = filled("migrate", "docs", "--plan")
    assert (nothing.code, nothing.out) == (
        0,
        "docs: nothing to migrate: the database holds what the configuration says\n",
    )
    filled.edit("dimensions = 32", "dimensions = 8")
    before = list(filled.store.written)
    run = filled("migrate", "docs", "--plan")
    assert run.code == 3
    assert "dimensions: 32 → 8" in run.out
    assert "10 documents, 10 chunks" in run.out
    assert "writers wait 36 s at most, plus the time of the last pass; readers never wait" in run.out
    assert "note: only the dimensions shrink" in run.out
    assert filled.store.written == before


def test_a_plan_tells_what_embedding_costs(filled: Shell) -> None:
    another_model(filled)
    filled.edit('use = "recording"', 'use = "recording"\nprice = 2.0')
    run = filled("migrate", "docs", "--plan")
    assert "every document would be embedded anew (another model)" in run.out
    assert "about 70 tokens in 1 request, which cost about 0.00014 at the price in the configuration" in run.out
    told = filled("migrate", "docs", "--plan", "--json")
    assert told.code == 3
    assert told.json.keys() == PLAN
    assert (told.json["way"], told.json["tokens"]) == ("embed", 70)


def test_a_plan_with_files_knows_the_texts(filled: Shell) -> None:
    filled.edit("dimensions = 32", "dimensions = 32\nstore_text = false")
    assert filled("apply").code == 0
    another_model(filled)
    assert filled("migrate", "docs", "--plan", "--json").json["tokens"] == 70, "these are stored still"


# ------------------------------------------------------------------ migrating


def test_to_another_model_and_back(filled: Shell, time: Time) -> None:
    another_model(filled)
    run = filled("migrate", "docs")
    assert run.code == 0, run.err
    assert run.out.splitlines()[0] == "docs is at 'docs_2' on backend 'store' now:"
    assert "10 documents, 10 chunks: documents embedded anew (another model)" in run.out
    assert "10 brought over by this run, 0 of them because they changed meanwhile, 0 deleted" in run.out
    assert "of the 10 nearest to 10 stored documents" in run.out
    assert "writers waited 35.0 s at most" in run.out
    assert "nestvec rollback docs    goes back to it" in run.out
    assert "nestvec cleanup docs     removes it, and the way back with it" in run.out
    assert "writers wait 36 s at most, and for the last pass (the one before took 0.0 s)" in run.err
    again = filled("migrate", "docs")
    assert (again.code, again.out, again.err) == (
        0,
        "docs: nothing to do: the database holds what the configuration says\n",
        "",
    )
    assert filled("search", "docs", "number 3", "--json").json["hits"]
    back = filled("rollback", "docs")
    assert back.code == 0, back.err
    assert back.out.startswith("docs is back at 'docs_1' on backend 'store' now:\n    10 documents, 10 chunks\n")
    assert "Where [collections.docs] of the configuration says otherwise, set it back" in back.out
    assert "nestvec migrate docs     goes there again" in back.out
    assert filled("plan").code == 1


def test_going_back_without_what_cannot_be_brought_over_has_to_be_said(filled: Shell, lines: Any) -> None:
    another_model(filled)
    assert filled("migrate", "docs").code == 0
    assert filled("ingest", "docs", filled.file("new.jsonl", lines({"id": "new", "text": "later"}))).code == 0
    refused = filled("rollback", "docs")
    assert refused.code == 1
    assert "rollback docs --discard" in refused.err
    run = filled("rollback", "docs", "--discard")
    assert run.code == 0
    assert "10 documents, 10 chunks: what was written since was left behind" in run.out


def test_a_report_is_one_json_object(filled: Shell) -> None:
    another_model(filled)
    for arguments in (("migrate", "docs"), ("rollback", "docs", "--discard"), ("migrate", "docs")):
        run = filled(*arguments, "--json")
        assert run.code == 0, run.err
        assert run.json.keys() == REPORT
    assert run.json["target"] == {"backend": "store", "physical": "docs_2"}


def test_shrinking_embeds_nothing_and_says_what_to_write(filled: Shell) -> None:
    run = filled("shrink", "docs", "--dimensions", "8")
    assert run.code == 0, run.err
    assert "vectors computed from those that were stored, nothing embedded" in run.out
    assert "Write into the configuration: [collections.docs] dimensions = 8" in run.out
    assert "token" not in run.out
    plan = filled("migrate", "docs", "--plan")
    assert (plan.code, "write dimensions = 8" in plan.out) == (0, True)
    again = filled("shrink", "docs", "--dimensions", "8")
    has = "docs: nothing to do: it has 8 dimensions already"
    assert (again.code, again.out) == (0, f"{has}; write dimensions = 8 into the configuration\n")
    filled.edit("dimensions = 32", "dimensions = 8")
    assert filled("shrink", "docs", "--dimensions", "8").out == f"{has}\n"
    assert filled("plan").code == 0
    assert filled("search", "docs", "number 3", "--json").json["hits"]


def test_what_was_cut_off_is_not_had_by_shrinking_again(filled: Shell) -> None:
    assert filled("shrink", "docs", "--dimensions", "8").code == 0
    run = filled("shrink", "docs", "--dimensions", "16")
    assert run.code == 1
    assert "cannot be shrunk to 16 dimensions: it has 8, and what was cut off is gone" in run.err
    assert "`nestvec rollback docs` goes back to them" in run.err
    assert "Matryoshka" not in run.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("migrate", "doc"), 1, "did you mean 'docs'?"),
        (("shrink", "docs", "--dimensions", "999"), 1, "cannot give 999 dimensions"),
        (("shrink", "docs", "--dimensions", "0"), 2, "--dimensions"),
        (("shrink", "docs"), 2, "--dimensions"),
        (("rollback", "docs"), 1, "nothing to go back to"),
        (("migrate", "docs", "--id", "key"), 2, "name some"),
        (("generations", "doc"), 1, "did you mean 'docs'?"),
        (("cleanup", "docs", "--generation", "4", "--yes"), 1, "has no generation 4"),
        (("cleanup", "docs", "--generation", "1", "--yes"), 1, "is live"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said(filled: Shell, arguments: Any, code: int, said: str) -> None:
    run = filled(*arguments)
    assert run.code == code
    assert said in run.err
    assert "Traceback" not in run.err


def test_before_anything_is_applied(shell: Shell) -> None:
    for arguments in (("migrate", "docs"), ("migrate", "docs", "--plan"), ("cleanup", "docs", "--yes")):
        run = shell(*arguments)
        assert run.code == 1
        assert "nestvec apply" in run.err
    assert shell("generations").out == "Nothing is there yet: `nestvec apply` creates collections.\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("questions.txt", "\ufeffnumber 3?\n\nten of text\n"),
        ("questions.jsonl", '{"question": "number 3?", "relevant": ["d3"]}\n\n{"text": "ten of text"}\n'),
    ],
)
def test_questions_are_asked_before_and_after(filled: Shell, name: str, content: str) -> None:
    filled.edit("[collections.docs]\n", '[collections.docs]\nembedder = "new"\nprevious = { embedder = "words" }\n')
    filled.edit("[backends.store]", '[embedders.new]\nuse = "recording"\nmodel = "recording-v4"\n[backends.store]')
    path = filled.file(name, content)
    run = filled("migrate", "docs", "--questions", path)
    assert "of the 10 nearest to 2 questions, " in run.out, run.err
    assert "warning" not in run.err


def test_questions_that_cannot_be_asked_of_both_are_not_left_out_in_silence(filled: Shell) -> None:
    another_model(filled)
    run = filled("migrate", "docs", "--questions", filled.file("questions.txt", "number 3?"))
    assert run.code == 0
    assert "stored documents" in run.out
    assert "warning: the questions could not be asked of both generations" in run.err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\n \n", "questions.txt has no questions"),
        (b"\xff\xfe\xff", "questions.txt:1: not valid UTF-8: byte 0xff at offset 0"),
        (None, "none.txt: No such file"),
    ],
    ids=["blank", "not text", "no file"],
)
def test_a_file_without_questions_is_refused_before_anything_begins(
    filled: Shell, content: bytes | None, said: str
) -> None:
    another_model(filled)
    path = filled.file("questions.txt", content) if content is not None else str(filled.folder / "none.txt")
    run = filled("migrate", "docs", "--questions", path)
    assert run.code == 1
    assert run.err.startswith("error: ")
    assert said in run.err
    assert list(filled.store._collections) == ["docs_1"]


@pytest.fixture
def textless(shell: Shell, lines: Callable[..., str]) -> Shell:
    """Ten documents whose texts are not stored, and another model wanted."""
    shell.edit("dimensions = 32", "dimensions = 32\nstore_text = false")
    assert shell("apply").code == 0
    rows = [{"key": f"d{i}", "words": f"text number {i} of ten"} for i in range(10)]
    shell.file("all.jsonl", lines(*rows))
    shell.file("three.jsonl", lines(*rows[:3]) + "no json\n")
    arguments = ("--id", "key", "--text", "words")
    assert shell("ingest", "docs", str(shell.folder / "all.jsonl"), *arguments).code == 0
    another_model(shell)
    return shell


def test_texts_come_from_files(textless: Shell) -> None:
    without = textless("migrate", "docs")
    assert without.code == 1
    assert "--from PATH" in without.err
    unknown = textless("migrate", "docs", "--plan", "--json").json
    assert (unknown["tokens"], unknown["money"]) == (None, None)
    files = ("--from", str(textless.folder / "all.jsonl"), "--id", "key", "--text", "words")
    assert textless("migrate", "docs", "--plan", "--json", *files).json["tokens"] == 70
    run = textless("migrate", "docs", *files)
    assert run.code == 0, run.err
    assert "10 documents, 10 chunks" in run.out


def test_documents_that_fail_are_named_and_nothing_is_switched(textless: Shell) -> None:
    files = ("--from", str(textless.folder / "three.jsonl"), "--id", "key", "--text", "words")
    run = textless("migrate", "docs", *files)
    assert run.code == 1
    assert run.out == ""
    assert "warning: " in run.err
    assert "three.jsonl:4" in run.err
    assert "error: 7 documents cannot be brought over, so nothing was switched: docs is as it was" in run.err
    assert run.err.count("its text is not stored") == 5
    assert "… and 2 more" in run.err
    assert textless.store._aliases == {"docs": "docs_1"}
    told = textless("migrate", "docs", *files, "--json")
    assert (told.code, told.json["switched"], len(told.json["failed"])) == (1, False, 7)
    files = ("--from", str(textless.folder / "all.jsonl"), "--id", "key", "--text", "words")
    assert textless("migrate", "docs", *files, "--json").json["brought"] == 7


# ------------------------------------------------------------------ interrupted


def interrupt() -> None:
    raise KeyboardInterrupt


def test_ctrl_c_while_copying(filled: Shell) -> None:
    another_model(filled)
    filled.store.before_write = lambda ids: interrupt()
    run = filled("migrate", "docs", "--json")
    assert run.code == 130
    assert "interrupted: nothing was switched; run the same command again to go on" in run.err
    assert run.json["error"]["type"] == "Interrupted"
    filled.store.before_write = lambda ids: None
    assert filled("migrate", "docs", "--json").json["switched"]


def test_ctrl_c_while_writers_wait(filled: Shell, time: Time) -> None:
    another_model(filled)
    time.when = interrupt
    run = filled("migrate", "docs")
    assert run.code == 130
    assert "nothing was switched, and writers go on after a moment" in run.err
    time.when = lambda: None
    file = str(filled.folder / "docs.jsonl")
    filled.edit('model = "recording-v4"', "")
    assert filled("ingest", "docs", file).code == 0
    assert time.now < 1040, "no writer waited for the fence to run out"


@pytest.mark.parametrize("late", [False, True], ids=["before it is there", "when it is there"])
def test_ctrl_c_just_as_the_fence_is_raised(
    filled: Shell, time: Time, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    another_model(filled)
    original, noted = SharedMemory.write_note, []

    def write_note(store: SharedMemory, request: WriteNote) -> None:
        first = request.name == write_fence.NOTE and not noted
        noted.extend([request.name] if request.name == write_fence.NOTE else [])
        if first and not late:
            interrupt()
        original(store, request)
        if first:
            interrupt()

    with monkeypatch.context() as patched:
        patched.setattr(SharedMemory, "write_note", write_note)
        assert filled("migrate", "docs").code == 130
    assert write_fence.NOTE not in filled.store._collections["docs_1"].notes, (
        "writers would wait for a fence to run out"
    )
    assert filled("migrate", "docs").code == 0


def test_ctrl_c_while_it_switches(filled: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    another_model(filled)
    original = SharedMemory.set_alias

    def point(store: SharedMemory, request: SetAlias) -> None:
        original(store, request)
        interrupt()

    with monkeypatch.context() as patched:
        patched.setattr(SharedMemory, "set_alias", point)
        run = filled("migrate", "docs")
    assert run.code == 130
    assert "interrupted while it switched" in run.err
    assert "to its end first" in filled("migrate", "docs", "--plan").out
    again = filled("migrate", "docs")
    assert again.code == 0
    assert again.out.startswith("docs is at 'docs_2'")
    assert "a switch that was interrupted is done" in again.out
    assert filled("migrate", "docs").out == "docs: nothing to do: the database holds what the configuration says\n"


def hear_ctrl_c() -> None:
    """Tests that run in the background of a script inherit being deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_in_a_process_of_its_own(tmp_path: Path) -> None:
    """On the embedded stack, while writers wait; the rerun finds everything there."""
    pytest.importorskip("nestvec_e5")
    pytest.importorskip("nestvec_qdrant")
    config = tmp_path / "nestvec.toml"
    config.write_text(
        '[backends.store]\nuse = "qdrant"\npath = "store"\n[embedders.small]\nuse = "e5"\n[collections.docs]\n',
        encoding="utf-8",
    )
    from nestvec import Document

    with connect(config) as nv:
        nv.apply()
        nv["docs"].upsert(Document(f"d{i}", f"text number {i}") for i in range(12))
    with subprocess.Popen(
        [sys.executable, "-m", "nestvec", "shrink", "docs", "--dimensions", "32"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        for line in process.stderr:
            if line.startswith("writers wait"):
                break
        process.send_signal(signal.SIGINT)
        rest, out = process.stderr.read(), process.stdout.read()
        assert process.wait() == 130
    assert out == ""
    assert rest.splitlines()[-1].startswith("interrupted: nothing was switched, and writers go on after a moment")
    assert "Traceback" not in rest
    with connect(config, Runtime(pause=lambda seconds: pytest.fail("writers need not wait"))) as nv:
        live, shadow = nv.generations()
        assert (live.role, shadow.role, shadow.chunks) == ("live", "candidate", 12)
        assert nv["docs"].upsert([Document("d0", "text number 0")]).unchanged == 1
    time = Time()
    with connect(config, Runtime(clock=time, wall=time, pause=time.pass_)) as nv:
        report = nv.shrink("docs", 32)
        assert (report.switched, report.brought, report.documents) == (True, 0, 12)


# ------------------------------------------------------------------ generations, cleaning up


@pytest.fixture
def migrated(filled: Shell, time: Time) -> Shell:
    """Moved from `docs_1` to `docs_2`, and time has passed since."""
    another_model(filled)
    assert filled("migrate", "docs").code == 0
    time.now += 100
    return filled


def test_generations_are_told(migrated: Shell) -> None:
    run = migrated("generations")
    head, _, one, two = run.out.splitlines()
    assert head.split() == [
        "collection", "backend", "no.", "physical", "state", "model", "dimensions", "storage", "chunks", "since",
    ]  # fmt: skip
    assert one.split()[:9] == ["docs", "store", "1", "docs_1", "retired", "recording-v3", "32", "float32", "10"]
    assert two.split()[:9] == ["docs", "store", "2", "docs_2", "live", "recording-v4", "32", "float32", "10"]
    told = migrated("generations", "docs", "--json").json["generations"]
    assert [each.keys() for each in told] == [GENERATION, GENERATION]
    assert told[1]["created_from"] == {"backend": "store", "physical": "docs_1"}


def test_cleaning_up_asks(migrated: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = migrated("cleanup", "docs")
    assert alone.code == 2
    assert "say --yes" in alone.err
    assert "- docs_1 on backend store (retired, 10 chunks) would be removed" in alone.out
    monkeypatch.setattr(tidying, "somebody_there", lambda: True)
    no = migrated("cleanup", "docs", stdin="n\n")
    assert no.code == 1
    assert "There is no way back for docs afterwards" in no.err
    assert list(migrated.store._collections) == ["docs_1", "docs_2"]
    yes = migrated("cleanup", "docs", stdin="y\n")
    assert yes.code == 0
    assert yes.out.splitlines()[-1].endswith("- docs_1 on backend store (retired, 10 chunks) removed")
    assert list(migrated.store._collections) == ["docs_2"]
    nothing = migrated("cleanup", "docs")
    assert (nothing.code, nothing.out) == (0, "nothing to remove: there is only the live generation\n")
    back = migrated("rollback", "docs")
    assert back.code == 1
    assert "cleaned up" in back.err
    assert "set the configuration back and run `nestvec migrate docs`" in back.err


def test_nothing_goes_but_what_was_shown(migrated: Shell, time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody thinks about the question for so long that more could go."""
    assert migrated("shrink", "docs", "--dimensions", "8").code == 0

    def thinking() -> bool:
        time.now += 1000
        return True

    monkeypatch.setattr(tidying, "somebody_there", thinking)
    run = migrated("cleanup", "docs", stdin="y\n")
    assert "= docs_2 on backend store (retired, 10 chunks) stays" in run.out
    assert list(migrated.store._collections) == ["docs_2", "docs_3"]


def test_cleaning_up_for_programs(migrated: Shell, time: Time) -> None:
    alone = migrated("cleanup", "docs", "--json")
    assert (alone.code, alone.out) == (2, "")
    assert "--json does not ask" in alone.err
    assert list(migrated.store._collections) == ["docs_1", "docs_2"]
    time.now -= 90
    early = migrated("cleanup", "docs", "--json", "--yes")
    (kept,) = early.json["generations"]
    assert (early.code, kept["removed"]) == (0, False)
    assert kept["reason"].startswith("readers may still be on it until 1970-01-01T")
    time.now += 90
    (gone,) = migrated("cleanup", "docs", "--json", "--yes").json["generations"]
    assert gone.keys() == GENERATION | {"removed", "reason"}
    assert (gone["removed"], gone["reason"]) == (True, "retired")


def test_what_was_begun_is_removed_by_its_number(filled: Shell) -> None:
    another_model(filled)
    filled.store.before_write = lambda ids: interrupt()
    assert filled("migrate", "docs").code == 130
    kept = filled("cleanup", "docs", "--yes")
    assert kept.code == 0
    assert "= docs_2 on backend store (candidate, 0 chunks) stays: a migration to it is under way" in kept.out
    gone = filled("cleanup", "docs", "--generation", "2", "--yes")
    assert "- docs_2 on backend store (candidate, 0 chunks) removed" in gone.out
    assert list(filled.store._collections) == ["docs_1"]


# ------------------------------------------------------------------ progress


def steps(stages: Stages, *states: MigrationProgress) -> None:
    with stages:
        for state in states:
            stages(state)


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str], time: Time) -> None:
    copying = [MigrationProgress(MigrationStage.COPYING, done, 1000, done) for done in range(0, 1001, 10)]
    waiting = MigrationProgress(MigrationStage.DRAINING, note="writers wait 36 s")
    steps(Stages(terminal=False, clock=time), *copying, waiting, waiting)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "copying"
    assert said[1] == "copying: 10 %, 100 documents brought over"
    assert len(said) == 13
    assert said[-2:] == ["waiting for writers", "writers wait 36 s"]


def test_a_line_is_due_after_some_seconds(capsys: pytest.CaptureFixture[str], time: Time) -> None:
    stages = Stages(terminal=False, clock=time)
    stages(MigrationProgress(MigrationStage.COPYING, 0, 100_000))
    time.now += 6
    stages(MigrationProgress(MigrationStage.COPYING, 10, 100_000, 1))
    assert capsys.readouterr().err.splitlines() == ["copying", "copying: 0 %, 1 document brought over"]


def test_a_bar_for_each_stage_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    stages = Stages(terminal=True)
    states = [MigrationProgress(MigrationStage.COPYING, done, 100, done) for done in (0, 50, 100)]
    again = [MigrationProgress(MigrationStage.CATCHING_UP, done, 100) for done in (100, 40)]
    waiting = MigrationProgress(MigrationStage.DRAINING, note="writers wait 36 s")
    steps(stages, *states, *again, waiting)
    said = capsys.readouterr().err
    assert "copying:" in said
    assert "catching up:" in said
    assert "writers wait 36 s\n" in said
    assert stages.stage is MigrationStage.DRAINING


def test_json_stays_json_while_it_tells_how_far_it_is(filled: Shell) -> None:
    another_model(filled)
    run = filled("migrate", "docs", "--json")
    assert json.loads(run.out)["switched"]
    assert "copying" in run.err

"""`doctor --embedder` and `--against`: each check on an embedder that keeps its promises and on others."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from nestvec._hosts.note import NOTE
from nestvec.contract import ReadNote, WriteNote
from nestvec.encoding.tasks import NO_TASKS
from nestvec.errors import EmbedderUnavailable
from nestvec.hookspecs import hookimpl
from nestvec.runtime import Runtime
from nestvec_testing.mutants import EMBEDDERS
from nestvec_testing.recording import RecordingEmbedder, capabilities
from nestvec_testing.recording import nestvec_embedder as recording
from nestvec_testing.registry import test_registry

MUTANTS = {mutant.name: mutant.subject.plugin.open for mutant in EMBEDDERS}
TITLES = [
    "lengths",
    "order",
    "repetition",
    "sides",
    "prefixes",
    "late chunking, alone",
    "late chunking, neighbours",
    "late chunking, documents",
    "speed",
]


class PoolsAnotherWayAlone(RecordingEmbedder):
    """Late chunking of a single chunk is not what it is without."""

    def encode(self, request):
        reply = super().encode(request)
        if not request.late:
            return reply
        return replace(reply, vectors=tuple(np.roll(rows, 1, axis=1) for rows in reply.vectors))


class Zeros(RecordingEmbedder):
    """Answers, with nothing in it."""

    def encode(self, request):
        reply = super().encode(request)
        return replace(reply, vectors=tuple(0 * rows for rows in reply.vectors))


class Sleeps(RecordingEmbedder):
    """Not there."""

    def encode(self, request):
        raise EmbedderUnavailable("the model sleeps")


def plain(options):
    """A model of another kind: no tasks, no prefixes, no late chunking, no length."""
    known = capabilities(options)
    return replace(
        known, purposes=NO_TASKS, tasks=(), min_dimensions=known.dimensions, late_chunking=False, normalized=False
    )


@pytest.fixture
def doctor(shell):
    """Run `doctor` on embedders of these classes (and options) by name."""
    names = []

    def run(*arguments, **embedders):
        blocks = ""
        for name, (made, options) in embedders.items():
            names.append(f"nestvec_doctor_tests_{name}")
            sys.modules[names[-1]] = offer(names[-1], name, made)
            lines = "".join(f"{key} = {value!r}\n" for key, value in options.items())
            blocks += f'[embedders.{name}]\nuse = "{name}"\n{lines}'
        known = {f"embedder_{name}": f"nestvec_doctor_tests_{name}" for name in embedders}
        shell.config.write_text(blocks, encoding="utf-8")
        shell.runtime = Runtime(test_registry(**known))
        return shell("doctor", *arguments)

    yield run
    for name in names:
        sys.modules.pop(name, None)


def offer(module_name, name, made):
    module = ModuleType(module_name)
    changes = {"capabilities": plain} if made == "plain" else {"open": made}

    @hookimpl
    def nestvec_embedder():
        return replace(recording(), name=name, **changes)

    module.nestvec_embedder = nestvec_embedder
    return module


def checks(run):
    return {check["subject"]: check for check in run.json["checks"]}


# ------------------------------------------------------------ one embedder


def test_a_sound_embedder_has_a_line_with_a_figure_for_everything(doctor):
    run = doctor("--embedder", "a", "--json", a=(RecordingEmbedder, {"host": "here"}))
    assert run.code == 0
    assert run.json["healthy"] is True
    found = [check["subject"] for check in run.json["checks"]]
    assert found == ["embedder a", *TITLES]
    assert all(check["status"] == "ok" for check in run.json["checks"])
    assert "recording-v3, host here, 64 dimensions, 5 tasks" in run.json["checks"][0]["detail"]
    details = {title: check["detail"] for title, check in checks(run).items()}
    assert details["lengths"] == "1.0000 to 1.0000"
    assert details["order"] == details["repetition"] == "least cosine 1.0000, median 1.0000"
    assert "retrieval.passage to retrieval.query: median cosine 0.9" in details["sides"]
    assert details["prefixes"].startswith("16 of 64: least cosine 1.0000")
    assert "median cosine 0.8" in details["late chunking, neighbours"]
    assert "texts a second" in details["speed"]


def test_for_people(doctor):
    run = doctor("--embedder", "a", a=(RecordingEmbedder, {}))
    assert run.code == 0
    assert "ok    lengths: 1.0000 to 1.0000\n" in run.out
    assert "All 10 checks are fine." in run.out
    run = doctor("--embedder", "a", a=(MUTANTS["IgnoresTheTask"], {}))
    assert run.code == 1
    assert "FAIL  sides:" in run.out
    assert "the task is ignored" in run.out


def test_vectors_of_zeros_are_no_answer(doctor):
    run = doctor("--embedder", "a", "--json", a=(Zeros, {}))
    assert run.code == 1
    (check,) = run.json["checks"]
    assert (check["subject"], check["status"]) == ("embedder a", "fail")
    assert "no direction" in check["detail"]


BROKEN = [
    ("order", MUTANTS["SortsByLength"], {}, "out of order"),
    ("order", MUTANTS["DependsOnTheBatch"], {}, "shine through"),
    ("repetition", MUTANTS["NeverTheSame"], {}, "another vector each time"),
    ("sides", MUTANTS["IgnoresTheTask"], {}, "the task is ignored"),
    ("prefixes", MUTANTS["TakesTheEnd"], {}, "not the renormalised beginning"),
    ("prefixes", MUTANTS["AlwaysFullSize"], {}, "expected (1, 16)"),
    ("late chunking, alone", PoolsAnotherWayAlone, {}, "the pooling is another"),
    ("late chunking, neighbours", MUTANTS["IgnoresLateChunking"], {}, "late chunking is ignored"),
    ("late chunking, documents", MUTANTS["MixesDocuments"], {}, "see each other"),
    ("late chunking, neighbours", MUTANTS["DropsTheLastSpan"], {}, "expected (3, 64)"),
]


@pytest.mark.parametrize(
    ("title", "made", "options", "words"), BROKEN, ids=lambda value: getattr(value, "__name__", "")
)
def test_each_check_can_fail(doctor, title, made, options, words):
    run = doctor("--embedder", "a", "--json", a=(made, options))
    assert run.code == 1
    check = checks(run)[title]
    assert check["status"] == "fail"
    assert words in check["detail"]
    assert len(run.json["checks"]) == len(TITLES) + 1, "the others are made all the same"


def test_every_check_but_speed_and_lengths_was_seen_failing():
    assert {title for title, *_ in BROKEN} == set(TITLES) - {"speed", "lengths"}


def test_what_is_not_promised_is_not_checked(doctor):
    run = doctor("--embedder", "a", "--json", a=("plain", {"skew": "length"}))
    assert run.code == 0
    assert [check["subject"] for check in run.json["checks"]] == [
        "embedder a",
        "lengths",
        "order",
        "repetition",
        "speed",
    ]
    assert checks(run)["lengths"]["detail"] == "1.1000 to 1.1000"


def test_an_embedder_that_does_not_answer_is_one_failure(doctor):
    run = doctor("--embedder", "a", "--json", a=(Sleeps, {}))
    assert run.code == 1
    (check,) = run.json["checks"]
    assert (check["subject"], check["detail"]) == ("embedder a", "the model sleeps")


def test_unknown_names_and_wrong_usage(doctor):
    run = doctor("--embedder", "words", a=(RecordingEmbedder, {}))
    assert run.code == 1
    assert "no embedder 'words'" in run.err
    run = doctor("--against", "a", a=(RecordingEmbedder, {}))
    assert run.code == 2
    assert "give both" in run.err


def test_canaries_are_not_taken_from_a_cache(doctor):
    seen = []

    class Watched(RecordingEmbedder):
        def encode(self, request):
            seen.append(request.fresh)
            return super().encode(request)

    doctor("--embedder", "a", a=(Watched, {}))
    assert len(seen) > 10
    assert all(seen)


# ------------------------------------------------------------ two of them


def test_two_hosts_of_one_space(doctor):
    pair = {"a": (RecordingEmbedder, {"host": "here"}), "b": (RecordingEmbedder, {"host": "there", "skew": "rounding"})}
    run = doctor("--embedder", "a", "--against", "b", "--json", **pair)
    assert run.code == 0
    assert run.json["interchangeable"] is True
    assert run.json["differences"] == {}
    assert run.json["dimensions"] == 64
    assert run.json["embedders"][1] == {"name": "b", "model": "recording-v3", "host": "there"}
    assert [(each["task"], each["late"]) for each in run.json["tasks"]] == [
        ("retrieval.query", False),
        ("retrieval.passage", False),
        ("text-matching", False),
        ("classification", False),
        ("separation", False),
        ("retrieval.passage", True),
    ]
    assert all(0.9995 < each["least"] <= each["median"] < 1 and each["alike"] for each in run.json["tasks"])
    run = doctor("--embedder", "a", "--against", "b", **pair)
    assert run.code == 0
    assert "a (here) against b (there), at 64 dimensions" in run.out
    assert "ok    spaces: the same, of recording-v3" in run.out
    assert "ok    task separation: least cosine 0.9999" in run.out
    assert "One space" in run.out


@pytest.mark.parametrize("made", [(RecordingEmbedder, {"skew": "length"}), (MUTANTS["ForgetsToRenormalise"], {})])
def test_lengths_that_are_not_1_are_told_and_no_fault(doctor, made):
    run = doctor("--embedder", "a", "--json", a=made)
    assert run.code == 0
    check = checks(run)["lengths"]
    assert (check["status"], "which nestvec scales to 1" in check["detail"]) == ("ok", True)


def test_hosts_that_differ_in_length_alone_are_interchangeable(doctor):
    pair = {"a": (RecordingEmbedder, {}), "b": (RecordingEmbedder, {"skew": "length"})}
    assert doctor("--embedder", "a", "--against", "b", "--json", **pair).json["interchangeable"] is True


@pytest.mark.parametrize("skew", ["prompt", "adapter", "pooling", "neighbours"])
def test_hosts_that_give_other_vectors_are_not_interchangeable(doctor, skew):
    pair = {"a": (RecordingEmbedder, {}), "b": (RecordingEmbedder, {"skew": skew})}
    run = doctor("--embedder", "a", "--against", "b", "--json", **pair)
    assert run.code == 1
    assert run.json["interchangeable"] is False
    assert run.json["differences"] == {}
    off = [each for each in run.json["tasks"] if not each["alike"]]
    assert len(off) == (1 if skew == "neighbours" else 6)
    run = doctor("--embedder", "a", "--against", "b", **pair)
    assert run.code == 1
    assert "FAIL  task " in run.out
    assert "Not interchangeable" in run.out
    assert "Wanted: each cosine at least 0.995" in run.out


@pytest.mark.parametrize(
    ("options", "field"),
    [({"model": "recording-v2"}, "model"), ({"rotation": "r1"}, "rotation")],
)
def test_other_spaces_are_named_field_by_field(doctor, options, field):
    pair = {"a": (RecordingEmbedder, {}), "b": (RecordingEmbedder, options)}
    run = doctor("--embedder", "a", "--against", "b", "--json", **pair)
    assert run.code == 1
    assert list(run.json["differences"]) == [field]
    assert f"FAIL  {field}: " in doctor("--embedder", "a", "--against", "b", **pair).out


def test_what_cannot_be_compared(doctor):
    """A model without tasks and prefixes, of another length: no figure, but the reasons."""
    pair = {"a": (RecordingEmbedder, {"dimensions": 32}), "b": ("plain", {})}
    run = doctor("--embedder", "a", "--against", "b", "--json", **pair)
    assert run.code == 1
    assert run.json["dimensions"] is None
    assert run.json["tasks"] == []
    assert set(run.json["differences"]) == {"dimensions", "normalized", "tasks"}


def test_a_shorter_model_is_compared_at_its_size(doctor):
    pair = {"a": (RecordingEmbedder, {"dimensions": 32}), "b": (RecordingEmbedder, {"dimensions": 64})}
    run = doctor("--embedder", "a", "--against", "b", "--json", **pair)
    assert run.json["dimensions"] == 32
    assert run.json["differences"] == {}


def test_an_embedder_that_fails_ends_the_comparison(doctor):
    run = doctor("--embedder", "a", "--against", "b", "--json", a=(RecordingEmbedder, {}), b=(Sleeps, {}))
    assert run.code == 1
    assert run.json["error"]["message"] == "the model sleeps"


# ------------------------------------------------------------ what collections say


def ingest(shell, *texts):
    rows = "".join(f'{{"id": "{text}", "text": "{text}"}}\n' for text in texts)
    run = shell("ingest", "docs", shell.file("texts.jsonl", rows), "--json")
    assert run.code == 0, run.err
    return run


def test_doctor_says_which_hosts_a_collection_has(applied):
    applied.edit("batch = 16", 'batch = 16\nhost = "here"')
    assert ingest(applied, "river").json["requests"] == 3
    detail = collection(applied)["detail"]
    assert detail == "1 documents, 1 chunks; embedded by here"
    applied.edit('host = "here"', 'host = "there"\nskew = "rounding"')
    assert collection(applied)["detail"].endswith("; there will be compared")
    assert applied("search", "docs", "river").code == 0
    assert "embedded by here; there agrees (least cosine 0.9999, median 0.9999)" in collection(applied)["detail"]


def test_another_host_is_refused_in_plain_words(applied):
    applied.edit("batch = 16", 'batch = 16\nhost = "here"')
    ingest(applied, "river")
    applied.edit('host = "here"', 'host = "there"\nskew = "adapter"')
    run = applied("search", "docs", "river", "--json")
    assert run.code == 1
    assert run.json["error"]["type"] == "HostMismatch"
    assert "Nothing was written" in run.err


def test_damaged_canaries_are_found_and_removed(applied):
    applied.edit("batch = 16", 'batch = 16\nhost = "here"')
    ingest(applied, "river")
    applied.store.write_note(WriteNote("docs_1", NOTE, "{"))
    assert collection(applied)["status"] == "fail"
    assert "nestvec delete docs --canaries" in collection(applied)["detail"]
    run = applied("delete", "docs", "--canaries", "--json")
    assert run.code == 0
    assert run.json == {"collection": "docs", "deleted": 0, "canaries": True}
    assert applied.store.read_note(ReadNote("docs_1", NOTE)) is None
    assert "the next ingestion makes others" in applied("delete", "docs", "--canaries").out
    assert applied("delete", "docs", "--canaries", "--all").code == 2
    assert ingest(applied, "river", "stone").json["requests"] == 3
    assert collection(applied)["detail"] == "2 documents, 2 chunks; embedded by here"


def collection(shell):
    run = shell("doctor", "--json")
    return next(check for check in run.json["checks"] if check["subject"] == "collection docs")


def test_models_that_take_few_tokens_are_examined_and_compared_by_short_texts(doctor):
    few = (RecordingEmbedder, {"host": "here", "max_tokens": 20})
    many = (RecordingEmbedder, {"host": "there"})
    assert doctor("--embedder", "a", a=few).code == 0
    for pair in ({"a": few, "b": many}, {"a": many, "b": few}):
        run = doctor("--embedder", "a", "--against", "b", **pair)
        assert run.code == 0, run.err
        assert "One space" in run.out

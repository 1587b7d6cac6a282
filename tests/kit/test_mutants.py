"""The kit catches every mutant for its named reason, lets the unbroken originals pass, and sees a broken core."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nestvec._collections import checks, opening
from nestvec._documents import funnel, search, upsert
from nestvec._session import session
from nestvec_testing import BackendUnderTest, EmbedderUnderTest
from nestvec_testing.memory import foreign_layout
from nestvec_testing.mutants import ADAPTERS, EMBEDDERS, MUTANTS, run_check


def test_there_are_enough_of_both_kinds():
    assert len(ADAPTERS) >= 14
    assert len(EMBEDDERS) >= 8
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_caught_for_its_reason(mutant):
    with pytest.raises(AssertionError) as caught:
        mutant.run()
    assert mutant.reason in str(caught.value)


CHECKS = sorted({(type(mutant.subject), mutant.check) for mutant in MUTANTS}, key=str)


@pytest.mark.parametrize(("kind", "check"), CHECKS, ids=lambda value: value if isinstance(value, str) else "")
def test_originals_pass(kind, check):
    adapter = BackendUnderTest("memory", foreign=foreign_layout)
    run_check(adapter if kind is BackendUnderTest else kind("recording"), check)


async def misrouted(collection, questions):
    space = collection.spec.space
    spec = replace(collection.spec, space=replace(space, query_task=space.index_task))
    return await embed_queries(collection.knowing(replace(collection.state, spec=spec)), questions)


embed_queries, truncate = search.embed_queries, funnel.truncate


async def trusting(collection, target):
    return target


async def sweeping_nothing(*_):
    return 0


CORE = {
    "queries embedded as passages": (
        [(search, "embed_queries", misrouted)],
        "test_tasks_reach_the_embedder",
        "questions are embedded as",
    ),
    "spaces not compared": (
        [(checks, "require_same", lambda *_, **__: None)],
        "test_mixed_up_spaces_are_refused",
        "with another model",
    ),
    "writers not fenced": (
        [(opening, "require_unmoved", trusting), (session, "require_in_time", lambda *_: None)],
        "test_writers_are_fenced",
        "after the alias moved",
    ),
    "prefixes not renormalised": (
        [(funnel, "truncate", lambda rows, size, **_: truncate(rows, size, normalized=False))],
        "test_funnels_are_offered_or_refused",
        "a prefix is renormalised",
    ),
    "leftovers not swept": (
        [(upsert, "sweep", sweeping_nothing)],
        "test_interrupted_writes_are_mended",
        "no chunk of another version is left",
    ),
}


@pytest.mark.parametrize("case", CORE, ids=str)
def test_broken_core_is_caught(case, monkeypatch):
    changes, check, reason = CORE[case]
    for module, name, replacement in changes:
        monkeypatch.setattr(module, name, replacement)
    with pytest.raises(AssertionError) as caught:
        run_check(BackendUnderTest("memory"), check)
    assert reason in str(caught.value)


def test_embedder_subject_by_module_name():
    run_check(EmbedderUnderTest("nestvec_testing.recording"), "test_deterministic")

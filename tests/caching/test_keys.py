"""What a vector is known by: everything that decides about it, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest

from nestvec._caching.keys import keys_of
from nestvec.contract import Group
from nestvec_testing.recording import RecordingOptions, capabilities

from .conftest import ask, group

MODEL = capabilities(RecordingOptions())
PAIR = group("d", "one", "two")


def test_a_key_each_for_every_span() -> None:
    keys = keys_of(ask(PAIR, group("e"), group("f", "three")), MODEL)
    assert len(set(keys)) == 3
    assert {len(key) for key in keys} == {32}


def test_a_plain_text_is_known_by_itself_wherever_it_stands() -> None:
    alone, second = keys_of(ask(group("x", "two")), MODEL), keys_of(ask(PAIR), MODEL)[1:]
    assert alone == second


@pytest.mark.parametrize("late", [False, True])
def test_neither_dimensions_nor_rotation_nor_the_document_matter(late: bool) -> None:
    keys = keys_of(ask(PAIR, late=late), MODEL)
    assert keys_of(ask(PAIR, dimensions=8, late=late), MODEL) == keys
    assert keys_of(ask(replace(PAIR, key="other"), late=late), MODEL) == keys
    assert keys_of(ask(PAIR, late=late), replace(MODEL, rotation="r1", batch=1)) == keys


def test_whatever_decides_about_a_vector_is_in_its_key() -> None:
    requests = [
        (ask(PAIR), MODEL),
        (ask(PAIR, task="retrieval.query"), MODEL),
        (ask(PAIR, task=None), MODEL),
        (ask(PAIR), replace(MODEL, model="another")),
        (ask(PAIR), replace(MODEL, host="elsewhere")),
        (ask(PAIR), replace(MODEL, normalized=False)),
        (ask(PAIR), replace(MODEL, prompts={"retrieval.passage": "passage: "})),
        (ask(PAIR), replace(MODEL, prompts={"retrieval.passage": "passage:"})),
        (ask(PAIR, late=True), MODEL),
        (ask(PAIR, late=True), replace(MODEL, max_tokens=512)),
        (ask(group("d", "one", "two", "three"), late=True), MODEL),
        (ask(Group("d", "one,two", PAIR.spans), late=True), MODEL),
        (ask(Group("d", PAIR.text, ((0, 3), (3, 7))), late=True), MODEL),
        (ask(group("d", "One", "Two")), MODEL),
    ]
    keys = [set(keys_of(request, model)) for request, model in requests]
    assert all(len(some) >= 2 for some in keys)
    for one, other in combinations(keys, 2):
        assert not one & other


def test_texts_cannot_run_into_each_other() -> None:
    one = Group("d", "abc", ((0, 1), (1, 3)))
    other = Group("d", "abc", ((0, 2), (2, 3)))
    assert not set(keys_of(ask(one), MODEL)) & set(keys_of(ask(other), MODEL))
    assert not set(keys_of(ask(one, late=True), MODEL)) & set(keys_of(ask(other, late=True), MODEL))


def test_a_lone_surrogate_has_a_key() -> None:
    assert len(keys_of(ask(group("d", "\ud800")), MODEL)) == 1

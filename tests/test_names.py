"""Logical names map reversibly, injectively and within each backend's rules."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nestvec.errors import InvalidName
from nestvec.names import MAX_LOGICAL, NameRules, ambiguous, check_logical, check_unambiguous

ALPHABET = "azhucgAZHUCG019_-"  # the hyphen last: no range
names = st.from_regex(rf"[A-Za-z]([{ALPHABET}]{{0,12}}[A-Za-z0-9])?", fullmatch=True)
generations = st.integers(1, 9_999_999)
rules = st.builds(NameRules, hyphen=st.booleans(), underscore=st.booleans(), uppercase=st.booleans())


def allowed(rule: NameRules) -> re.Pattern[str]:
    characters = "a-z0-9" + "A-Z" * rule.uppercase + "_" * rule.underscore + "-" * rule.hyphen
    return re.compile(rf"[{characters}]+")


@given(rules, names)
def test_encoding_is_reversible(rule: NameRules, name: str) -> None:
    assert rule.decode(rule.encode(name)) == name


@given(rules, names, names)
def test_two_names_never_become_one(rule: NameRules, one: str, other: str) -> None:
    assert (rule.encode(one) == rule.encode(other)) == (one == other)


@given(rules, names, generations)
def test_names_and_generations_stay_within_the_rules(rule: NameRules, name: str, generation: int) -> None:
    assert allowed(rule).fullmatch(rule.encode(name))
    assert allowed(rule).fullmatch(rule.physical(name, generation))


@given(rules, names, generations)
def test_a_generation_is_read_back(rule: NameRules, name: str, generation: int) -> None:
    assert rule.generation(name, rule.physical(name, generation)) == generation


@given(rules, names, names, generations, generations)
@example(NameRules(), "docs", "docs_1", 1, 1)
@example(NameRules(hyphen=False, underscore=False), "x", "xz", 1, 1)
@example(NameRules(hyphen=False, underscore=False), "x", "xzg1", 1, 1)
def test_no_name_owns_the_generation_of_another(rule: NameRules, one: str, other: str, first: int, second: int) -> None:
    if one != other:
        assert rule.physical(one, first) != rule.physical(other, second)
        assert rule.generation(one, rule.physical(other, second)) is None


@given(rules, names, names, generations)
@example(NameRules(), "docs", "docs_1", 1)
@example(NameRules(underscore=False), "docs", "docs-7", 7)
def test_a_pointer_that_reads_like_a_generation_is_called_ambiguous(
    rule: NameRules, one: str, other: str, generation: int
) -> None:
    if rule.encode(other) == rule.physical(one, generation):
        assert (one, other) in ambiguous([one, other])


@given(rules, names)
def test_the_longest_name_that_fits_leaves_room_for_its_generation(rule: NameRules, name: str) -> None:
    length = len(rule.physical(name, 9_999_999))
    exact = NameRules(rule.hyphen, rule.underscore, rule.uppercase, max_length=length)
    assert len(exact.physical(name, 9_999_999)) == length
    short = NameRules(rule.hyphen, rule.underscore, rule.uppercase, max_length=length - 1)
    with pytest.raises(InvalidName, match=r"too long for this backend.*choose a shorter name"):
        short.encode(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "1docs",
        "-docs",
        "_docs",
        "docs-",
        "docs_",
        "do cs",
        "döcs",
        "docs\n",
        "a" * (MAX_LOGICAL + 1),
        "d/x",
        7,
        None,
    ],
)
def test_what_cannot_be_a_name(name: object) -> None:
    with pytest.raises(InvalidName, match="use a letter followed by"):
        check_logical(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a", "Z9", "docs-v2_final", "a" * MAX_LOGICAL])
def test_what_can_be_a_name(name: str) -> None:
    assert check_logical(name) == name


@pytest.mark.parametrize(
    "physical", ["docs_0", "docs_01", "docs_", "docs_12345678", "docs_1\n", "docs_١", "docs_1٣", "docs"]
)
def test_what_is_no_generation(physical: str) -> None:
    assert NameRules().generation("docs", physical) is None


def test_all_ambiguous_names_are_reported_at_once_and_in_a_fixed_order() -> None:
    with pytest.raises(InvalidName) as caught:
        check_unambiguous(["b-2", "docs_1", "docs", "b", "other_1", "docs_0"])
    assert re.findall(r"collections '(\S+)' and '(\S+)'", str(caught.value)) == [("b", "b-2"), ("docs", "docs_1")]

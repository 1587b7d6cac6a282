"""Filters written with F: what the operators build, and what Python's pitfalls raise."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from datetime import UTC, date, datetime
from enum import Enum, StrEnum

import numpy as np
import pytest

from nestvec.errors import InvalidFilter
from nestvec.filters import (
    MAX_DEPTH,
    And,
    Compare,
    ContainsAll,
    ContainsAny,
    Exists,
    F,
    FieldRef,
    FilterTruthError,
    In,
    Not,
    Op,
    Or,
    all_of,
    any_of,
    system,
)
from nestvec.types import FieldType

X = FieldRef("x")
NAIVE = datetime(2024, 1, 1)  # noqa: DTZ001 - that it is naive is the point


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (F.x == "a", Compare(X, Op.EQ, "a")),
        (F.x != "a", Not(Compare(X, Op.EQ, "a"))),
        (F.x < 1, Compare(X, Op.LT, 1)),
        (F.x <= 1, Compare(X, Op.LTE, 1)),
        (F.x > 1, Compare(X, Op.GT, 1)),
        (F.x >= 1, Compare(X, Op.GTE, 1)),
        (1 < F.x, Compare(X, Op.GT, 1)),  # noqa: SIM300 - the mirrored form is what is tested
        (F.x.in_(["a", "b"]), In(X, ("a", "b"))),
        (F.x.not_in(["a", "b"]), Not(In(X, ("a", "b")))),
        (F.x.in_([]), In(X, ())),
        (F.x.exists(), Exists(X)),
        (~F.x.exists(), Not(Exists(X))),
        (F.x.contains("a"), ContainsAny(X, ("a",))),
        (F.x.contains_any(["a", "b"]), ContainsAny(X, ("a", "b"))),
        (F.x.contains_all(["a", "b"]), ContainsAll(X, ("a", "b"))),
        (F["odd name"] == 1, Compare(FieldRef("odd name"), Op.EQ, 1)),
        (F["_hidden"] == 1, Compare(FieldRef("_hidden"), Op.EQ, 1)),
        (F.in_ == 1, Compare(FieldRef("in_"), Op.EQ, 1)),
    ],
)
def test_operators_build_their_nodes(built, expected):
    assert built == expected


def test_and_or_and_not_merge_what_is_nested_alike():
    a, b, c = F.a == 1, F.b == 2, F.c == 3
    assert a & b & c == a & (b & c) == And((a, b, c))
    assert a | b | c == Or((a, b, c))
    assert (a & b) | c == Or((And((a, b)), c))
    assert ~~a == a


def test_all_of_leaves_out_what_is_not_given():
    a, b = F.a == 1, F.b == 2
    assert all_of(None, a, None, b) == a & b
    assert all_of(a) == a
    assert all_of(None) is None
    assert any_of(a, b) == a | b
    with pytest.raises(InvalidFilter, match="at least one condition"):
        any_of()


def test_a_thousand_alternatives_are_not_deep():
    joined = F.x == 0
    for number in range(1, 1000):
        joined = joined | (F.x == number)
    assert joined.depth == 2


def test_filters_are_values():
    f = (F.x == "a") & ~(F.at >= datetime(2024, 1, 1, tzinfo=UTC))
    assert hash(f) == hash(copy.deepcopy(f))
    assert pickle.loads(pickle.dumps(f)) == f
    assert len({f, copy.deepcopy(f)}) == 1
    assert pickle.loads(pickle.dumps(F)) is F
    with pytest.raises(AttributeError):
        f.children = ()


class Lang(StrEnum):
    DE = "de"


class Year(Enum):
    NOW = 2026


@pytest.mark.parametrize(
    ("given", "held"),
    [
        (Lang.DE, "de"),
        (Year.NOW, 2026),
        (np.int64(7), 7),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (NAIVE, datetime(2024, 1, 1, tzinfo=UTC)),
        (datetime.fromisoformat("2024-01-01T02:00+02:00"), datetime(2024, 1, 1, tzinfo=UTC)),
        (date(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC)),
    ],
)
def test_values_become_plain(given, held):
    value = (F.x == given).value
    assert value == held
    assert type(value) is type(held)
    if isinstance(held, datetime):
        assert value.tzinfo is UTC


def test_list_values_lose_repetitions_and_sets_have_one_order():
    assert F.x.in_(["b", "a", "b"]).values == ("b", "a")
    assert F.x.in_({"c", "a", "b"}).values == ("a", "b", "c")
    assert F.x.in_(np.array([1, 2])).values == (1, 2)
    assert F.x.in_(str(n) for n in range(2)).values == ("0", "1")
    assert list(map(type, F.x.in_([True, 1, 1.0]).values)) == [bool, int, float]


TRUTH = r"no truth value.*& \| ~.*is not None"


@pytest.mark.parametrize(
    "misuse",
    [
        lambda: bool(F.x == 1),
        lambda: (F.x == 1) and (F.y == 2),
        lambda: (F.x == 1) or (F.y == 2),
        lambda: not (F.x == 1),  # noqa: SIM201 - that is the mistake
        lambda: 1 < F.x < 9,
        lambda: F.x in [1, 2],
        lambda: bool(F.x),
    ],
)
def test_truth_of_a_filter_is_refused(misuse):
    with pytest.raises(FilterTruthError, match=TRUTH) as caught:
        misuse()
    assert isinstance(caught.value, InvalidFilter)
    assert isinstance(caught.value, TypeError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    ("misuse", "fragment"),
    [
        (lambda: F.x == None, r"'x'.*None is not a value.*\.exists\(\)"),  # noqa: E711 - that is the mistake
        (lambda: F.x != None, r"None is not a value"),  # noqa: E711 - that is the mistake
        (lambda: F.x.in_(["a", None]), r"None is not a value"),
        (lambda: F.x.contains(None), r"None is not a value"),
        (lambda: F.x == F.y, r"got F\.y"),
        (lambda: F.x == ["a"], r"expected a string, number, boolean or datetime, got \['a'\]"),
        (lambda: F.x == {"a": 1}, r"expected a string, number"),
        (lambda: F.x == np.array([1, 2]), r"expected a string, number"),
        (lambda: F.x == b"a", r"got b'a' \(bytes\)"),
        (lambda: F.x.in_("abc"), r"expected a list of values, got 'abc'"),
        (lambda: F.x.in_({"a": 1}), r"expected a list"),
        (lambda: F.x.contains_any(3), r"expected a list of values, got 3"),
        (lambda: F.x > float("nan"), r"nan .*finite"),
        (lambda: F.x < float("-inf"), r"-inf .*finite"),
        (lambda: F.x == "\ud800", r"lone surrogate"),
        (lambda: F.x > datetime.fromisoformat("0001-01-01T00:00+05:00"), r"years 1 to 9999"),
        (lambda: "a" in F.tags, r"use \.contains"),
        (lambda: (F.x == 1) & F.ok, r"field alone is no filter.*parentheses.*F\.ok == True"),
        (lambda: F.x == 1 & F.ok, r"field alone is no filter"),
        (lambda: F.x | F.y, r"field alone is no filter"),
        (lambda: ~F.x, r"field alone is no filter"),
        (lambda: F[""], r"non-empty string"),
        (lambda: F["$or"], r"does not start with \$"),
        (lambda: F[0], r"got 0"),
        (lambda: And(()), r"at least one condition"),
        (lambda: And((True,)), r"made of filters, got bool"),
        (lambda: Not("x"), r"made of filters, got str"),
    ],
)
def test_mistakes_are_named(misuse, fragment):
    with pytest.raises(InvalidFilter, match=fragment):
        misuse()


def test_combining_with_something_else_is_a_type_error():
    with pytest.raises(TypeError):
        (F.x == 1) & {"y": 2}
    with pytest.raises(TypeError):
        (F.x == 1) | True


def test_f_answers_python_like_any_object():
    assert repr(F.year) == "F.year"
    assert repr(F["odd name"]) == "F['odd name']"
    assert not hasattr(F, "__wrapped__")
    assert copy.deepcopy(F) is F
    with pytest.raises(TypeError, match="not iterable"):
        iter(F)
    with pytest.raises(TypeError, match="unhashable"):
        hash(F.x)


def test_too_deep_a_tree_is_refused_while_it_is_built():
    deep = F.x == 0
    while deep.depth < MAX_DEPTH:
        deep = Not(deep)
    for deeper in (lambda: Not(deep), lambda: deep & (F.x == 1), lambda: deep | (F.x == 1)):
        with pytest.raises(InvalidFilter, match=f"more than {MAX_DEPTH} levels"):
            deeper()


def test_system_fields_are_typed_from_the_start():
    first = system("chunk", FieldType.INTEGER) == 0
    assert first == Compare(FieldRef("chunk", FieldType.INTEGER, False, "system"), Op.EQ, 0)
    with pytest.raises(InvalidFilter, match=r"'chunk' \(integer\): expected an integer, got 'a'"):
        system("chunk", FieldType.INTEGER) == "a"  # noqa: B015 - raises
    with pytest.raises(InvalidFilter, match="no order"):
        system("layout", FieldType.KEYWORD) > "a"  # noqa: B015 - raises
    assert system("parts", FieldType.KEYWORD, many=True).contains("a").field.many


def test_importing_filters_costs_nothing():
    code = "import sys, nestvec.filters; print(sorted({'numpy', 'pydantic', 'httpx'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

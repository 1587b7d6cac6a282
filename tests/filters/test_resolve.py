"""Checking filters against declared fields."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nestvec.errors import InvalidFilter
from nestvec.filters import Exists, F, FieldRef, leaves, resolve, system
from nestvec.types import Field, FieldType

FIELDS = {name: Field.parse(name) for name in ("keyword", "integer", "float", "boolean", "datetime")} | {
    "keywords": Field.parse("keyword[]"),
    "integers": Field.parse("integer[]"),
}
BIG = 2**63
NAIVE = datetime(2024, 1, 1)  # noqa: DTZ001 - that it is naive is the point


def test_every_leaf_learns_its_type():
    where = (F.keyword == "a") & ~(F.integer.in_([1]) | F.keywords.contains("a") | F.boolean.exists())
    assert [leaf.field for leaf in leaves(resolve(where, FIELDS))] == [
        FieldRef("keyword", FieldType.KEYWORD),
        FieldRef("integer", FieldType.INTEGER),
        FieldRef("keywords", FieldType.KEYWORD, many=True),
        FieldRef("boolean", FieldType.BOOLEAN),
    ]


def test_a_ref_tells_its_declaration_once_resolved():
    assert resolve(F.keywords.exists(), FIELDS).field.declared == Field(FieldType.KEYWORD, many=True)
    with pytest.raises(InvalidFilter, match=r"'x': its type is unknown; call resolve"):
        _ = F.x.exists().field.declared


@pytest.mark.parametrize(
    ("where", "held"),
    [
        (F.float == 1, 1.0),
        (F.integer == BIG - 1, BIG - 1),
        (F.integer == -BIG, -BIG),
        (F.datetime == "2024-01-01T01:00+01:00", datetime(2024, 1, 1, tzinfo=UTC)),
        (F.datetime == NAIVE, datetime(2024, 1, 1, tzinfo=UTC)),
        (F.boolean == False, False),  # noqa: E712 - a filter, not a truth test
    ],
)
def test_values_become_what_the_field_holds(where, held):
    value = resolve(where, FIELDS).value
    assert value == held
    assert type(value) is type(held)


@pytest.mark.parametrize(
    ("where", "fragment"),
    [
        (F.keyword == 1, "'keyword' (keyword): expected a string, got 1 (int)"),
        (F.keyword == NAIVE, "expected a string"),
        (F.integer == True, "expected an integer, got True (bool)"),  # noqa: E712 - a filter
        (F.integer == 2.5, "expected an integer, got 2.5 (float)"),
        (F.integer == "1", "expected an integer, got '1' (str)"),
        (F.integer == BIG, "outside the signed 64-bit range"),
        (F.integer.in_([1, -BIG - 1]), "outside the signed 64-bit range"),
        (F.integers.contains(10**5000), "outside the signed 64-bit range"),
        (F.float == True, "expected a number, got True (bool)"),  # noqa: E712 - a filter
        (F.float == "1", "expected a number"),
        (F.float == 10**400, "too large for a float"),
        (F.boolean == 1, "expected true or false, got 1 (int)"),
        (F.datetime == True, "expected a datetime"),  # noqa: E712 - a filter
        (
            F.keyword > "a",
            "keyword fields have no order that is the same everywhere, so no $gt; use == or in_",
        ),
        (F.boolean <= True, "boolean fields have no order that is the same everywhere, so no $lte"),
        (
            F.keywords == "a",
            "a list (keyword[]) cannot be compared as one value; use .contains(...) / $contains",
        ),
        (F.integers > 1, "use .contains(...) / $contains"),
        (F.keywords != "a", "use .contains(...) / $contains"),
        (F.keywords.in_(["a"]), "use .contains_any(...) / $contains_any"),
        (F.keywords.not_in([]), "use .contains_any(...) / $contains_any"),
        (F.keyword.contains_any(["a", "b"]), "keyword is one value, not a list; use == / $eq or in_ / $in"),
        (F.keyword.contains_any([]), "not a list"),
        (F.keyword.contains_all(["a"]), "not a list"),
        (F.keywords.contains(1), "(keyword[]): expected a string"),
        (
            F.kyword.exists(),
            "unknown field 'kyword'; did you mean 'keyword'? Declared fields: boolean, datetime",
        ),
        ((F.integer == 1) & ~(F.nope == 1), "unknown field 'nope'; Declared"),
    ],
)
def test_what_does_not_fit_the_field_is_refused(where, fragment):
    with pytest.raises(InvalidFilter) as caught:
        resolve(where, FIELDS)
    assert fragment in str(caught.value)


def test_without_declared_fields_nothing_can_be_filtered():
    with pytest.raises(InvalidFilter, match=r"collection 'h' on field 'x'.*declares no fields"):
        resolve(F.x == 1, {}, collection="h")


@pytest.mark.parametrize("other", ["lang = 'de'", 3, F.keyword, F, [F.keyword == "a"], True])
def test_other_things_are_no_filters(other):
    with pytest.raises(InvalidFilter, match="expected a comparison such as"):
        resolve(other, FIELDS)


def test_contains_all_of_none_or_one_takes_its_simpler_form():
    assert resolve(F.keywords.contains_all([]), FIELDS) == resolve(F.keywords.exists(), FIELDS)
    assert resolve(F.keywords.contains_all(["a", "a"]), FIELDS) == resolve(F.keywords.contains("a"), FIELDS)
    assert isinstance(resolve(F.keywords.contains_all([]), FIELDS), Exists)


def test_values_that_become_equal_are_one():
    assert resolve(F.float.in_([1, 1.0]), FIELDS).values == (1.0,)
    where = F.datetime.in_(["2024-01-01", "2024-01-01T00:00Z"])
    assert resolve(where, FIELDS).values == (datetime(2024, 1, 1, tzinfo=UTC),)


def test_bookkeeping_is_left_alone_even_where_a_field_has_its_name():
    first = system("keyword", FieldType.INTEGER) == 0
    resolved = resolve((F.keyword == "a") & first, FIELDS)
    assert resolved.children[1] is first
    assert resolved.children[0].field.scope == "metadata"
    assert resolve(first, {}) is first


def test_users_cannot_reach_bookkeeping_by_name():
    with pytest.raises(InvalidFilter, match="unknown field 'chunk'"):
        resolve({"chunk": 0}, FIELDS)


def test_a_filter_resolved_for_other_fields_is_checked_again():
    resolved = resolve(F.keyword == "a", FIELDS)
    with pytest.raises(InvalidFilter, match="expected an integer"):
        resolve(resolved, {"keyword": Field(FieldType.INTEGER)})

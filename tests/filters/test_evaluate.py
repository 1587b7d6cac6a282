"""What filters mean: two-valued, missing fields included."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nestvec.errors import InvalidFilter
from nestvec.filters import ContainsAll, F, FieldRef, Filter, matches, resolve, system
from nestvec.types import Field, FieldType

FIELDS = {
    "lang": Field.parse("keyword"),
    "year": Field.parse("integer"),
    "weight": Field.parse("float"),
    "draft": Field.parse("boolean"),
    "at": Field.parse("datetime"),
    "tags": Field.parse("keyword[]"),
    "counts": Field.parse("integer[]"),
}
NAIVE = datetime(2024, 1, 1)  # noqa: DTZ001 - that it is naive is the point
HELD = {
    "lang": "de",
    "year": 2020,
    "weight": 1,
    "draft": False,
    "at": datetime(2024, 1, 1, tzinfo=UTC),
    "tags": ["a", "b"],
    "counts": (1, 2),
}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (F.lang == "de", True),
        (F.lang == "DE", False),
        (F.lang != "de", False),
        (F.year > 2019, True),
        (F.year > 2020, False),
        (F.year >= 2020, True),
        (F.year < 2020, False),
        (F.year <= 2020, True),
        (F.weight == 1.0, True),
        (F.draft == False, True),  # noqa: E712 - a filter
        (F.at >= "2024-01-01T01:00+01:00", True),
        (F.at < "2024-01-01T00:00:00.000001Z", True),
        (F.lang.in_(["en", "de"]), True),
        (F.lang.in_([]), False),
        (F.lang.not_in([]), True),
        (F.tags.contains("a"), True),
        (F.tags.contains("z"), False),
        (F.tags.contains_any(["z", "b"]), True),
        (F.tags.contains_any([]), False),
        (F.tags.contains_all(["a", "b"]), True),
        (F.tags.contains_all(["a", "z"]), False),
        (F.tags.contains_all([]), True),
        (F.counts.contains(2), True),
        ((F.lang == "de") & (F.year == 1), False),
        ((F.lang == "de") | (F.year == 1), True),
        (~((F.lang == "de") & (F.year == 1)), True),
    ],
)
def test_meaning(where, expected):
    assert matches(resolve(where, FIELDS), HELD) is expected
    assert matches(resolve(~where, FIELDS), HELD) is not expected


ON_EVERYTHING = [
    F.lang == "de",
    F.year > 0,
    F.year <= 0,
    F.weight < 1,
    F.draft == True,  # noqa: E712 - a filter
    F.at >= "2024-01-01",
    F.lang.in_(["de"]),
    F.lang.exists(),
    F.tags.contains("a"),
    F.tags.contains_any(["a"]),
    F.tags.contains_all(["a", "b"]),
    F.tags.contains_all([]),
    F.tags.exists(),
]


@pytest.mark.parametrize("where", ON_EVERYTHING, ids=repr)
@pytest.mark.parametrize("metadata", [{}, dict.fromkeys(FIELDS), {name: [] for name in FIELDS}], ids=repr)
def test_on_a_missing_field_everything_is_false_and_its_complement_true(where, metadata):
    assert not matches(resolve(where, FIELDS), metadata)
    assert matches(resolve(~where, FIELDS), metadata)


STRAY = {
    "lang": 1,
    "year": True,
    "weight": "1",
    "draft": 1,
    "at": "yesterday",
    "tags": "a",
    "counts": [True, "1"],
}


@pytest.mark.parametrize(
    "where",
    [
        F.lang == "1",
        F.year == 1,
        F.year < 5,
        F.weight == 1,
        F.draft == True,  # noqa: E712 - a filter
        F.at > "0001-01-01",
        F.tags.contains("a"),
        F.tags.contains_any(["a"]),
        F.counts.contains(1),
    ],
    ids=repr,
)
def test_a_stored_value_of_another_type_exists_but_compares_as_false(where):
    resolved = resolve(where, FIELDS)
    assert not matches(resolved, STRAY)
    assert matches(resolve(F[resolved.field.name].exists(), FIELDS), STRAY)


def test_a_list_in_a_field_of_one_value_does_not_compare():
    assert not matches(resolve(F.lang == "de", FIELDS), {"lang": ["de"]})


def test_stored_datetimes_may_be_naive_or_text():
    where = resolve(F.at == "2024-01-01", FIELDS)
    for stored in (NAIVE, "2024-01-01T02:00:00+02:00", "2024-01-01"):
        assert matches(where, {"at": stored})
    unreachable = datetime.fromisoformat("0001-01-01T00:00+05:00")
    assert not matches(where, {"at": unreachable})


def test_bookkeeping_is_kept_apart_from_metadata_of_the_same_name():
    where = system("lang", FieldType.KEYWORD) == "x"
    assert matches(where, {"lang": "de"}, {"lang": "x"})
    assert not matches(where, {"lang": "x"}, {"lang": "de"})
    assert not matches(where, {"lang": "x"})


def test_no_filter_selects_everything():
    assert matches(None, {})


def test_contains_all_built_by_hand_without_values_asks_for_existence():
    where = ContainsAll(FieldRef("tags", FieldType.KEYWORD, many=True), ())
    assert matches(where, {"tags": ["a"]})
    assert not matches(where, {"tags": []})


def test_unresolved_and_foreign_filters_are_refused():
    with pytest.raises(InvalidFilter, match="'lang': its type is unknown"):
        matches(F.lang == "de", HELD)

    class Mine(Filter):
        __slots__ = ()

    with pytest.raises(InvalidFilter, match="Mine is not a kind of filter"):
        matches(Mine(), HELD)

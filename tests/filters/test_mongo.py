"""The dict form: what it means, what it refuses, and where it says the mistake is."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from nestvec.errors import InvalidFilter
from nestvec.filters import MAX_DEPTH, F, parse_dict, resolve, system, to_dict
from nestvec.types import Field, FieldType

FIELDS = {
    "lang": Field.parse("keyword"),
    "year": Field.parse("integer"),
    "weight": Field.parse("float"),
    "draft": Field.parse("boolean"),
    "at": Field.parse("datetime"),
    "tags": Field.parse("keyword[]"),
    "odd name": Field.parse("keyword"),
}


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ({"lang": "de"}, F.lang == "de"),
        ({"lang": {"$eq": "de"}}, F.lang == "de"),
        ({"lang": {"$ne": "de"}}, F.lang != "de"),
        ({"year": {"$gt": 1}}, F.year > 1),
        ({"year": {"$gte": 1}}, F.year >= 1),
        ({"year": {"$lt": 1}}, F.year < 1),
        ({"year": {"$lte": 1}}, F.year <= 1),
        ({"lang": {"$in": ["de", "en"]}}, F.lang.in_(["de", "en"])),
        ({"lang": {"$nin": ["de"]}}, F.lang.not_in(["de"])),
        ({"lang": {"$exists": True}}, F.lang.exists()),
        ({"lang": {"$exists": False}}, ~F.lang.exists()),
        ({"tags": {"$contains": "a"}}, F.tags.contains("a")),
        ({"tags": {"$contains_any": ["a", "b"]}}, F.tags.contains_any(["a", "b"])),
        ({"tags": {"$contains_all": ["a", "b"]}}, F.tags.contains_all(["a", "b"])),
        ({"lang": "de", "year": {"$gte": 2020}}, (F.lang == "de") & (F.year >= 2020)),
        ({"year": {"$gte": 1, "$lt": 9}}, (F.year >= 1) & (F.year < 9)),
        ({"$and": [{"lang": "de"}, {"year": 1}]}, (F.lang == "de") & (F.year == 1)),
        ({"$or": [{"lang": "de"}, {"year": 1}]}, (F.lang == "de") | (F.year == 1)),
        ({"$not": {"lang": "de", "year": 1}}, ~((F.lang == "de") & (F.year == 1))),
        ({"$not": {"$not": {"lang": "de"}}}, F.lang == "de"),
        ({"year": {"$not": {"$gte": 1}}}, ~(F.year >= 1)),
        ({"year": {"$not": {"$gte": 1, "$lt": 9}}}, ~((F.year >= 1) & (F.year < 9))),
        ({"year": {"$or": [{"$lt": 1}, {"$gt": 9}]}}, (F.year < 1) | (F.year > 9)),
        ({"year": {"$and": [{"$gt": 1}, {"$lt": 9}], "$ne": 5}}, (F.year > 1) & (F.year < 9) & (F.year != 5)),
        ({"odd name": "x"}, F["odd name"] == "x"),
    ],
)
def test_dict_and_f_are_two_spellings_of_one_filter(written, same):
    assert parse_dict(written) == same
    assert resolve(written, FIELDS) == resolve(same, FIELDS)


@pytest.mark.parametrize(
    "text", ["2024-01-01T02:00:00+02:00", "2024-01-01T00:00:00Z", "2024-01-01T00:00", "2024-01-01"]
)
def test_datetimes_are_iso_strings_and_naive_ones_are_utc(text):
    leaf = resolve({"at": {"$gte": text}}, FIELDS)
    assert leaf.value == datetime(2024, 1, 1, tzinfo=UTC)
    assert leaf.value.tzinfo is UTC
    assert to_dict(leaf) == {"at": {"$gte": "2024-01-01T00:00:00Z"}}


def test_a_keyword_that_looks_like_a_datetime_stays_text():
    assert resolve({"lang": "2024-01-01"}, FIELDS).value == "2024-01-01"


def test_microseconds_survive_the_dict_form():
    moment = datetime(2024, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    written = json.loads(json.dumps((F.at == moment).to_dict()))
    assert written == {"at": {"$eq": "2024-01-01T00:00:00.123456Z"}}
    assert resolve(written, FIELDS).value == moment


@pytest.mark.parametrize(
    ("built", "canonical"),
    [
        (F.lang == "de", {"lang": {"$eq": "de"}}),
        (F.lang != "de", {"lang": {"$ne": "de"}}),
        (F.lang.not_in(["a"]), {"lang": {"$nin": ["a"]}}),
        (~F.lang.exists(), {"lang": {"$exists": False}}),
        (~(F.year > 1), {"$not": {"year": {"$gt": 1}}}),
        (F.tags.contains("a"), {"tags": {"$contains": "a"}}),
        (~F.tags.contains_all(["a", "b"]), {"$not": {"tags": {"$contains_all": ["a", "b"]}}}),
        (
            (F.a == 1) | ~((F.b == 2) & (F.c == 3)),
            {"$or": [{"a": {"$eq": 1}}, {"$not": {"$and": [{"b": {"$eq": 2}}, {"c": {"$eq": 3}}]}}]},
        ),
    ],
)
def test_the_canonical_dict_spells_everything_out(built, canonical):
    assert to_dict(built) == built.to_dict() == canonical
    assert parse_dict(canonical) == built


def test_an_empty_dict_is_no_filter():
    assert parse_dict({}) is None
    assert resolve({}, FIELDS) is None
    assert resolve(None, FIELDS) is None


def test_bookkeeping_has_no_dict_form():
    with pytest.raises(InvalidFilter, match="'chunk' has no dict form"):
        to_dict((F.lang == "de") & (system("chunk", FieldType.INTEGER) == 0))


BAD = [
    ({"lnag": "de"}, "at lnag: unknown field 'lnag'; did you mean 'lang'? Declared fields: at, draft, lang"),
    ({"zzz": "de"}, "unknown field 'zzz'; Declared fields: at"),
    ({"zzz": "de"}, 'declare it (fields.zzz = "keyword"), or set open_fields = true, unless the collection is adopted'),
    ({"meta.zzz": "de"}, 'declare it (fields.NAME = { path = "meta.zzz", type = "keyword" })'),
    ({"$and": [{"lang": "a"}, {"yaer": 1}]}, "at $and[1].yaer: unknown field 'yaer'; did you mean 'year'?"),
    (
        {"$and": [{"lang": "a"}, {"year": "x"}]},
        "at $and[1].year (integer): expected an integer, got 'x' (str)",
    ),
    (
        {"$or": [{"$not": {"year": {"$gte": True}}}]},
        "at $or[0].$not.year.$gte (integer): expected an integer",
    ),
    ({"year": {"$or": [{"$gt": 1}, {"$lt": "a"}]}}, "at year.$or[1].$lt (integer)"),
    ({"year": {"$gtt": 1}}, "at year.$gtt: unknown operator '$gtt'; did you mean '$gt'?"),
    ({"year": {"gte": 1}}, "unknown operator 'gte'; did you mean '$gte'?"),
    ({"tags": {"$contain": "a"}}, "did you mean '$contains'?"),
    ({"year": {"$where": "1"}}, "unknown operator '$where'; Operators here: $eq"),
    ({"$nor": [{"lang": "a"}]}, "at $nor: unknown operator '$nor'; did you mean '$or'?"),
    ({"$gte": 3}, '$gte belongs under a field: {"field": {"$gte": ...}}'),
    ({"lang": ["a"]}, 'at lang: a list needs an operator: {"$in": [...]}'),
    (
        {"lang": None},
        'at lang: None is not a value: ask whether the field is there with .exists() or {"$exists"',
    ),
    ({"lang": {"$ne": None}}, "at lang.$ne: None is not a value"),
    ({"lang": {"$in": ["a", None]}}, "at lang.$in: None is not a value"),
    ({"lang": {"$in": "abc"}}, "at lang.$in: expected a list of values, got 'abc'"),
    ({"lang": {"$in": {"a": 1}}}, "expected a list of values"),
    ({"lang": {"$exists": 1}}, "at lang.$exists: $exists takes true or false, got 1"),
    ({"lang": {}}, "at lang: expected a dict with at least one condition, got {}"),
    ({"lang": {"$eq": {"a": 1}}}, "expected a string, number, boolean or datetime"),
    ({"lang": {"$not": "a"}}, "at lang.$not: expected a dict"),
    ({"$not": [{"lang": "a"}]}, "at $not: expected a dict"),
    ({"$and": []}, "at $and: $and takes a non-empty list of conditions, got []"),
    ({"$or": {"lang": "a"}}, "at $or: $or takes a non-empty list"),
    ({"$or": 10**5000}, "got an integer of 16610 bits"),
    ({"$and": [{}]}, "at $and[0]: expected a dict with at least one condition"),
    ({"$and": ["lang"]}, "at $and[0]: expected a dict"),
    ({"": "a"}, "non-empty strings, got ''"),
    ({1: "a"}, "non-empty strings, got 1 (int)"),
    ({"weight": float("nan")}, "at weight: nan cannot be compared with"),
    ({"weight": {"$in": [1.0, float("inf")]}}, "inf cannot be compared with"),
    ({"at": "yesterday"}, "at at (datetime): expected a datetime in ISO 8601 such as '2026-01-31T12:00:00Z'"),
    ({"at": "0001-01-01T00:00+05:00"}, "ISO 8601"),
    ({"at": 1700000000}, "expected a datetime or an ISO 8601 string, got 1700000000 (int)"),
]


@pytest.mark.parametrize(("written", "fragment"), BAD, ids=[fragment[:50] for _, fragment in BAD])
def test_mistakes_are_named_with_their_place(written, fragment):
    with pytest.raises(InvalidFilter) as caught:
        resolve(written, FIELDS, collection="handbook")
    assert fragment in str(caught.value)
    assert str(caught.value).startswith("filter for collection 'handbook'")


def nested_not(levels, innermost):
    for _ in range(levels):
        innermost = {"$not": innermost}
    return innermost


@pytest.mark.parametrize(
    "hostile",
    [
        nested_not(100_000, {"lang": "a"}),
        {"lang": nested_not(100_000, {"$eq": "a"})},
        nested_not(MAX_DEPTH, {"lang": "a"}),
    ],
    ids=["top", "field", "just over"],
)
def test_deep_dicts_are_refused_without_recursing(hostile):
    with pytest.raises(InvalidFilter, match=f"more than {MAX_DEPTH} levels"):
        resolve(hostile, FIELDS)


def test_a_dict_that_holds_itself_is_refused():
    loop = []
    loop.append({"$and": loop})
    with pytest.raises(InvalidFilter, match="levels deep"):
        resolve({"$and": loop}, FIELDS)


def test_the_deepest_tree_survives_the_round_trip():
    deep = F.lang == "a"
    while deep.depth < MAX_DEPTH - 1:
        deep = ~(deep & (F.year == 1)) if deep.depth % 2 else ~(deep | (F.year == 1))
    assert parse_dict(deep.to_dict()) == deep

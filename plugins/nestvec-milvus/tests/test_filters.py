"""Compiled filters find exactly what the reference evaluator finds, and no value becomes syntax."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nestvec._metadata import check_metadata
from nestvec.contract import Count, Fetch, Remove, Scroll, Update, Write
from nestvec.errors import Unsupported
from nestvec.filters import And, F, Or, matches, resolve, system
from nestvec.filters.tree import MAX_DEPTH
from nestvec.types import Field, FieldType
from nestvec_milvus.filters import Literals, Template, compile_filter, quote, values_for
from nestvec_milvus.schema import declared_by, identifier, original, with_nul, without_nul
from nestvec_milvus.server import ServerVersion
from nestvec_testing.strategies import filters_for, metadata_for

OLD = ServerVersion("v2.3.5", (2, 3))
LITE = ServerVersion("milvus_lite-3.2.2", (3, 2), lite=True)
EDGES = (-(2**63), -(2**63) + 1, 2**53 + 1, 2**63 - 1)
HOSTILE = (
    '" or id != "', "\\", '\\"', "\\\\", "\\u0022 or id != \\u0022", "{v0}", "$meta", "'", "\n\r\t\v\f\a\b", "\x00",
    "\x7f",
    "%", "_", "ü東👋🏽", "\u2028", "e\u0301", "\ufeff", "$$", "`", "\\101", "\\x41", "a" * 64_000,
)  # fmt: skip
quiet = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


def count(adapter, where, fields):
    return adapter.count(Count("shared_1", resolve(where, fields)))


def found_by(adapter, where):
    return {record.id for record in adapter.scroll(Scroll("shared_1", where, limit=1000, content=False)).records}


@pytest.fixture
def empty(shared):
    ids = [record.id for record in shared.scroll(Scroll("shared_1", limit=5000, content=False)).records]
    shared.remove(Remove("shared_1", ids))
    return shared


def fill(adapter, kit, metadata):
    records = [replace(kit.record(f"r{number:04}", None), metadata=each) for number, each in enumerate(metadata)]
    adapter.write(Write("shared_1", records, kit.vectors(len(records))))
    return {each.id: each.metadata for each in records}


def test_any_filter_finds_what_it_means(empty, kit):
    metadata = []

    @settings(quiet, max_examples=60)
    @given(metadata_for(kit.FIELDS))
    def collect(each):
        metadata.append(check_metadata(each, kit.FIELDS))

    collect()
    metadata += [{"integer": number, "integers": [number, 0]} for number in EDGES]
    stored = fill(empty, kit, metadata)

    def agrees(where):
        resolved = resolve(where, kit.FIELDS)
        assert found_by(empty, resolved) == {key for key, each in stored.items() if matches(resolved, each)}, where

    settings(quiet, max_examples=60)(given(filters_for(kit.FIELDS))(agrees))()
    for number in EDGES:
        here = F.integer
        for where in (
            here == number,
            here < number,
            here <= number,
            here > number,
            here >= number,
            here.in_([number, 5]),
        ):
            agrees(where)
            agrees(~where)
    for where in (
        F.float < 0.0,
        F.float >= -1.7e308,
        F["a.b[0] c"] > 0,
        F["straße"].exists(),
        F.keywords.contains_any([]),
    ):
        agrees(where)
        agrees(~where)


def test_every_value_finds_itself_and_nothing_else(empty, kit):
    """As a single value in a column, in a list, and as a document's id."""
    fill(empty, kit, [{"keyword": "other", "keywords": ["other"]}, {}])

    def check(value):
        lists = {} if len(value) > 30_000 else {"keywords": ["x", value]}  # both would not fit
        record = kit.record("probe", None, value or "d", keyword=value, **lists)
        empty.write(Write("shared_1", [record], kit.vectors(1)))
        assert found_by(empty, resolve(F.keyword == value, kit.FIELDS)) == {"probe"}
        assert found_by(empty, resolve(F.keyword.in_([value, "absent"]), kit.FIELDS)) == {"probe"}
        assert "probe" not in found_by(empty, resolve(F.keyword != value, kit.FIELDS))
        if "keywords" in record.metadata:
            assert found_by(empty, resolve(F.keywords.contains(value), kit.FIELDS)) == {"probe"}
        document = system("document_id", FieldType.KEYWORD) == record.document_id
        assert found_by(empty, document) == {"probe"}
        (back,) = empty.fetch(Fetch("shared_1", ["probe"])).records
        assert dict(back.metadata) == dict(record.metadata)

    for value in HOSTILE:
        check(value)
    text = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\"'\\{}u0n\x00\n"), max_size=12)
    settings(quiet, max_examples=60)(given(text.filter(lambda value: value not in ("other", "x", "absent")))(check))()


def test_a_value_longer_than_any_stored_one_finds_nothing(empty, kit):
    fill(empty, kit, [{"keyword": "a", "keywords": ["a"]}])
    huge = '" or "' * 200_000
    assert count(empty, F.keyword == huge, kit.FIELDS) == 0
    assert count(empty, F.keyword != huge, kit.FIELDS) == 1
    assert count(empty, F.keyword.in_([huge, "a"]), kit.FIELDS) == 1
    assert count(empty, F.keywords.contains(huge), kit.FIELDS) == 0
    assert count(empty, F.keywords.contains_any([huge, "a"]), kit.FIELDS) == 1
    assert count(empty, F.keywords.contains_all([huge, "a"]), kit.FIELDS) == 0


def test_fields_declared_later_are_filtered_on_where_they_were_written_before(empty, kit):
    fields = {**kit.FIELDS, "late": Field(FieldType.INTEGER), "late.list[]": Field(FieldType.KEYWORD, many=True)}
    stored = fill(empty, kit, [{"late": 1}, {"late": 5, "late.list[]": ["a"]}, {}, {"late": 2**53 + 1}])
    empty.update(Update("shared_1", fields, kit.RECORD))
    for where in (
        F.late >= 2,
        F.late == 2**53 + 1,
        F.late.in_([1, 5]),
        F.late.exists(),
        F["late.list[]"].contains("a"),
    ):
        for each in (where, ~where):
            resolved = resolve(each, fields)
            assert found_by(empty, resolved) == {key for key, found in stored.items() if matches(resolved, found)}


def test_the_deepest_filter_is_understood(empty, kit):
    stored = fill(empty, kit, [{"integer": 3, "keyword": "a"}, {"float": 9.5}])
    where = F.integer > 0
    for level in range(MAX_DEPTH - 1):
        shallow = Or.of(F.keyword == "a", F.float > level) if level % 2 else F.boolean == True  # noqa: E712
        where = (And if level % 2 else Or).of(shallow, where)
    resolved = resolve(where, kit.FIELDS)
    assert found_by(empty, resolved) == {key for key, each in stored.items() if matches(resolved, each)}


# ------------------------------------------------------------------------------------------- without an engine


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("\\u0022")
def test_literals_for_servers_hold_plain_characters_and_octal_only(value):
    literal = quote(value, OLD)
    inner = literal[1:-1]
    assert literal.isascii()
    assert literal.isprintable()
    assert '"' not in inner
    assert "\\u" not in inner
    assert "\\\\" not in inner
    assert bytes(inner, "ascii").decode("unicode_escape").encode("latin-1").decode() == value


def test_newer_servers_get_values_beside_the_expression(kit):
    where = resolve((F.keyword == '" or 1 == 1') & F.keywords.contains_any(["a", "b"]) & (F.float > 1.5), kit.FIELDS)
    values = values_for(ServerVersion("v2.6.4", (2, 6)))
    compiled = compile_filter(where, {"keyword": FieldType.KEYWORD, "float": FieldType.FLOAT}, values, tenant="t")
    assert isinstance(values, Template)
    assert " or 1" not in compiled.text
    given_values = [value.WhichOneof("val") for value in compiled.template.values()]
    assert sorted(given_values) == ["array_val", "float_val", "string_val", "string_val", "string_val"]
    assert isinstance(values_for(OLD), Literals)
    assert isinstance(values_for(LITE), Literals)


def test_a_comparison_counts_only_where_the_field_is_there(kit):
    typed = {"integer": FieldType.INTEGER}
    plain = compile_filter(resolve(F.integer == 3, kit.FIELDS), typed, Literals(OLD)).text
    assert plain == "i_integer == 3", "no missing field looks like 3, so an index can answer alone"
    guarded = compile_filter(resolve(F.integer <= 3, kit.FIELDS), typed, Literals(OLD)).text
    assert guarded == '(array_contains(present, "integer") and i_integer <= 3)'


def test_unknown_system_fields_are_unsupported():
    with pytest.raises(Unsupported, match="hash"):
        compile_filter(system("hash", FieldType.KEYWORD) == "x", {}, Literals(OLD))


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
@example("x__61")
def test_field_names_become_identifiers_and_come_back(name):
    assert original(identifier(name)) == name
    assert declared_by("k_" + identifier(name)) == (name, FieldType.KEYWORD)


def test_other_columns_are_no_fields():
    assert [declared_by(name) for name in ("id", "dense", "text", "x_lang", "k_x__zz")] == [None] * 5


@given(st.text(st.sampled_from("a01\x00\x01\x02")))
def test_strings_without_nul_stay_apart_and_come_back(text):
    assert "\x00" not in without_nul(text)
    assert with_nul(without_nul(text)) == text

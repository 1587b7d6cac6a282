"""Values and keys: what is written comes back, however the server prints its numbers."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec.errors import BackendRefused, InvalidName
from nestvec.types import Record
from nestvec_pinecone import records
from nestvec_pinecone.records import metadata_of, record_of
from nestvec_pinecone.schema import pack_tags, replace_tags, unpack_tags
from nestvec_pinecone.tenants import tenant_namespace

DATETIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda value: value.replace(tzinfo=UTC))  # noqa: DTZ001 - the strategy wants naive ones
INTEGERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SINGLES = st.one_of(st.text(), st.booleans(), INTEGERS, FLOATS, DATETIMES)
LISTS = st.one_of(*(st.lists(each, max_size=3) for each in (st.text(), st.booleans(), INTEGERS, FLOATS, DATETIMES)))
MIXED = st.lists(st.one_of(st.text(), st.booleans(), INTEGERS, FLOATS), max_size=4)
NAMES = st.one_of(st.text(max_size=8), st.sampled_from(["nestvec_text", "nestvec_field_x", "$eq", "", "text", "id"]))


def through_doubles(stored, whole):
    """As a server keeps numbers, and prints whole ones."""
    numbers = {key: float(value) for key, value in stored.items() if type(value) in (int, float)}
    return {**stored, **{key: whole(value) if value.is_integer() else value for key, value in numbers.items()}}


@pytest.mark.parametrize("whole", [int, float])
@given(st.dictionaries(NAMES, st.one_of(SINGLES, LISTS, MIXED), max_size=5))
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_records_come_back(whole, metadata):
    made = Record("id", "d" * 600, "text", metadata, {"chunk": 3, "layout": "l", "end": 10**9})
    stored = metadata_of(made, "stamp", "docs-1")
    flat = (str, bool, int, float)
    assert all(isinstance(each, flat) or all(type(item) is str for item in each) for each in stored.values())
    found = record_of("id", through_doubles(stored, whole))
    assert found == made
    for name, value in metadata.items():
        assert type(found.metadata[name]) is type(value)
        if isinstance(value, list):
            assert [type(each) for each in found.metadata[name]] == [type(each) for each in value]
    assert type(found.system["chunk"]) is int


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "null"),
        ({"a": 1}, "flatten"),
        ([{"a": 1}], "list"),
        ([None], "list"),
        (b"x", "bytes"),
        ([1, timedelta()], "list"),
    ],
)
def test_what_pinecone_cannot_keep_is_refused_by_name(value, told):
    made = Record("id", "doc-9", "text", {"fine": 1, "wrong": value}, {})
    with pytest.raises(BackendRefused, match=told) as caught:
        metadata_of(made, "stamp", "docs-1")
    for part in ("'wrong'", "'doc-9'", "'docs-1'"):
        assert part in str(caught.value)


@given(NAMES)
def test_field_names_are_reversible_and_never_ours(name):
    key = records.field_key(name)
    assert records.field_name(key) == name
    assert key not in (records.TEXT, records.DOCUMENT_ID, records.STAMP, records.TYPES)
    assert not key.startswith("$")


@given(st.lists(st.text(min_size=1, max_size=20), unique=True))
def test_tenants_have_namespaces_of_their_own(tenants):
    names = [tenant_namespace(tenant) for tenant in tenants]
    assert len(set(names)) == len(names)
    assert all(name.isascii() and name.isprintable() and name not in ("", "__default__") for name in names)


@pytest.mark.parametrize("tenant", ["__default__", "_", "%5F_default__"])
def test_tenants_do_not_take_pinecones_own_namespace(tenant):
    assert not tenant_namespace(tenant).startswith("_")


def test_a_tenant_that_is_too_long_is_refused():
    with pytest.raises(InvalidName, match="shorter"):
        tenant_namespace("東" * 100)


@given(st.dictionaries(st.text(max_size=9), st.one_of(st.text(max_size=60), st.integers(), st.none()), max_size=9))
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_records_fit_into_tags(record):
    packed = pack_tags(record, "docs-1")
    assert len(packed) <= 14
    assert all(re.fullmatch(r"[A-Za-z0-9;@_.+-]{1,120}", value) for value in packed.values()), "what tags may hold"
    assert unpack_tags({**packed, "team": "search"}) == record


def noise(numbers):
    """What can hardly be compressed."""
    return {"x": "".join(str(pow(7, i, 10**9 + 7)) for i in range(20, 20 + numbers))}


def test_large_records_fit_and_larger_ones_are_refused():
    fields = {f"field number {i}": "keyword" for i in range(100)}
    packed = pack_tags({"fields": fields}, "docs-1")
    assert unpack_tags(packed) == {"fields": fields}
    with pytest.raises(BackendRefused, match="fewer fields"):
        pack_tags(noise(1000), "docs-1")


@pytest.mark.parametrize("change", [{"nestvec-record-0": "zz"}, {"nestvec-record-1": "b"}, {"nestvec-record-1": ""}])
def test_damaged_tags_are_nobodys_record(change):
    packed = pack_tags(noise(50), "docs-1")
    assert len(packed) == 3
    assert "unreadable" in unpack_tags({**packed, **change})["nestvec"]


def test_a_shorter_record_leaves_nothing_of_a_longer_one():
    long, short = pack_tags(noise(50), "x"), pack_tags({"a": "b"}, "x")
    change = replace_tags({**long, "team": "search"}, short)
    assert change == {**short, "nestvec-record-1": "", "nestvec-record-2": ""}

"""Records that somebody else wrote: what a layout names goes where it says, and everything else is kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec._metadata import check_metadata
from nestvec.contract import ForeignLayout, foreign_record
from nestvec.contract.foreign_records import JSON, NULLS, original
from nestvec.errors import CollectionError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
NAMES = st.text("abc._", min_size=1, max_size=6).filter(lambda name: name not in (JSON, NULLS))
PAYLOADS = st.dictionaries(NAMES, VALUES, max_size=5)


def read(payload, **layout):
    return foreign_record("7", payload, ForeignLayout("theirs", **layout))


@given(PAYLOADS)
def test_what_no_layout_names_is_all_there(payload):
    metadata = read(payload).metadata
    assert original(metadata) == payload
    assert check_metadata(metadata, {}) == metadata, "as nestvec's own documents can have it"


@given(PAYLOADS, st.dictionaries(NAMES, VALUES, max_size=4))
def test_each_value_is_there_whatever_is_lifted_and_declared(outer, inner):
    payload = {**outer, "meta": inner, "text": "a text"}
    record = read(payload, text="text", metadata="meta", fields={"a": "meta.a", "b": "nowhere"})
    found = original(record.metadata)
    assert record.text == "a text"
    assert found.get("a") == inner.get("a"), "a declared field has no other value than its own"
    for value in [*inner.values(), *(value for name, value in outer.items() if name not in ("meta", "text"))]:
        assert any(value == kept and type(value) is type(kept) for kept in found.values()) or value in (0, 1)


def test_ids_texts_fields_and_lifted_metadata_leave_their_places():
    payload = {"doc": {"id": 12, "rev": 3}, "body": "text", "meta": {"lang": "de", "loc": {"from": 1, "to": 9}}}
    record = read(payload, id="doc.id", text="body", metadata="meta", fields={"lang": "meta.lang", "to": "meta.loc.to"})
    assert (record.id, record.document_id, record.text) == ("7", "12", "text")
    assert record.metadata == {"lang": "de", "to": 9, "loc": '{"from": 1}', "doc": '{"rev": 3}', JSON: ["doc", "loc"]}


def test_json_text_is_led_into_and_what_is_left_of_it_stays_text():
    node = {"text": "a text", "metadata": {"lang": "de", "year": 2001}, "id_": "n"}
    payload = {"lang": "de", "year": 2001.0, "_node_content": json.dumps(node)}
    layout = {"text": "_node_content.text", "metadata": "_node_content.metadata", "json": ("_node_content",)}
    record = read(payload, fields={"lang": "lang"}, **layout)
    assert record.text == "a text"
    assert record.metadata == {"lang": "de", "year": 2001, "_node_content": '{"id_": "n"}'}
    assert read({**payload, "lang": "fr"}, fields={"lang": "lang"}, **layout).metadata == {
        **record.metadata,
        "lang": "fr",
        "_node_content.metadata.lang": "de",
    }


@pytest.mark.parametrize("text", ["", "{", "[1]", '"a"', "[" * 100_000, 5, None])
def test_what_is_no_json_text_stays_what_it_is(text):
    record = read({"node": text}, text="node.text", json=("node",))
    assert record.text is None
    assert original(record.metadata) == {"node": text}


@pytest.mark.parametrize("text", [5, None, ["a"], {"a": 1}])
def test_what_serves_as_no_text_is_metadata(text):
    record = read({"body": text}, text="body")
    assert record.text is None
    assert original(record.metadata) == {"body": text}


@pytest.mark.parametrize(("key", "owner"), [("k", "k"), (12, "12"), (12.0, "12")])
def test_what_serves_as_an_id(key, owner):
    assert read({"key": key}, id="key").document_id == owner


@pytest.mark.parametrize("key", ["", True, 1.5, None, ["a"], {"a": 1}])
def test_what_serves_as_no_id_is_metadata(key):
    record = read({"key": key}, id="key")
    assert record.document_id == "7"
    assert original(record.metadata) == {"key": key}


def test_names_that_are_taken_make_way():
    payload = {"lang": "de", "meta": {"source": "in", "lang": "en", "_json": 1}, "source": "out", "_null": [1], "": 0}
    record = read(payload, metadata="meta", fields={"lang": "tongue"})
    assert record.metadata == {
        "source": "in",
        "meta.lang": "en",
        "meta._json": 1,
        "lang_2": "de",
        "source_2": "out",
        "_null_2": [1],
        "_": 0,
    }


def test_values_that_metadata_cannot_hold_are_text_and_listed():
    payload = {"a": {"b": [1, None]}, "huge": 2**64, "none": None, "text": "\ud800", "plain": [1, "x"]}
    record = read(payload, fields={"none": "none"})
    assert record.metadata["plain"] == [1, "x"]
    assert record.metadata[JSON] == ["a", "huge", "text"]
    assert record.metadata[NULLS] == ["none"]
    assert "none" not in record.metadata, "a null is no value of a declared field"
    assert original(record.metadata) == payload


def test_what_is_nested_too_deeply_is_named():
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(CollectionError, match=r"record '7' of collection 'theirs'.*nested too deeply"):
        read({"deep": deep})

"""Values that cannot be stored: each is one failure that names document and field, and stops no other document."""

from __future__ import annotations

import json

import pytest

import nestvec
from nestvec.contract import Drop
from nestvec.errors import IngestFailed
from nestvec.runtime import RetryPolicy, Runtime
from nestvec.types import Document
from nestvec_testing.blocking import blocking
from nestvec_testing.registry import test_registry

#: Metadata that cannot be stored → what the failure says.
VALUES = {
    "nested": ({"year": {"deep": 1}}, "year"),
    "a list of lists": ({"tags": [["a"]]}, "tags"),
    "not a number": ({"price": float("nan")}, "price"),
    "infinite": ({"price": float("-inf")}, "price"),
    "2**63": ({"year": 2**63}, "signed 64-bit"),
    "100 KB": ({"lang": "x" * 100_000}, "65000"),
    "100 KB, undeclared": ({"loose": "x" * 100_000}, "65000"),
    "100 KB of short ones": ({"tags": [f"tag {number}" for number in range(10_000)]}, "65000"),
    "a lone surrogate": ({"lang": "\ud800"}, "lang"),
    "bytes": ({"lang": b"x"}, "lang"),
}
FIELDS = {"year": "integer", "price": "float", "lang": "keyword", "tags": "keyword[]"}


@pytest.fixture(scope="module", params=["lite", pytest.param("server", marks=pytest.mark.server)])
def documents(request, tmp_path_factory):
    """A collection with fields, in either engine."""
    lite = request.param == "lite"
    place = {"path": str(tmp_path_factory.mktemp("values") / "store.db")} if lite else {}
    place = place or {"uri": request.getfixturevalue("milvus_server").uri}
    values = {
        "backends": {"store": {"use": "milvus", **place}},
        "embedders": {"words": {"use": "recording"}},
        "collections": {"values": {"dimensions": 32, "fields": FIELDS, "strict_fields": True}},
    }
    with nestvec.connect(values, Runtime(test_registry(), retry=RetryPolicy(attempts=1))) as client:
        client.apply()
        yield client["values"]
        blocking(client.adapter("store")).drop(Drop("values_1"))


@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_cannot_be_stored(documents, name):
    metadata, told = VALUES[name]
    with pytest.raises(IngestFailed) as caught:
        documents.upsert([Document("sound", "a text", {"year": 1}), Document("broken", "a text", metadata)])
    (failure,) = caught.value.report.failed
    assert failure.document_id == "broken"
    assert told in failure.error
    assert "'broken'" in failure.error
    assert next(iter(metadata)) in failure.error
    assert "Traceback" not in failure.error
    assert documents.get("sound") == Document("sound", "a text", {"year": 1})
    assert documents.get("broken") is None


def test_the_largest_values_that_can_be_stored(documents):
    metadata = {"year": -(2**63), "price": 1.7976931348623157e308, "lang": "ü" * 32_000, "tags": [""]}
    given = Document("large", "a text", metadata)
    documents.upsert(given)
    assert documents.get("large") == given
    assert documents.count({"year": -(2**63)}) == 1
    documents.upsert(Document("large", "a text", {"year": 2**63 - 1, "loose": 2**63 - 1}))
    assert documents.count({"year": 2**63 - 1}) == 1
    documents.delete("large")


def test_values_that_cannot_be_stored_on_the_command_line(shell, tmp_path):
    options = {"path": f'"{tmp_path / "store.db"}"'}
    assert shell(options, "apply").code == 0
    rows = {"nested": {"a": {"b": 1}}, "nan": {"a": float("nan")}, "big": {"year": 2**63}, "long": {"a": "x" * 100_000}}
    lines = [json.dumps({"id": key, "text": "a text", "metadata": value}) for key, value in rows.items()]
    (tmp_path / "rows.jsonl").write_text("\n".join([*lines, json.dumps({"id": "sound", "text": "a text"})]))
    done = shell(options, "ingest", "docs", str(tmp_path / "rows.jsonl"))
    assert (done.code, "Traceback" in done.err) == (1, False)
    told = ["rows.jsonl:2: ", "rows.jsonl:4: ", "2 documents not stored", "65000", "field 'year' (integer)"]
    assert [each for each in told if each not in done.err] == [], done.err
    assert "3 documents stored" in done.out

"""Collections in the layouts that frameworks give them in Milvus, made by hand as their sources make them."""

from __future__ import annotations

import json

import pytest
from pymilvus import DataType

from nestvec.contract import Describe, ForeignLayout, Scroll
from nestvec.contract.foreign_records import original
from nestvec_milvus.presets import PRESETS
from nestvec_milvus.testing.foreign import make, pymilvus_client, text

NAME = "their_presets"
METADATA = {"lang": "de", "year": 2001}
NODE = {"id_": "n1", "metadata": METADATA, "text": "", "class_name": "TextNode"}
JSON = {"datatype": DataType.JSON}
KEY = text(is_primary=True)


def llamaindex():
    row = {"id": "n1", "doc_id": "d1", "text": "one", **METADATA, "document_id": "d1", "ref_doc_id": "d1"}
    return {"id": KEY, "doc_id": text(), "text": text()}, row | {"_node_content": json.dumps(NODE), "_node_type": "T"}


def mem0():
    memory = {"data": "one", "hash": "5d41", "user_id": "ada", **METADATA, "note": None}
    return {"id": KEY, "metadata": JSON, "text": text()}, {"id": "n1", "metadata": memory, "text": "one lemma"}


MADE = {
    "langchain": lambda: ({"pk": KEY, "text": text()}, {"pk": "n1", "text": "one", **METADATA}),
    "haystack": lambda: ({"id": KEY, "text": text()}, {"id": "n1", "text": "one", **METADATA}),
    "llamaindex": llamaindex,
    "mem0": mem0,
}
BESIDE = {
    "llamaindex": {
        **dict.fromkeys(("doc_id", "document_id", "ref_doc_id"), "d1"),
        "_node_type": "T",
        "_node_content": json.dumps({k: v for k, v in NODE.items() if k != "metadata"}),
    },
    "mem0": {"hash": "5d41", "user_id": "ada", "text": "one lemma", "note": None},
}


@pytest.mark.parametrize("preset", PRESETS)
def test_everything_is_read(shared, preset):
    columns, row = MADE[preset]()
    with pymilvus_client(shared) as client:
        client.drop_collection(NAME)
        make(client, NAME, columns, [{**row, "emb": [1.0, 0.0, 0.0]}], dynamic=True)
        known = PRESETS[preset]
        fields = {"lang": "metadata.lang" if preset == "mem0" else "lang"}
        layout = ForeignLayout(NAME, text=known.text, metadata=known.metadata, json=known.json, fields=fields)
        adapter = shared.reading(layout)
        assert adapter.describe(Describe(NAME)).unread == ()
        (record,) = adapter.scroll(Scroll(NAME)).records
        client.drop_collection(NAME)
    assert (record.document_id, record.text) == ("n1", "one")
    assert original(record.metadata) == {**METADATA, **BESIDE.get(preset, {})}


def test_what_is_not_read_is_said(shared):
    if not shared.client.embedded:
        pytest.skip("there may be several vectors from Milvus 2.4 on")
    columns = {"id": KEY, "text": text()}
    with pymilvus_client(shared) as client:
        client.drop_collection(NAME)
        vectors = {"emb": "COSINE", "other": "L2"}
        make(
            client, NAME, columns, [{"id": "a", "text": "b", "emb": [1.0, 0, 0], "other": [1.0, 0, 0]}], vectors=vectors
        )
        info = shared.reading(ForeignLayout(NAME, "emb")).describe(Describe(NAME))
        client.drop_collection(NAME)
    assert info.unread == ("vector 'other' (FloatVector)",)

"""Records in the layouts that frameworks give them in Pinecone, made by hand as their sources make them."""

from __future__ import annotations

import json
from contextlib import closing

import pinecone
import pytest

from nestvec.contract import ForeignLayout, Scroll
from nestvec.contract.foreign_records import original
from nestvec_pinecone.presets import PRESETS

METADATA = {"lang": "de", "year": 2001}
NODE = {"id_": "n1", "metadata": METADATA, "text": "one", "class_name": "TextNode"}
MADE = {
    "langchain": {"text": "one", **METADATA},
    "haystack": {"content": "one", **METADATA},
    "llamaindex": {**METADATA, "_node_content": json.dumps(NODE), "_node_type": "T", "doc_id": "d1"},
    "mem0": {"data": "one", "hash": "5d41", "user_id": "ada", **METADATA},
}
BESIDE = {
    "llamaindex": {"_node_content": '{"id_": "n1", "class_name": "TextNode"}', "_node_type": "T", "doc_id": "d1"},
    "mem0": {"hash": "5d41", "user_id": "ada"},
}


@pytest.mark.parametrize("preset", PRESETS)
def test_everything_is_read(emulator, open_adapter, preset):
    with closing(pinecone.Pinecone(api_key=emulator.api_key, host=emulator.url)) as client:
        place = pinecone.ServerlessSpec(cloud="aws", region="us-east-1")
        client.indexes.create(name="theirs", dimension=3, metric="cosine", spec=place)
    with closing(pinecone.Index(host=emulator.host("theirs"), api_key=emulator.api_key)) as index:
        index.upsert(vectors=[{"id": "n1", "values": [1.0, 0.0, 0.0], "metadata": MADE[preset]}])
    known = PRESETS[preset]
    layout = ForeignLayout("theirs", text=known.text, metadata=known.metadata, json=known.json, fields={"lang": "lang"})
    (record,) = open_adapter().reading(layout).scroll(Scroll("theirs")).records
    assert (record.document_id, record.text) == ("n1", "one")
    assert original(record.metadata) == {**METADATA, **BESIDE.get(preset, {})}

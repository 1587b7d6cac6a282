"""Payloads in the layouts that frameworks give them in Qdrant, as the real ones wrote them (see tests/frameworks)."""

from __future__ import annotations

import json

import pytest
from qdrant_client import models

from nestvec.contract import ForeignLayout, Scroll
from nestvec.contract.foreign_records import original
from nestvec_qdrant.presets import PRESETS

METADATA = {"lang": "de", "year": 2001, "note": None, "author": {"name": "Ada"}}
NODE = {"id_": "n1", "embedding": None, "metadata": METADATA, "text": "one", "class_name": "TextNode"}
IDS = dict.fromkeys(("document_id", "doc_id", "ref_doc_id"), "d1")
NONE = dict.fromkeys(("blob", "score", "sparse_embedding"))
MADE = {
    "langchain": {"page_content": "one", "metadata": METADATA},
    "llamaindex": {**METADATA, **IDS, "_node_content": json.dumps(NODE), "_node_type": "TextNode"},
    "haystack": {"id": "doc 1", "content": "one", "meta": METADATA, **NONE},
    "mem0": {**METADATA, "user_id": "ada", "data": "one", "hash": "5d41"},
    "mcp-server-qdrant": {"document": "one", "metadata": METADATA},
}
REST = '{"id_": "n1", "embedding": null, "class_name": "TextNode"}'
BESIDE = {
    "llamaindex": {**IDS, "_node_content": REST, "_node_type": "TextNode"},
    "haystack": NONE,
    "mem0": {"user_id": "ada", "hash": "5d41"},
}


@pytest.mark.parametrize("preset", PRESETS)
def test_everything_is_read(kit, preset):
    adapter = kit.open(kit.options(path=":memory:"))
    adapter.client.raw.create_collection("theirs", models.VectorParams(size=3, distance=models.Distance.COSINE))
    point = models.PointStruct(id=1, vector=[1.0, 0.0, 0.0], payload=MADE[preset])
    adapter.client.raw.upsert("theirs", [point])
    known = PRESETS[preset]
    layout = ForeignLayout("theirs", None, known.id, known.text, metadata=known.metadata, json=known.json)
    (record,) = adapter.reading(layout).scroll(Scroll("theirs")).records
    adapter.close()
    assert (record.document_id, record.text) == ("doc 1" if preset == "haystack" else "1", "one")
    assert original(record.metadata) == {**METADATA, **BESIDE.get(preset, {})}


def test_each_marks_its_own():
    for name, payload in MADE.items():
        fitting = [each for each, preset in PRESETS.items() if all(mark in payload for mark in preset.marks)]
        assert fitting == [name]

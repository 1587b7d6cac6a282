"""A wrong name in the layout of an adopted collection: the conflict says what is there instead."""

from __future__ import annotations

import warnings
from contextlib import closing

import pytest
from qdrant_client import QdrantClient, models

from nestvec._client import connect
from nestvec.runtime import Runtime
from nestvec_testing.registry import test_registry

SIZE = 64
NAMES = "they have 'page_content', 'metadata', 'metadata.source', 'metadata.page'"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A collection as LangChain makes it, and one with several vectors."""
    folder = str(tmp_path_factory.mktemp("store"))
    params = models.VectorParams(size=SIZE, distance=models.Distance.COSINE)
    with closing(QdrantClient(path=folder)) as client:
        client.create_collection("kb", params)
        payloads = [{"page_content": f"text {i}", "metadata": {"source": "a.md", "page": i}} for i in range(5)]
        client.upsert(
            "kb", [models.PointStruct(id=i, vector=[1.0] * SIZE, payload=each) for i, each in enumerate(payloads)]
        )
        client.create_collection("many", {"title": params, "content": params})
    return folder


def plan(store, foreign, name="kb"):
    block = {"adopt": True, "dimensions": SIZE, "fields": {"source": "keyword"}, "foreign": foreign}
    plain = {"embedders": {"model": {"use": "recording"}}, "backends": {"b": {"use": "qdrant", "path": store}}}
    with warnings.catch_warnings(), connect({**plain, "collections": {name: block}}, Runtime(test_registry())) as nv:
        (change,) = nv.plan()
    return change.action, "\n".join(change.details)


@pytest.mark.parametrize(
    ("foreign", "message"),
    [
        ({"text": "text"}, "under 'text'; they have 'page_content', 'metadata.source'"),
        ({"text": "pagecontent"}, "did you mean 'page_content'?"),
        ({"text": "page_content", "fields": {"source": "meta.source"}}, f"anything under 'meta.source'; {NAMES}"),
        ({"text": "page_content", "fields": {"source": "meta.source"}}, "did you mean 'metadata.source'?"),
        ({"text": "page_content"}, f"foreign.fields.source: no record has anything under 'source'; {NAMES}"),
        ({"text": "page_content", "id": "doc_id"}, "under 'doc_id'; they have 'page_content', 'metadata.source'"),
        ({"text": "page_content", "metadata": "meta"}, "under 'meta'; they have 'metadata'; did you mean 'metadata'?"),
        ({"preset": "langchain", "json_text": ["node"]}, "under 'node'; they have 'page_content'"),
        ("llamaindex", "no record has JSON text under '_node_content'; they have 'page_content'"),
        ("haystack", "none of 5 records has a text under 'content'; they have 'page_content'"),
        ({"preset": "langchain", "vector": "dense"}, "its only one has no name; leave foreign.vector out"),
        ({"preset": "langchain", "collection": "bk"}, "no collection 'bk' to adopt; it has: kb, many"),
    ],
)
def test_what_is_there_instead(store, foreign, message):
    action, details = plan(store, foreign)
    assert action == "conflict"
    assert message in details


def test_the_vectors_there_are(store):
    action, details = plan(store, {"vector": "dense"}, "many")
    assert action == "conflict"
    assert "say with foreign.vector which one to search, of: 'title', 'content'" in details


def test_a_preset_fits(store):
    assert plan(store, "langchain")[0] == "adopt"

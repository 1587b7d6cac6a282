"""From a configuration to hits, on an embedded Qdrant."""

from __future__ import annotations

import pytest

from nestvec import Document, connect
from nestvec.errors import SpaceMismatch

TEXTS = {
    "leave": "Annual leave is thirty days. Ask your manager before you book a holiday.",
    "river": "The river carries cold water from the mountains. It reaches the sea after nine days.",
}


def config(block, folder, **collection):
    return {
        "embedders": {"model": {"use": "sentence-transformers", **block}},
        "backends": {"store": {"use": "qdrant", "path": folder}},
        "collections": {"handbook": {"chunking": {"size": 40}, **collection}},
    }


def test_documents_are_found_by_their_own_words(models):
    with connect(config(models.options("gemma"), ":memory:", dimensions=16)) as client:
        client.apply()
        handbook = client["handbook"]
        report = handbook.upsert([Document(name, text) for name, text in TEXTS.items()])
        assert (report.documents, report.failed) == (2, ())
        hits = handbook.search("The river carries cold water from the mount", limit=3)
        assert hits[0].document_id == "river"
        assert handbook.spec.space.model == "acme/gemma"
        assert handbook.spec.space.dimensions == 16


def test_a_document_with_a_chunk_that_is_too_long_fails_alone(models):
    block = models.options("e5", max_tokens=200)
    with connect(config(block, ":memory:", chunking={"size": 400})) as client:
        client.apply()
        texts = {"short": "A short text.", "long": "Some words. " * 40, "last": "Another short text."}
        report = client["handbook"].upsert([Document(n, t) for n, t in texts.items()], on_failure="report")
        (failure,) = report.failed
        assert (failure.document_id, report.documents) == ("long", 2)
        assert "tokens" in str(failure)
        assert "chunking.size" in str(failure)


def test_other_prompts_are_another_space(models, tmp_path):
    folder = str(tmp_path / "store")
    with connect(config(models.options("e5"), folder)) as client:
        client.apply()
    other = models.options("e5", prompts={**models.PROMPTS["e5"], "query": "ask: "})
    with connect(config(other, folder)) as client, pytest.raises(SpaceMismatch, match="prompts"):
        client["handbook"].search("anything")

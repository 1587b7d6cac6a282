"""Haystack's own suite over the sketch of a store. Run in an environment that has Haystack, by `test_sketches`."""

from __future__ import annotations

import os

import numpy as np
import pytest
from haystack.dataclasses import Document
from haystack.document_stores.types import DuplicatePolicy
from haystack.testing.document_store import (
    CountDocumentsByFilterTest,
    CountUniqueMetadataByFilterTest,
    DocumentStoreBaseExtendedTests,
    GetMetadataFieldMinMaxTest,
    GetMetadataFieldUniqueValuesTest,
)
from haystack_store import DocumentStore

import nestvec
from nestvec.embedders import wrap

SIZE = 768


def embed(texts: list[str]) -> np.ndarray:
    return np.stack([np.random.default_rng(len(text)).normal(size=SIZE) for text in texts])


class TestStore(
    DocumentStoreBaseExtendedTests,
    CountDocumentsByFilterTest,
    CountUniqueMetadataByFilterTest,
    GetMetadataFieldMinMaxTest,
    GetMetadataFieldUniqueValuesTest,
):
    @pytest.fixture
    def document_store(self, tmp_path):
        model = wrap(embed, name="noise", dimensions=SIZE, normalized=False)
        configuration = {
            "backends": {"store": {"use": os.environ["SKETCH_BACKEND"], "path": str(tmp_path / "store.db")}},
            "collections": {
                "docs": {
                    "embedder": "model",
                    "metric": "dot",
                    "empty": "keep",
                    "open_fields": True,
                    "fields": {"date": "datetime"},
                }
            },
        }
        with nestvec.connect(configuration, embedders={"model": model}) as nv:
            nv.apply()
            yield DocumentStore(nv["docs"])

    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]):
        """Documents come by id, and one without an embedding was embedded: nothing else may differ."""
        expected = sorted(expected, key=lambda each: each.id)
        assert [(each.id, each.content, each.meta) for each in received] == [
            (each.id, each.content, each.meta) for each in expected
        ]
        for one, other in zip(received, expected, strict=True):
            assert other.embedding is None or np.allclose(one.embedding, other.embedding, rtol=1e-6)

    def test_write_documents(self, document_store):
        first = Document(content="test doc")
        assert document_store.write_documents([first]) == 1
        with pytest.raises(Exception, match="stored already"):
            document_store.write_documents([first])
        assert document_store.write_documents([first], DuplicatePolicy.OVERWRITE) == 1

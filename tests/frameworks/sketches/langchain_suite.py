"""LangChain's own suite over the sketch of a store. Run in an environment that has it, by `test_sketches`."""

from __future__ import annotations

import os

import pytest
from langchain_store import NestvecVectorStore
from langchain_tests.integration_tests.vectorstores import VectorStoreIntegrationTests

import nestvec
from nestvec.embedders import wrap


class TestStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path):
        theirs = self.get_embeddings()
        configuration = {
            "backends": {"store": {"use": os.environ["SKETCH_BACKEND"], "path": str(tmp_path / "store.db")}},
            "collections": {"docs": {"embedder": "theirs", "empty": "keep", "fields": "open"}},
        }
        with nestvec.connect(configuration, embedders={"theirs": wrap(theirs, name="theirs")}) as nv:
            nv.apply()
            yield NestvecVectorStore(nv["docs"], theirs)

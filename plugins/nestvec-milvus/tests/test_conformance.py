"""The conformance kit: on Milvus Lite, and on a real server."""

from __future__ import annotations

import pytest

from nestvec.testing import AdapterConformance, BackendUnderTest


class TestMilvusLite(AdapterConformance):
    @pytest.fixture
    def backend(self, tmp_path):
        return BackendUnderTest("milvus", {"path": str(tmp_path / "store.db")}, reopens=True)


class TestMilvusServer(AdapterConformance):
    @pytest.fixture
    def backend(self, milvus_server):
        return BackendUnderTest("milvus", {"uri": milvus_server.uri}, reopens=True)

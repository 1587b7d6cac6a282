"""The conformance kit: on Milvus Lite, and on a real server."""

from __future__ import annotations

import pytest

from nestvec_milvus.testing.foreign import in_columns, in_dynamic_field, in_json
from nestvec_testing import AdapterConformance, BackendUnderTest
from nestvec_testing.adapters.adoption import AdoptionChecks


class TestMilvusLite(AdapterConformance):
    @pytest.fixture
    def backend(self, tmp_path):
        return BackendUnderTest("milvus", {"path": str(tmp_path / "store.db")}, reopens=True, foreign=in_columns)


class TestMilvusServer(AdapterConformance):
    @pytest.fixture
    def backend(self, milvus_server):
        return BackendUnderTest("milvus", {"uri": milvus_server.uri}, reopens=True, foreign=in_json)


class TestMilvusLiteLayouts(AdoptionChecks):
    @pytest.fixture(params=[in_json, in_dynamic_field])
    def backend(self, request, tmp_path):
        return BackendUnderTest("milvus", {"path": str(tmp_path / "store.db")}, foreign=request.param)


class TestMilvusServerDynamic(AdoptionChecks):
    @pytest.fixture
    def backend(self, milvus_server):
        return BackendUnderTest("milvus", {"uri": milvus_server.uri}, foreign=in_dynamic_field)

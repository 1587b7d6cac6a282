"""One adapter in every form: Milvus Lite, a real server, a real server asynchronously; and a server that fails."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc

from nestvec.contract import Create, Drop
from nestvec.types import DENSE, Field, FieldType, Metric, Record
from nestvec_milvus.adapter import AsyncMilvusAdapter, MilvusAdapter
from nestvec_milvus.options import MilvusOptions
from nestvec_milvus.testing.server import milvus_server

__all__ = ["milvus_server"]

FIELDS = {
    **{kind.value: Field(kind) for kind in FieldType},
    **{f"{kind.value}s": Field(kind, many=True) for kind in FieldType},
    "a.b[0] c": Field(FieldType.INTEGER),
    "straße": Field(FieldType.KEYWORD),
}


class Awaited:
    """An asynchronous adapter, called like a synchronous one."""

    def __init__(self, options):
        self.adapter = AsyncMilvusAdapter(options)
        self.runner = asyncio.Runner()

    def __getattr__(self, name):
        return lambda *arguments: self.runner.run(getattr(self.adapter, name)(*arguments))

    def close(self):
        self.runner.run(self.adapter.close())
        self.runner.close()


class Kit:
    """What tests of requests need, in short."""

    FIELDS = FIELDS
    RECORD = {"nestvec": 1, "name": "docs"}
    Awaited = Awaited

    @staticmethod
    def options(**values):
        return MilvusOptions.model_validate(values)

    @staticmethod
    def record(key, text="text", document=None, **metadata):
        return Record(str(key), document or str(key), text, metadata, {"chunk": 0, "layout": "l1"})

    @staticmethod
    def vectors(count):
        return {DENSE: np.eye(3, dtype=np.float32)[[n % 3 for n in range(count)]]}

    @classmethod
    def create(cls, name="docs_1", metric=Metric.COSINE, **more):
        return Create(name, {DENSE: 3}, metric, **{"fields": FIELDS, "record": cls.RECORD, **more})


@pytest.fixture(scope="session")
def kit():
    return Kit


@pytest.fixture
def lite(tmp_path):
    """Milvus Lite in a folder."""
    adapter = MilvusAdapter(Kit.options(path=str(tmp_path / "store.db")))
    yield adapter
    adapter.close()


@pytest.fixture(scope="module", params=["lite", "server"])
def shared(request, tmp_path_factory):
    """An adapter with an empty collection, once for a module: collections of a real server take seconds."""
    if request.param == "lite":
        options = Kit.options(path=str(tmp_path_factory.mktemp("milvus") / "store.db"))
    else:
        options = Kit.options(uri=request.getfixturevalue("milvus_server").uri)
    adapter = MilvusAdapter(options)
    adapter.drop(Drop("shared_1"))
    adapter.create(Kit.create("shared_1"))
    yield adapter
    adapter.drop(Drop("shared_1"))
    adapter.close()


class Failing(milvus_pb2_grpc.MilvusServiceServicer):
    """A server whose every call gives `status`, or fails with `code`."""

    def __init__(self):
        self.calls = []
        self.headers = []
        self.status = {}
        self.code = None
        self.version = "v2.6.4"

    def answer(self, method, kind, context):
        self.calls.append(method)
        self.headers.append(dict(context.invocation_metadata()))
        if self.code is not None:
            context.abort(*self.code)
        status = common_pb2.Status(**self.status)
        return kind(status=status)

    def ShowCollections(self, request, context):
        return self.answer("ShowCollections", milvus_pb2.ShowCollectionsResponse, context)

    def DescribeCollection(self, request, context):
        return self.answer("DescribeCollection", milvus_pb2.DescribeCollectionResponse, context)

    def GetVersion(self, request, context):
        self.calls.append("GetVersion")
        return milvus_pb2.GetVersionResponse(version=self.version)


@pytest.fixture
def failing():
    """A server that fails as it is told, and its address in `uri`."""
    service = Failing()
    server = grpc.server(ThreadPoolExecutor(2))
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(service, server)
    service.uri = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield service
    server.stop(None).wait()


@pytest.fixture(params=["sync", "async"])
def client(request, failing, monkeypatch):
    """An adapter of either kind on the failing server."""
    monkeypatch.setenv("MILVUS_TEST_TOKEN", "s3cret")
    options = Kit.options(uri=failing.uri, token={"env": "MILVUS_TEST_TOKEN"}, database="db", timeout=5)
    adapter = MilvusAdapter(options) if request.param == "sync" else Awaited(options)
    yield adapter
    adapter.close()


def _on_server(item):
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return parameters.get("shared") == "server"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """On a real server the kit runs with the asynchronous client only, unless a long campaign was asked for.

    Creating a collection takes it seconds, and both clients share every operation. The synchronous one runs
    the kit on Milvus Lite, and the other modules' tests on the server.
    """
    for item in items:
        if "milvus_server" in getattr(item, "fixturenames", ()) or _on_server(item):
            item.add_marker(pytest.mark.server)
    if os.environ.get("NESTVEC_SOAK"):
        return
    skipped = [item for item in items if "TestMilvusServer" in item.nodeid and "[sync" in item.name]
    config.hook.pytest_deselected(items=skipped)
    items[:] = [item for item in items if item not in skipped]

"""One adapter in every form: Milvus Lite, a real server, a real server asynchronously; and a server that fails."""

from __future__ import annotations

import asyncio
import base64
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
import numpy as np
import pytest
from click.testing import CliRunner
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

from nestvec._cli import main
from nestvec.contract import Create, CreateExtended, Drop
from nestvec.runtime import RetryPolicy, Runtime
from nestvec.types import DENSE, Field, FieldType, Metric, Record
from nestvec_milvus.adapter import open_adapter
from nestvec_milvus.creation import creation
from nestvec_milvus.options import MilvusOptions
from nestvec_milvus.server import ServerVersion
from nestvec_milvus.testing.server import ROOT, milvus_server, running
from nestvec_testing import SAMPLE
from nestvec_testing.blocking import blocking
from nestvec_testing.registry import test_registry

__all__ = ["milvus_server"]

FIELDS = {
    **{kind.value: Field(kind) for kind in FieldType},
    **{f"{kind.value}s": Field(kind, many=True) for kind in FieldType},
    "a.b[0] c": Field(FieldType.INTEGER),
    "straße": Field(FieldType.KEYWORD),
}


COLLECTION = """
[embedders.words]
use = "recording"
[collections.docs]
dimensions = 32
[collections.docs.fields]
year = "integer"
"""


class Awaited:
    """An asynchronous adapter, called like a synchronous one."""

    def __init__(self, options):
        self.adapter = open_adapter(options, blocking=False)
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
        kind = CreateExtended if more.keys() & {"tenants", "storage"} else Create
        return kind(name, {DENSE: 3}, metric, **{"fields": FIELDS, "record": cls.RECORD, **more})


@pytest.fixture(scope="session")
def kit():
    return Kit


@pytest.fixture
def lite(tmp_path):
    """Milvus Lite in a folder."""
    adapter = blocking(open_adapter(Kit.options(path=str(tmp_path / "store.db")), blocking=True))
    yield adapter
    adapter.close()


@pytest.fixture(scope="module", params=["lite", "server"])
def shared(request, tmp_path_factory):
    """An adapter with an empty collection, once for a module: collections of a real server take seconds."""
    if request.param == "lite":
        options = Kit.options(path=str(tmp_path_factory.mktemp("milvus") / "store.db"))
    else:
        options = Kit.options(uri=request.getfixturevalue("milvus_server").uri)
    adapter = blocking(open_adapter(options, blocking=True))
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


class Scripted(milvus_pb2_grpc.MilvusServiceServicer):
    """A server whose every call gives the next of `replies[method]`, the last of them from then on."""

    def __init__(self):
        self.calls = []
        self.replies = {}

    def __getattribute__(self, name):
        if not name[0].isupper():
            return object.__getattribute__(self, name)
        return lambda _, context: self.answer(name, context)

    def answer(self, method, context):
        self.calls.append(method)
        if method not in self.replies:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, method)
        replies = self.replies[method]
        return replies.pop(0) if len(replies) > 1 else replies[0]


@contextmanager
def serving(service):
    """The service on a port, with its address in `uri`. As gRPC has it, requests of 4 MiB are too large for it."""
    server = grpc.server(ThreadPoolExecutor(2))
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(service, server)
    service.uri = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield service
    server.stop(None).wait()


@pytest.fixture
def failing():
    """A server that fails as it is told, and its address in `uri`."""
    with serving(Failing()) as service:
        yield service


@pytest.fixture
def scripted():
    """A server with a collection `docs_1`, and its address in `uri`."""
    request = CreateExtended("docs_1", {DENSE: 3}, Metric.COSINE, FIELDS, Kit.RECORD)
    described = creation(request, ServerVersion("v2.6.4", (2, 6)))
    ok = common_pb2.Status()
    with serving(Scripted()) as service:
        service.replies = {
            "GetVersion": [milvus_pb2.GetVersionResponse(version="v2.6.4")],
            "DescribeCollection": [
                milvus_pb2.DescribeCollectionResponse(
                    schema=schema_pb2.CollectionSchema.FromString(described["schema"]),
                    properties=described["properties"],
                )
            ],
            "LoadCollection": [ok],
            "DescribeIndex": [milvus_pb2.DescribeIndexResponse(status=ok)],
        }
        yield service


@pytest.fixture(params=["sync", "async"])
def open_client(request):
    """Opens adapters of either kind, and closes them."""
    opened = []

    def make(**values):
        options = Kit.options(**{"timeout": 5, **values})
        opened.append(blocking(open_adapter(options, blocking=True)) if request.param == "sync" else Awaited(options))
        return opened[-1]

    yield make
    for adapter in opened:
        adapter.close()


@dataclass
class Run:
    """What one command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def shell(tmp_path):
    """Runs `nestvec` with a backend block [backends.store] of these options, and a collection `docs`."""

    def run(backend, *arguments):
        block = "".join(f"{name} = {value}\n" for name, value in backend.items())
        config = tmp_path / "nestvec.toml"
        config.write_text(f'[backends.store]\nuse = "milvus"\n{block}{COLLECTION}', encoding="utf-8")
        runtime = Runtime(test_registry(), retry=RetryPolicy(attempts=1))
        result = CliRunner().invoke(main, ["-c", str(config), *arguments], obj=runtime)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Run(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(params=["sync", "async"])
def client(request, failing, monkeypatch):
    """An adapter of either kind on the failing server."""
    monkeypatch.setenv("MILVUS_TEST_TOKEN", "s3cret")
    options = Kit.options(uri=failing.uri, token={"env": "MILVUS_TEST_TOKEN"}, database="db", timeout=5)
    adapter = blocking(open_adapter(options, blocking=True)) if request.param == "sync" else Awaited(options)
    yield adapter
    adapter.close()


@pytest.fixture(scope="module")
def guarded_server():
    """A server that wants to know who calls, with a user `low` that may do nothing."""
    with running(authorization=True) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILVUS_TEST_ROOT", ROOT)
        patch.setenv("MILVUS_TEST_WRONG", "root:s3cret")
        patch.setenv("MILVUS_TEST_LOW", "low:n0thing")
        adapter = blocking(open_adapter(Kit.options(uri=server.uri, token={"env": "MILVUS_TEST_ROOT"}), blocking=True))
        password = base64.b64encode(b"n0thing").decode()
        made = adapter.client.raw.send(
            "CreateCredential", milvus_pb2.CreateCredentialRequest(username="low", password=password)
        )
        assert not made.code, made
        adapter.create(Kit.create())
        yield server
        adapter.close()


def _on_server(item):
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return parameters.get("shared") == "server"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """On a real server the whole kit runs with the asynchronous client, and a sample of it with the synchronous one.

    Creating a collection takes it seconds, and both clients share every operation; a long campaign runs it all
    twice. The synchronous client also runs the whole kit on Milvus Lite, and the other modules' tests on the server.
    """
    for item in items:
        if {"milvus_server", "guarded_server"} & set(getattr(item, "fixturenames", ())) or _on_server(item):
            item.add_marker(pytest.mark.server)
    if os.environ.get("NESTVEC_SOAK"):
        return
    skipped = [
        item
        for item in items
        if "TestMilvusServer" in item.nodeid and "[sync" in item.name and item.originalname not in SAMPLE
    ]
    config.hook.pytest_deselected(items=skipped)
    items[:] = [item for item in items if item not in skipped]

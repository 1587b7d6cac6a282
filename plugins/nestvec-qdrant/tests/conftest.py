"""One adapter in every form: in memory, in a folder, over HTTP, over HTTP asynchronously."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from nestvec.contract import CreateExtended, Write
from nestvec.types import DENSE, Field, FieldType, Metric, Record
from nestvec_qdrant.adapter import open_adapter
from nestvec_qdrant.options import QdrantOptions
from nestvec_qdrant.testing import QdrantEmulator
from nestvec_testing.blocking import blocking

FIELDS = {"lang": Field(FieldType.KEYWORD), "year": Field(FieldType.INTEGER)}
RECORD = {"nestvec": 1, "name": "docs", "space": {"index_task": None, "dimensions": 3}, "fields": {"lang": "keyword"}}


class Awaited:
    """An asynchronous adapter, called like a synchronous one."""

    def __init__(self, adapter, runner):
        self.adapter, self.runner = adapter, runner

    @classmethod
    def open(cls, options):
        async def opening():
            return open_adapter(options, blocking=False)

        runner = asyncio.Runner()
        try:
            return cls(runner.run(opening()), runner)
        except BaseException:
            runner.close()
            raise

    def of_tenant(self, tenant):
        return Awaited(self.adapter.of_tenant(tenant), self.runner)

    def reading(self, layout):
        return Awaited(self.adapter.reading(layout), self.runner)

    def __getattr__(self, name):
        return lambda *arguments: self.runner.run(getattr(self.adapter, name)(*arguments))

    def close(self):
        self.runner.run(self.adapter.close())
        self.runner.close()


class Kit:
    """What tests of requests need, in short."""

    FIELDS = FIELDS
    RECORD = RECORD
    open_async = Awaited.open

    @staticmethod
    def open(options):
        return blocking(open_adapter(options, blocking=True))

    @staticmethod
    def options(**values):
        return QdrantOptions.model_validate(values)

    @staticmethod
    def identity(number):
        return f"00000000-0000-5000-8000-{number:012d}"

    @classmethod
    def record(cls, number, text="text", document="d", **metadata):
        system = {"chunk": number, "layout": "l1"}
        return Record(cls.identity(number), document, text, metadata, system)

    @staticmethod
    def vectors(*rows):
        return {DENSE: np.array(rows, np.float32)}

    @staticmethod
    def create(name="docs_1", metric=Metric.COSINE, size=3, **more):
        given = {"fields": FIELDS, "record": RECORD, **more}
        return CreateExtended(name, {DENSE: size}, metric, **given)

    @classmethod
    def fill(cls, adapter, records, name="docs_1", metric=Metric.COSINE, tenants=False, tenant=None, rows=None):
        """A collection with these records, on the axes one after the other unless `rows` are given."""
        adapter.create_extended(cls.create(name, metric, tenants=tenants))
        axes = np.eye(3, dtype=np.float32)[[n % 3 for n in range(len(records))]]
        view = adapter if tenant is None else adapter.of_tenant(tenant)
        view.write(Write(name, records, {DENSE: axes if rows is None else np.array(rows, np.float32)}))


@pytest.fixture(scope="session")
def kit():
    return Kit


@pytest.fixture(scope="session")
def server_process():
    with QdrantEmulator() as emulator:
        yield emulator


@pytest.fixture
def server(server_process):
    """An empty server."""
    server_process.reset()
    return server_process


@pytest.fixture
def remote(server):
    """The synchronous adapter on the server, and the server."""
    adapter = Kit.open(Kit.options(url=server.url))
    yield adapter
    adapter.close()


@pytest.fixture(params=["memory", "folder", "server", "async"])
def form(request):
    return request.param


@pytest.fixture
def adapter(form, server, tmp_path):
    """An adapter of each form, on an empty store."""
    where = {"memory": {"path": ":memory:"}, "folder": {"path": str(tmp_path / "store")}}
    options = Kit.options(**where.get(form, {"url": server.url}))
    opened = Awaited.open(options) if form == "async" else Kit.open(options)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def description():
    """Holds a body against the API's official description, which is not part of this repository."""
    beside = Path(__file__).resolve().parents[3].parent / "shared" / "contracts"
    file = Path(os.environ.get("NESTVEC_CONTRACTS") or beside) / "qdrant-openapi.json"
    if not file.is_file():
        told = f"no {file.name} in {file.parent}: set NESTVEC_CONTRACTS to its folder"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{told}; CI must not go without")
        pytest.skip(told)
    components = json.loads(file.read_text())["components"]

    def fits(name, body):
        schema = {"$ref": f"#/components/schemas/{name}", "components": components}
        jsonschema.Draft4Validator(schema).validate(json.loads(body))

    return fits

"""An emulated Pinecone, and adapters on it: synchronous and asynchronous, on indexes and within one index."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import numpy as np
import pytest

from nestvec.contract import Create, CreateExtended, Write
from nestvec.types import DENSE, Field, FieldType, Metric, Record
from nestvec_pinecone.adapter import open_adapter
from nestvec_pinecone.options import PineconeOptions
from nestvec_pinecone.testing import PineconeEmulator
from nestvec_testing.blocking import blocking

KEY = "NESTVEC_TEST_PINECONE_KEY"
FIELDS = {"lang": Field(FieldType.KEYWORD), "year": Field(FieldType.INTEGER)}
RECORD = {"nestvec": 1, "name": "docs", "space": {"index_task": None, "dimensions": 3}, "fields": {"lang": "keyword"}}


class Awaited:
    """An adapter for an event loop, called without one. What `blocking` is for the other kind."""

    def __init__(self, component, runner):
        self.component, self.runner = component, runner

    @classmethod
    def open(cls, options):
        runner = asyncio.Runner()
        try:
            return cls(open_adapter(options, blocking=False), runner)
        except BaseException:
            runner.close()
            raise

    def __repr__(self):
        return repr(self.component)

    def of_tenant(self, tenant):
        return Awaited(self.component.of_tenant(tenant), self.runner)

    def reading(self, layout):
        return Awaited(self.component.reading(layout), self.runner)

    def __getattr__(self, name):
        return lambda *arguments: self.runner.run(getattr(self.component, name)(*arguments))


class Kit:
    """What tests of requests need, in short."""

    FIELDS = FIELDS
    RECORD = RECORD

    @staticmethod
    def options(**values):
        return PineconeOptions.model_validate({"api_key": {"env": KEY}, **values})

    @classmethod
    def open(cls, form, **values):
        options = cls.options(**values)
        return Awaited.open(options) if form == "async" else blocking(open_adapter(options, blocking=True))

    @staticmethod
    def pause_with(adapter, pause):
        """Instead of waiting between two polls, call this."""

        async def paused(seconds):
            pause(seconds)

        adapter.component.client.sleep = paused

    @staticmethod
    def contracts(environment):
        """Where the official API descriptions are, which are not part of this repository; skips or fails without."""
        beside = Path(__file__).resolve().parents[3].parent / "shared" / "contracts"
        folder = Path(environment.get("NESTVEC_CONTRACTS") or beside)
        if not (folder / "pinecone-db_data-2026-04.yaml").is_file():
            told = f"no API descriptions in {folder}: set NESTVEC_CONTRACTS to their folder"
            if environment.get("CI") == "true":
                pytest.fail(f"{told}; CI must not go without")
            pytest.skip(told)
        return folder

    @staticmethod
    def identity(number):
        return f"00000000-0000-5000-8000-{number:012d}"

    @classmethod
    def record(cls, number, text="text", document="d", **metadata):
        return Record(cls.identity(number), document, text, metadata, {"chunk": number, "layout": "l1"})

    @staticmethod
    def vectors(*rows):
        return {DENSE: np.array(rows, np.float32)}

    @staticmethod
    def create(name="docs-1", metric=Metric.COSINE, size=3, **more):
        return Create(name, {DENSE: size}, metric, **{"fields": FIELDS, "record": RECORD, **more})

    @classmethod
    def extended(cls, *arguments, tenants=True, **more):
        """A collection that may have tenants."""
        plain = cls.create(*arguments, **more)
        names = ("physical", "vectors", "metric", "fields", "record")
        return CreateExtended(*(getattr(plain, name) for name in names), tenants=tenants)

    @classmethod
    def write(cls, records, name="docs-1"):
        """Records on the axes, one after the other."""
        axes = np.eye(3, dtype=np.float32)[[n % 3 for n in range(len(records))]]
        return Write(name, records, {DENSE: axes}, 1)


@pytest.fixture(scope="session")
def kit():
    return Kit


@pytest.fixture(scope="session")
def emulator_process():
    with PineconeEmulator() as emulator:
        yield emulator


@pytest.fixture
def emulator(emulator_process, monkeypatch):
    """An empty Pinecone, whose key is in the environment."""
    monkeypatch.setenv(KEY, emulator_process.api_key)
    emulator_process.reset()
    yield emulator_process
    emulator_process.reset()


@pytest.fixture(params=["sync", "async"])
def form(request):
    return request.param


@pytest.fixture(name="open_adapter")
def opening(form, emulator):
    """Opens adapters with these options, on the emulator's control plane unless an index is named."""
    opened = []

    def open_with(**values):
        if "index_host" not in values:
            values.setdefault("control_host", emulator.url)
        opened.append(Kit.open(form, **values))
        return opened[-1]

    yield open_with
    for each in opened:
        each.close()
        if form == "async":
            each.runner.close()


@pytest.fixture
def adapter(open_adapter):
    """An adapter whose collections are indexes."""
    return open_adapter()


@pytest.fixture
def contracts():
    """The folder of the official API descriptions."""
    return Kit.contracts(os.environ)

"""The memory backend keeps the whole contract: in both drivers, as a plugin with an asynchronous form, reopened."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestvec.contract import AsyncAdapter, ForeignLayout
from nestvec_testing import AdapterConformance, BackendUnderTest
from nestvec_testing.memory import MemoryAdapter, make_foreign, nestvec_backend
from nestvec_testing.tap import METHODS

FIELDS = ("lang", "year", "price", "open", "tags")


def theirs(adapter, name, rows, payloads):
    """Two vectors, and metadata in an object."""
    store = adapter if isinstance(adapter, MemoryAdapter) else adapter.inner
    kept = [
        {"doc": {"key": item["key"]}, "body": item["body"], "meta": {k: v for k, v in item.items() if k in FIELDS}}
        for item in payloads
    ]
    make_foreign(store, name, {"title": np.ones((len(rows), 3), np.float32), "content": rows}, kept)
    return ForeignLayout(name, "content", "doc.key", "body", fields={field: f"meta.{field}" for field in FIELDS})


class TestMemory(AdapterConformance):
    @pytest.fixture
    def backend(self):
        return BackendUnderTest("memory", {"store": "conformance"}, reopens=True, foreign=theirs)


def native(method):
    async def call(self, request):
        return getattr(self.inner, method)(request)

    return call


class _Native:
    def __init__(self, options):
        self.inner = MemoryAdapter(options)

    async def capabilities(self):
        return self.inner.capabilities()


NativeMemory = type("NativeMemory", (_Native, AsyncAdapter), {name: native(name) for name in METHODS})


class TestNativeAsyncMemory(AdapterConformance):
    @pytest.fixture
    def backend(self):
        return BackendUnderTest(replace(nestvec_backend(), open_async=NativeMemory), foreign=theirs)

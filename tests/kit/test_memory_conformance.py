"""The memory backend keeps the whole contract: in both drivers, plain, with `async def` methods, awaited, reopened."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from nestvec.contract import ForeignLayout, FullAdapter
from nestvec_testing import AdapterConformance, BackendUnderTest
from nestvec_testing.memory import MemoryAdapter, make_foreign, nestvec_backend
from nestvec_testing.requests import METHODS

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


class Wrapped:
    def __init__(self, options, inner=None):
        self.inner = inner or MemoryAdapter(options)

    async def capabilities(self):
        return self.inner.capabilities()

    def of_tenant(self, tenant):
        return type(self)(None, self.inner.of_tenant(tenant))

    def reading(self, layout):
        return type(self)(None, self.inner.reading(layout))


def awaited(method):
    async def call(self, request):
        return getattr(self.inner, method)(request)

    return call


def suspending(method):
    async def call(self, request):
        await asyncio.sleep(0)
        return getattr(self.inner, method)(request)

    return call


AwaitedMemory = type("AwaitedMemory", (Wrapped, FullAdapter), {name: awaited(name) for name in METHODS})
NativeMemory = type("NativeMemory", (Wrapped, FullAdapter), {name: suspending(name) for name in METHODS})


class TestMemoryWithAsyncMethods(AdapterConformance):
    """Written once as `async def`, over something that blocks."""

    @pytest.fixture
    def backend(self):
        return BackendUnderTest(replace(nestvec_backend(), open=AwaitedMemory), foreign=theirs)


class TestNativeAsyncMemory(AdapterConformance):
    @pytest.fixture
    def backend(self):
        return BackendUnderTest(replace(nestvec_backend(), open_async=NativeMemory), foreign=theirs)

"""The memory backend keeps the whole contract: in both drivers, plain, with `async def` methods, awaited, reopened."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from nestvec.contract import Adapter, ForeignLayout, FullAdapter
from nestvec_testing import AdapterConformance, BackendUnderTest
from nestvec_testing.memory import CAPABILITIES, MemoryAdapter, make_foreign, nestvec_backend
from nestvec_testing.requests import METHODS

FIELDS = ("lang", "year", "price", "open", "tags")


def theirs(adapter, name, rows, payloads):
    """Two vectors, and metadata in an object."""
    store = adapter if isinstance(adapter, MemoryAdapter) else adapter.inner
    kept = [
        {
            "doc": {"key": item["key"]},
            "body": item["body"],
            "meta": {k: v for k, v in item.items() if k not in ("key", "body")},
        }
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


class MinimalMemory(Adapter):
    """Ten methods, and no power: aliases, notes and tenants are kept by the core."""

    def __init__(self, options):
        self.inner = MemoryAdapter(options)

    def capabilities(self):
        return NO_POWERS

    def describe(self, request):
        return self.inner.describe(request)

    def create(self, request):
        self.inner.create(request)

    def drop(self, request):
        self.inner.drop(request)

    def list_collections(self, request):
        return self.inner.list_collections(request)

    def write(self, request):
        self.inner.write(request)

    def remove(self, request):
        self.inner.remove(request)

    def fetch(self, request):
        return self.inner.fetch(request)

    def scroll(self, request):
        return self.inner.scroll(request)

    def count(self, request):
        return self.inner.count(request)

    def query(self, request):
        return self.inner.query(request)


NO_POWERS = replace(
    CAPABILITIES, powers=frozenset(), storage=frozenset({"float32"}), storage_updates=frozenset(), max_vectors=1
)


class TestMinimalMemory(AdapterConformance):
    @pytest.fixture
    def backend(self):
        minimal = replace(nestvec_backend(), open=MinimalMemory, capabilities=lambda _: NO_POWERS)
        return BackendUnderTest(minimal, {"store": "minimal"}, reopens=True)


class TestNativeAsyncMemory(AdapterConformance):
    @pytest.fixture
    def backend(self):
        return BackendUnderTest(replace(nestvec_backend(), open_async=NativeMemory), foreign=theirs)

"""The memory backend keeps the whole contract: in both drivers, as a plugin with an asynchronous form, reopened."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nestvec.contract import AsyncAdapter
from nestvec.testing import AdapterConformance, BackendUnderTest
from nestvec.testing.memory import MemoryAdapter, nestvec_backend
from nestvec.testing.tap import METHODS


class TestMemory(AdapterConformance):
    @pytest.fixture
    def backend(self):
        return BackendUnderTest("memory", {"store": "conformance"}, reopens=True)


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
        return BackendUnderTest(replace(nestvec_backend(), open_async=NativeMemory))

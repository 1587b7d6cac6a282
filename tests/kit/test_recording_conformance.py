"""The recording embedder keeps the whole contract: plain, with `async def` methods, and awaited."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from nestvec.contract import Encode, Encoded
from nestvec_testing import EmbedderConformance, EmbedderUnderTest
from nestvec_testing.recording import RecordingEmbedder, nestvec_embedder


class TestRecording(EmbedderConformance):
    @pytest.fixture(params=["full", "nested"])
    def embedder(self, request):
        return EmbedderUnderTest("recording", {"rotation": "r1"} if request.param == "nested" else {})


class AwaitedEmbedder(RecordingEmbedder):
    async def encode(self, request: Encode) -> Encoded:
        return super().encode(request)

    async def close(self) -> None:
        super().close()


class NativeEmbedder(RecordingEmbedder):
    async def encode(self, request: Encode) -> Encoded:
        await asyncio.sleep(0)
        return super().encode(request)

    async def close(self) -> None:
        await asyncio.sleep(0)


class TestRecordingWithAsyncMethods(EmbedderConformance):
    """Written once as `async def`, over something that blocks."""

    @pytest.fixture
    def embedder(self):
        return EmbedderUnderTest(replace(nestvec_embedder(), open=AwaitedEmbedder))


class TestNativeRecording(EmbedderConformance):
    @pytest.fixture
    def embedder(self):
        return EmbedderUnderTest(replace(nestvec_embedder(), open_async=NativeEmbedder))

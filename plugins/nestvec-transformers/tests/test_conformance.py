"""The conformance suite of nestvec, on the tiny model."""

from __future__ import annotations

import pytest

from nestvec_testing import EmbedderConformance, EmbedderUnderTest


class TestTransformers(EmbedderConformance):
    @pytest.fixture
    def embedder(self, tiny) -> EmbedderUnderTest:
        return EmbedderUnderTest("transformers", {"path": str(tiny), "revision": "tiny-0", "device": "cpu"})

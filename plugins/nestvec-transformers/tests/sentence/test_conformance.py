"""The kit, on models of three kinds that differ in everything it looks at."""

from __future__ import annotations

import pytest

from nestvec_testing import EmbedderConformance, EmbedderUnderTest


class TestPromptsAndMatryoshka(EmbedderConformance):
    @pytest.fixture
    def embedder(self, models) -> EmbedderUnderTest:
        return EmbedderUnderTest("sentence-transformers", models.options("gemma"))


class TestNoTasksAndVectorsOfAnyLength(EmbedderConformance):
    @pytest.fixture
    def embedder(self, models) -> EmbedderUnderTest:
        return EmbedderUnderTest("sentence-transformers", models.options("dot"))


class TestRouterWithoutPrompts(EmbedderConformance):
    @pytest.fixture
    def embedder(self, models) -> EmbedderUnderTest:
        return EmbedderUnderTest("sentence-transformers", models.options("two"))

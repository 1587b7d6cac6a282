"""The kit, on one model of each kind."""

from __future__ import annotations

import pytest

from nestvec.testing import EmbedderConformance, EmbedderUnderTest


class OfKind(EmbedderConformance):
    kind = ""

    @pytest.fixture(scope="class")
    def embedder(self, models) -> EmbedderUnderTest:
        return EmbedderUnderTest("sentence-transformers", models.options(self.kind))


class TestWithoutPrompts(OfKind):
    kind = "plain"


class TestWithPrompts(OfKind):
    kind = "e5"


class TestMatryoshkaThroughADenseModule(OfKind):
    kind = "gemma"


class TestDotProduct(OfKind):
    kind = "dot"


class TestRouter(OfKind):
    kind = "two"


class TestStatic(OfKind):
    kind = "static"

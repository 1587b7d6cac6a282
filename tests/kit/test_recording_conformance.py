from __future__ import annotations

import pytest

from nestvec_testing import EmbedderConformance, EmbedderUnderTest


class TestRecording(EmbedderConformance):
    @pytest.fixture(params=["full", "nested"])
    def embedder(self, request):
        return EmbedderUnderTest("recording", {"rotation": "r1"} if request.param == "nested" else {})

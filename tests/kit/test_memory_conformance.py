from __future__ import annotations

import pytest

from nestvec.testing.adapters import AdapterConformance
from nestvec.testing.bench import BackendUnderTest


class TestMemory(AdapterConformance):
    @pytest.fixture
    def backend(self):
        return BackendUnderTest("memory")

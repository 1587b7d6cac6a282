"""The conformance kit, in memory and in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from nestvec_testing import AdapterConformance, BackendUnderTest


class TestInMemory(AdapterConformance):
    @pytest.fixture
    def backend(self) -> BackendUnderTest:
        return BackendUnderTest("embedded", {"path": ":memory:"})


class TestInFolder(AdapterConformance):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> BackendUnderTest:
        return BackendUnderTest("embedded", {"path": str(tmp_path / "store")}, reopens=True)

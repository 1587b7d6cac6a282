"""The conformance kit: what every nestvec backend must do."""

from __future__ import annotations

from pathlib import Path

import pytest

from nestvec_testing import AdapterConformance, BackendUnderTest


class TestSqliteFile(AdapterConformance):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> BackendUnderTest:
        return BackendUnderTest("sqlite", {"path": str(tmp_path / "store.db")}, reopens=True)


class TestSqliteInMemory(AdapterConformance):
    @pytest.fixture
    def backend(self) -> BackendUnderTest:
        return BackendUnderTest("sqlite", {"path": ":memory:"})

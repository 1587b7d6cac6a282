"""The conformance kit on every form of this backend: in memory, in a folder, and over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nestvec.testing import AdapterConformance, BackendUnderTest
from nestvec_qdrant.testing import QdrantEmulator


class TestInMemory(AdapterConformance):
    @pytest.fixture
    def backend(self) -> BackendUnderTest:
        return BackendUnderTest("qdrant", {"path": ":memory:"})


class TestInFolder(AdapterConformance):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> BackendUnderTest:
        return BackendUnderTest("qdrant", {"path": str(tmp_path / "store")}, reopens=True)


@pytest.fixture(scope="module")
def emulator() -> Iterator[QdrantEmulator]:
    with QdrantEmulator(api_key="secret-of-the-test") as running:
        yield running


class TestServer(AdapterConformance):
    @pytest.fixture
    def backend(self, emulator: QdrantEmulator, monkeypatch: pytest.MonkeyPatch) -> BackendUnderTest:
        emulator.reset()
        monkeypatch.setenv("NESTVEC_TEST_QDRANT_KEY", "secret-of-the-test")
        options = {"url": emulator.url, "api_key": {"env": "NESTVEC_TEST_QDRANT_KEY"}}
        return BackendUnderTest("qdrant", options, reopens=True)

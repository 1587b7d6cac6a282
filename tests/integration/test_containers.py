"""The conformance kit against the containers of docker-compose.yml: `make integration`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from nestvec.testing import AdapterConformance, BackendUnderTest

ROOT = Path(__file__).parents[2]
BACKENDS: dict[str, dict[str, Any]] = tomllib.loads((ROOT / "nestvec.compose.toml").read_text())["backends"]


def backend_of(name: str) -> BackendUnderTest:
    options = dict(BACKENDS[name])
    return BackendUnderTest(options.pop("use"), options, reopens=True)


@pytest.mark.docker
class TestQdrantContainer(AdapterConformance):
    @pytest.fixture
    def backend(self) -> BackendUnderTest:
        return backend_of("qdrant")


@pytest.mark.docker
class TestMilvusContainer(AdapterConformance):
    @pytest.fixture
    def backend(self) -> BackendUnderTest:
        return backend_of("milvus")

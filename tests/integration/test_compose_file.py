"""docker-compose.yml, as far as it can be checked without containers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from nestvec.config import load_config

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_and_healthy_when_it_says_so(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":(v?\d|RELEASE\.)", service["image"]), "images carry a version"
    assert "latest" not in service["image"]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["profiles"][-1] == "all"
    assert all(volume.split(":")[0] in COMPOSE["volumes"] for volume in service["volumes"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_milvus_waits_for_what_it_needs() -> None:
    assert {name: how["condition"] for name, how in SERVICES["milvus"]["depends_on"].items()} == {
        "etcd": "service_healthy",
        "minio": "service_healthy",
    }
    assert all(set(SERVICES[name]["profiles"]) >= {"milvus"} for name in ("etcd", "minio"))


def test_the_configuration_points_at_published_ports() -> None:
    config = load_config(ROOT / "nestvec.compose.toml")
    published = {port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", ())}
    text = (ROOT / "nestvec.compose.toml").read_text()
    assert set(re.findall(r"localhost:(\d+)", text)) <= published
    assert {spec.backend for spec in config.collections.values()} == set(config.backends)

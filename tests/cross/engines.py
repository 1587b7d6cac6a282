"""Every engine that runs here, and how to open it. A plugin that is not installed is not in the list.

Of engines that also run in memory, the form that keeps things is here; the kit runs on both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


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
def embedded_folder(folder: Path) -> Iterator[Engine]:
    yield Engine("embedded", {"path": str(folder / "embedded")})


@contextmanager
def qdrant_folder(folder: Path) -> Iterator[Engine]:
    yield Engine("qdrant", {"path": str(folder / "qdrant")})


@contextmanager
def qdrant_server(folder: Path) -> Iterator[Engine]:
    from nestvec_qdrant.testing import QdrantEmulator

    with QdrantEmulator() as emulator:
        yield Engine("qdrant", {"url": emulator.url})


@contextmanager
def milvus_lite(folder: Path) -> Iterator[Engine]:
    yield Engine("milvus", {"path": str(folder / "milvus.db")})


@contextmanager
def milvus_server(folder: Path) -> Iterator[Engine]:
    from nestvec_milvus.testing.server import running

    with running() as server:
        yield Engine("milvus", {"uri": server.uri}, approximate=True)


@contextmanager
def pinecone(folder: Path) -> Iterator[Engine]:
    from nestvec_pinecone.testing import PineconeEmulator

    with PineconeEmulator() as emulator, patched_environment(NESTVEC_CROSS_PINECONE_KEY=emulator.api_key):
        yield Engine("pinecone", {"api_key": {"env": "NESTVEC_CROSS_PINECONE_KEY"}, "control_host": emulator.url})


@contextmanager
def patched_environment(**values: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield


ENGINES = {
    "memory": memory,
    "sqlite": sqlite,
    "embedded-folder": embedded_folder,
    "qdrant-folder": qdrant_folder,
    "qdrant-server": qdrant_server,
    "milvus-lite": milvus_lite,
    "milvus-server": milvus_server,
    "pinecone": pinecone,
}

#: What takes minutes, and is asked for with `-m server`.
SLOW = {"milvus-server"}
PARAMETERS = [pytest.param(name, marks=pytest.mark.server if name in SLOW else ()) for name in ENGINES]

"""Collections to be exported, and others to import into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nestvec import Chunk, Document, Nestvec
from nestvec._client import connect
from nestvec.runtime import Runtime
from nestvec_testing.registry import test_registry

FIELDS = {"lang": "keyword", "year": "integer", "seen": "datetime", "tags": "keyword[]"}
LONG = "Ein langer Text,\r\n mit  Lücken\tund 🙂.\n\n" * 12


def documents() -> list[Document]:
    """Several chunks, odd characters, and metadata of all kinds."""
    return [
        *(
            Document(
                f"d{i}",
                f"{i}: {LONG[: 40 * i + 1]}",
                {"lang": "de", "year": i, "seen": datetime(2026, 1, 1, 12, i, 0, 123456, tzinfo=UTC), "tags": ["a"]},
            )
            for i in range(8)
        ),
        Document("ünï/код", "odd id", {"nested": {"b": [1, 1.0, None, True]}, "big": 2**70, "": "x", "n": None}),
        Document("like ours", "looks like a tag", {"nestvec:datetime": "2020-01-01", "x": {"nestvec:object": {}}}),
        Document("split", chunks=[Chunk("one part"), Chunk("another part, of its own text", None, (3, 20))][:1]),
        Document("nothing", None, {"lang": "fr"}),
        Document("blank", "", {"lang": "fr"}),
    ]


Opened = Callable[..., Nestvec]


@pytest.fixture
def runtime() -> Runtime:
    """Time passes where somebody waits for it, and takes none."""
    now = [1e9]

    def wait(seconds: float) -> None:
        now[0] += seconds

    return Runtime(test_registry(), clock=lambda: now[0], wall=lambda: now[0], pause=wait)


@pytest.fixture
def opened(tmp_path: Path, runtime: Runtime) -> Iterator[Opened]:
    clients: list[Nestvec] = []

    def open_one(backend: str = "memory", /, **settings: Any) -> Nestvec:
        path = str(tmp_path / f"{backend}-{len(clients)}")
        options: dict[str, Any] = {"memory": {}, **{name: {"path": path} for name in ("embedded", "qdrant", "sqlite")}}
        common = {"dimensions": 32, "fields": FIELDS, "chunking": {"size": 60}, "empty": "keep"}
        values = {
            "backends": {"store": {"use": backend, **options[backend]}},
            "embedders": {"model": {"use": "recording"}},
            "collections": {"docs": {**common, **settings}},
        }
        clients.append(connect(values, runtime))
        clients[-1].apply()
        return clients[-1]

    yield open_one
    for client in clients:
        client.close()


def filled(client: Nestvec) -> Nestvec:
    """With the documents."""
    client["docs"].upsert(documents(), vectors_from="measure")
    return client

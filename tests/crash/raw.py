"""Servers for campaigns, and what is in them, as the vendors' own clients tell: nothing here goes through nestvec."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from nestvec_testing.emulators.faults import Cut, Delay, HttpStatus
from nestvec_testing.emulators.plan import Storm

from .versions import Part


@dataclass(frozen=True)
class Place:
    """A server: the options that nestvec gets, and how to look into it and break it.

    `parts` are the records there. `emulator` is None for a real server.
    """

    options: Mapping[str, Any]
    parts: Callable[[], list[Part]]
    environment: Mapping[str, str] = field(default_factory=dict)
    emulator: Any = None
    #: The pattern of paths that read and write records.
    paths: str = "*"

    def storm(self, seed: int, lease: float) -> None:
        """Let requests about records be late, refused, or carried out without an answer (so that they come twice)."""
        if self.emulator is None:
            return
        late = Delay(seconds=0.6 * lease, applied=False)
        faults = {Delay(seconds=0.03): 0.03, late: 0.004, Cut(applied=True): 0.004, Cut(): 0.002}
        self.emulator.storm(Storm(seed, {**faults, HttpStatus(status=503): 0.002}, most=2), path=self.paths)

    def calm(self) -> None:
        """From now on nothing goes wrong, and nothing is in flight any more."""
        if self.emulator is not None:
            self.emulator._emulation.faults.clear()
            self.emulator._emulation.settle()


# ------------------------------------------------------------ Qdrant


@contextmanager
def qdrant() -> Iterator[Place]:
    """An emulated Qdrant server."""
    from qdrant_client import QdrantClient

    from nestvec_qdrant.testing import QdrantEmulator

    with QdrantEmulator() as emulator, closing(QdrantClient(url=emulator.url, check_compatibility=False)) as client:
        options = {"use": "qdrant", "url": emulator.url}
        yield Place(options, lambda: _qdrant(client), emulator=emulator, paths="*/points*")


def _qdrant(client: Any) -> list[Part]:
    (name,) = (each.name for each in client.get_collections().collections)
    points, rest = client.scroll(name, limit=10_000)
    assert rest is None
    assert client.count(name).count == len(points)
    return [
        Part.of(
            point.payload["document_id"],
            point.payload.get("metadata", {}),
            point.payload.get("text"),
            chunk=point.payload["nestvec"]["chunk"],
            id=str(point.id),
        )
        for point in points
    ]


# ------------------------------------------------------------ Pinecone


@contextmanager
def pinecone() -> Iterator[Place]:
    """An emulated Pinecone."""
    import pinecone as sdk

    from nestvec_pinecone.testing import Lag, PineconeEmulator, PineconeSettings

    # Eventually consistent: what was written is seen a little later, and by searches later still.
    settings = PineconeSettings(fetch=Lag(seconds=0.01), query=Lag(seconds=0.03))
    with PineconeEmulator(settings) as emulator, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NESTVEC_CRASH_KEY", emulator.api_key)
        options = {"use": "pinecone", "api_key": {"env": "NESTVEC_CRASH_KEY"}, "control_host": emulator.url}
        environment = {"NESTVEC_CRASH_KEY": emulator.api_key}
        with closing(sdk.Pinecone(api_key=emulator.api_key, host=emulator.url)) as client:
            yield Place(
                options,
                lambda: _pinecone(client, emulator),
                environment=environment,
                emulator=emulator,
                paths="/[vq][eu]*",  # /vectors/… and /query
            )


#: What statistics call the namespace that has no name.
_DEFAULT = "__default__"


def _pinecone(client: Any, emulator: Any) -> list[Part]:
    (name,) = (each.name for each in client.list_indexes())
    with closing(client.Index(host=emulator.host(name))) as index:
        ids = [item.id for page in index.list(namespace="") for item in page]
        found: dict[str, Any] = {}
        for start in range(0, len(ids), 100):
            found |= index.fetch(ids=ids[start : start + 100], namespace="").vectors
        spaces = {name: each.vector_count for name, each in index.describe_index_stats().namespaces.items()}
    assert len(found) == len(ids)
    assert spaces.pop(_DEFAULT, 0) == len(ids)
    assert all(name.startswith("_nestvec_") for name in spaces), spaces
    return [
        Part.of(
            each.metadata["nestvec_document_id"],
            each.metadata,
            each.metadata.get("nestvec_text"),
            chunk=int(each.metadata["nestvec_system_chunk"]),
            id=key,
        )
        for key, each in found.items()
    ]


# ------------------------------------------------------------ Milvus


@contextmanager
def milvus() -> Iterator[Place]:
    """A real Milvus server, which several tests may share."""
    from pymilvus import MilvusClient

    from nestvec_milvus.testing.server import running

    with running() as server, closing(MilvusClient(uri=server.uri)) as client:
        _empty(client)
        try:
            yield Place({"use": "milvus", "uri": server.uri}, lambda: _milvus(client))
        finally:
            _empty(client)


def _empty(client: Any) -> None:
    for name in client.list_collections():
        for alias in client.list_aliases(name)["aliases"]:
            client.drop_alias(alias)
        client.drop_collection(name)


def _milvus(client: Any) -> list[Part]:
    (physical,) = client.list_collections()
    columns = ["id", "document_id", "text", "metadata", "system"]
    rows = client.query(physical, filter='id != ""', output_fields=columns, limit=10_000, consistency_level="Strong")
    assert len({row["id"] for row in rows}) == len(rows), "one id twice"
    return [
        Part.of(
            row["document_id"], _json(row["metadata"]), row["text"], chunk=_json(row["system"])["chunk"], id=row["id"]
        )
        for row in rows
    ]


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str | bytes) else value


PLACES = {"qdrant": qdrant, "pinecone": pinecone, "milvus": milvus}

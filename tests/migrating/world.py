"""What the tests of migrations share: two stores, clients of several configurations, and deaths."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from nestvec._client import AsyncNestvec, Collection, Nestvec, connect
from nestvec._collections import write_fence
from nestvec._collections.write_fence import FenceState, GenerationPlace, WriteFence
from nestvec._migration.generations import NOTE, MigrationNote
from nestvec._migration.report import MigrationStage
from nestvec._migration.routes import Way
from nestvec.contract import ReadNote
from nestvec.errors import (
    CollectionError,
    SpaceError,
)
from nestvec.runtime import RetryPolicy, Runtime
from nestvec.types import Document
from nestvec_testing.registry import test_registry
from nestvec_testing.tap import tap_in_place

FIELDS = {"lang": "keyword", "year": "integer"}
BEFORE = {"dimensions": 32, "fields": FIELDS, "chunking": {"size": 20}}
SHORTER = {"dimensions": 8}
MATCHING = {"purpose": "matching"}
METRIC = {"metric": "dot"}
ELSEWHERE = {"backend": "other"}
USUAL = {
    "purpose": "retrieval",
    "funnel": [],
    "metric": "cosine",
    "late_chunking": False,
    "storage": "float32",
    "store_text": True,
}
REGISTRY = test_registry()
_STORES = itertools.count()


class Time:
    """Both clocks, moved by waiting alone."""

    def __init__(self) -> None:
        self.now = 1000.0

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + 500

    def pass_(self, seconds: float) -> None:
        self.now += seconds


class World:
    """A collection `docs` in one of two stores; configurations of it; clients are opened and closed on the stores."""

    def __init__(self, before: dict[str, Any] | None = None) -> None:
        self.time = Time()
        self.stores = {name: f"migrate-{next(_STORES)}" for name in ("store", "other")}
        self.before = {**BEFORE, "backend": "store", **(before or {})}
        self.after: dict[str, Any] | None = None
        self.embedders: dict[str, Any] = {"model": {"use": "recording", "batch": 4}}
        self.artifacts: Any = None
        self.opened: list[Nestvec] = []

    def open(self, wanted: dict[str, Any] | None = None, *, previous: bool = True) -> Nestvec:
        """A client of a new process: with what is wanted now, and what there was before."""
        block = dict(self.before)
        if wanted is not None:
            block = {**self.before, **wanted}
            block = {key: value for key, value in block.items() if value is not None}
            if previous:
                block["previous"] = {key: self.before[key] if key in self.before else USUAL[key] for key in wanted}
        values = {
            "backends": {name: {"use": "memory", "store": store} for name, store in self.stores.items()},
            "embedders": self.embedders,
            "collections": {"docs": block},
            **({"artifacts": str(self.artifacts)} if self.artifacts else {}),
        }
        policy = RetryPolicy(attempts=1)
        runtime = Runtime(
            REGISTRY, self.time.clock, retry=policy, wall=self.time.wall, pause=self.time.pass_, lease=30.0
        )
        self.opened.append(connect(values, runtime))
        return self.opened[-1]

    def close(self) -> None:
        for client in self.opened:
            client.close()


def pausing(client: Nestvec | AsyncNestvec, pause: Callable[[float], object]) -> None:
    """Let something happen where rules wait, instead of letting time pass."""
    connections: Any = client._connections
    connections.waiting = replace(connections.waiting, pause=pause)


def document(key: str, words: int = 8, word: str = "word", year: int = 2000) -> Document:
    return Document(key, " ".join(f"{word}{i}" for i in range(words)), {"lang": "de", "year": year, "free": 1})


def corpus(count: int = 12) -> list[Document]:
    return [document(f"d{i}", 2 + i) for i in range(count)]


def handle(client: Nestvec) -> Collection:
    docs = client["docs"]
    return docs.namespace("acme") if docs.spec.namespaces else docs


def filled(world: World, documents: list[Document] | None = None) -> Nestvec:
    client = world.open()
    client.apply()
    handle(client).upsert(documents or corpus())
    return client


def contents(client: Nestvec) -> dict[str, tuple[str, Any]]:
    """Every document that can be read by the collection's name."""
    pages = list(handle(client).scroll(group_by_document=True))
    return {record.document_id: (record.text, record.metadata) for page in pages for record in page.records}


def expected(documents: list[Document]) -> dict[str, tuple[str, Any]]:
    return {each.id: (each.text, each.metadata) for each in documents}


def whole(client: Nestvec, documents: list[Document]) -> None:
    """The collection holds exactly these documents, no chunk twice, and each is found by its own text."""
    assert contents(client) == expected(documents)
    docs = handle(client)
    spec = docs.spec
    physical = client.adapter(spec.backend)._aliases["docs"]  # type: ignore[attr-defined]
    points = client.adapter(spec.backend)._collections[physical].points.values()  # type: ignore[attr-defined]
    keys = [(each.tenant, each.record.document_id, each.record.system["chunk"]) for each in points]
    assert len(keys) == len(set(keys))
    found = docs.matrix()
    assert found.vectors.shape == (sum(tenant == docs.tenant for tenant, *_ in keys), spec.space.dimensions)
    wanted = client.embed(
        [record.text or "" for record in found.records],
        task=spec.space.index_task,
        dimensions=spec.space.dimensions,
        embedder=spec.embedder,
    )
    if not spec.space.late_chunking and spec.storage == "float32":
        np.testing.assert_allclose(found.vectors, wanted, atol=1e-5)


class Killed(BaseException):
    """As a process ends: nothing can be done about it, and nothing is answered any more."""


class Death:
    """Comes at the n-th call to a backend or embedder: before it had any effect, or after that."""

    def __init__(self, client: Nestvec, left: int, *, after: bool) -> None:
        self.left, self.after, self.calls = left, after, 0
        for name in client.config.backends:
            tap_in_place(client.adapter(name), self._mortal)
        for name in client.config.embedders:
            embedder: Any = client.embedder(name)
            embedder.encode = partial(self._mortal, perform=embedder.encode)

    def _mortal(self, request: Any, perform: Callable[[Any], Any]) -> Any:
        self.calls += 1
        if self.calls > self.left + 1 or (self.calls == self.left + 1 and not self.after):
            raise Killed
        answer = perform(request)
        if self.calls == self.left + 1:
            raise Killed
        return answer


CASES = {
    "copy": (METRIC, Way.COPY),
    "derive": (SHORTER, Way.DERIVE),
    "embed": (MATCHING, Way.EMBED),
    "copy elsewhere": (ELSEWHERE, Way.COPY),
    "derive elsewhere": ({**ELSEWHERE, **SHORTER}, Way.DERIVE),
    "embed elsewhere": ({**ELSEWHERE, **MATCHING}, Way.EMBED),
}


def note(client: Nestvec, name: str, physical: str, backend: str = "store") -> str | None:
    found: str | None = client.adapter(backend).read_note(ReadNote(physical, name))
    return found


def answers(world: World, wanted: dict[str, Any]) -> list[dict[str, tuple[str, Any]]]:
    """What handles of the one and of the other configuration read, where they read anything."""
    found = []
    for client in (world.open(), world.open(wanted)):
        with contextlib.suppress(CollectionError, SpaceError):
            found.append(contents(client))
    return found


def settled(world: World, documents: list[Document], wanted: dict[str, Any], *, most: int = 2) -> None:
    """Nothing of the migration is left but its note."""
    client = world.open(wanted or None)
    whole(client, documents)
    backend = client["docs"].spec.backend
    physical = client.adapter(backend)._aliases["docs"]  # type: ignore[attr-defined]
    made = [(name, each) for name in world.stores for each in client.adapter(name)._collections]  # type: ignore[attr-defined]
    assert 2 <= len(made) <= most, "there is another candidate"
    assert "shadow" not in client.adapter(backend)._collections[physical].info.record  # type: ignore[attr-defined]
    left = MigrationNote.from_text(client.adapter(backend).read_note(ReadNote(physical, NOTE)), physical)  # type: ignore[arg-type]
    assert left.stage is MigrationStage.DONE
    assert left.left is not None
    held = client.adapter(left.source.backend).read_note(ReadNote(left.source.physical, write_fence.NOTE))
    assert WriteFence.from_text(held or "", "docs_1") == WriteFence(
        FenceState.MOVED, to=GenerationPlace(backend, physical)
    )
    assert client.adapter(backend).read_note(ReadNote(physical, write_fence.NOTE)) is None


def write(client: Nestvec) -> list[Document]:
    """Replace, change, add and delete documents of the corpus; returns what there is then."""
    docs = client["docs"]
    changed = [document("d3", 1, "other"), document("d4", 6, year=1999), document("new", 9)]
    docs.upsert(changed)
    docs.delete(["d5", "d6"])
    kept = {each.id: each for each in [*corpus(), *changed]}
    return [each for key, each in kept.items() if key not in ("d5", "d6")]

"""Migrating, shrinking and going back: everything arrives, whatever is written and wherever it dies meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nestvec.client import Nestvec, connect
from nestvec.client.base import Runtime
from nestvec.contract import Create, Drop, ReadNote, WriteNote
from nestvec.drivers.retry import RetryPolicy
from nestvec.encoding.matryoshka import truncate
from nestvec.errors import (
    BackendRefused,
    BackendUnavailable,
    CollectionConflict,
    CollectionError,
    CollectionNotFound,
    InvalidInput,
    Unsupported,
)
from nestvec.flows import gate
from nestvec.flows.gate import Gate, Place, State
from nestvec.flows.migrate.places import NOTE, Journal
from nestvec.flows.migrate.report import MigrationProgress, MigrationReport, Stage
from nestvec.flows.migrate.routes import Way
from nestvec.testing.registry import test_registry
from nestvec.types import DENSE, Document

FIELDS = {"lang": "keyword", "year": "integer"}
BEFORE = {"dimensions": 32, "fields": FIELDS, "chunking": {"size": 20}}
SHORTER = {"dimensions": 8}
MATCHING = {"purpose": "matching"}
METRIC = {"metric": "dot"}
ELSEWHERE = {"backend": "other"}
USUAL = {"purpose": "retrieval", "metric": "cosine", "late_chunking": False, "storage": "float32", "store_text": True}
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
        self.events: list[Any] = []
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
        }
        policy = RetryPolicy(attempts=1)
        runtime = Runtime(
            test_registry(), self.time.clock, retry=policy, wall=self.time.wall, pause=self.time.pass_, lease=30.0
        )
        self.opened.append(connect(values, runtime))
        return self.opened[-1]

    def close(self) -> None:
        for client in self.opened:
            client.close()


@pytest.fixture
def world() -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**before: Any) -> World:
        made.append(World(before))
        return made[-1]

    yield make
    for each in made:
        each.close()


def document(key: str, words: int = 8, word: str = "word", year: int = 2000) -> Document:
    return Document(key, " ".join(f"{word}{i}" for i in range(words)), {"lang": "de", "year": year, "free": 1})


def corpus(count: int = 12) -> list[Document]:
    return [document(f"d{i}", 2 + i) for i in range(count)]


def filled(world: World, documents: list[Document] | None = None) -> Nestvec:
    client = world.open()
    client.apply()
    client["docs"].upsert(documents or corpus())
    return client


def contents(client: Nestvec) -> dict[str, tuple[str, Any]]:
    """Every document that can be read by the collection's name."""
    pages = list(client["docs"].scroll(group_by_document=True))
    return {record.document_id: (record.text, record.metadata) for page in pages for record in page.records}


def expected(documents: list[Document]) -> dict[str, tuple[str, Any]]:
    return {each.id: (each.text, each.metadata) for each in documents}


def whole(client: Nestvec, documents: list[Document]) -> None:
    """The collection holds exactly these documents, no chunk twice, and each is found by its own text."""
    assert contents(client) == expected(documents)
    docs = client["docs"]
    spec = docs.spec
    physical = client.adapter(spec.backend)._pointers["docs"]  # type: ignore[attr-defined]
    points = client.adapter(spec.backend)._collections[physical].points.values()  # type: ignore[attr-defined]
    keys = [(each.record.document_id, each.record.system["chunk"]) for each in points]
    assert len(keys) == len(set(keys))
    found = docs.matrix()
    assert found.vectors.shape == (len(keys), spec.space.dimensions)
    wanted = client.embed(
        [record.text or "" for record in found.records], task=spec.space.index_task, dimensions=spec.space.dimensions
    )
    if not spec.space.late_chunking and spec.storage == "float32":
        np.testing.assert_allclose(found.vectors, wanted, atol=1e-5)


CASES = {
    "copy": (METRIC, Way.COPY),
    "derive": (SHORTER, Way.DERIVE),
    "embed": (MATCHING, Way.EMBED),
    "copy elsewhere": (ELSEWHERE, Way.COPY),
    "derive elsewhere": ({**ELSEWHERE, **SHORTER}, Way.DERIVE),
    "embed elsewhere": ({**ELSEWHERE, **MATCHING}, Way.EMBED),
}


@pytest.mark.parametrize("case", CASES)
def test_everything_arrives(world: Any, case: str) -> None:
    wanted, way = CASES[case]
    there = world()
    filled(there)
    client = there.open(wanted)
    recorded: Any = client.embedder("model")
    report = client.migrate("docs")
    assert (report.way, report.switched, report.failed) == (way, True, ())
    assert (report.documents, report.brought, report.changed, report.verified) == (12, 12, 0, 12)
    assert report.chunks == client["docs"].count(chunks=True)
    assert bool(recorded.requests) is (way is Way.EMBED)
    assert report.overlap is not None
    assert report.overlap.k == 10
    if way is Way.COPY:
        assert report.overlap.least == 1.0
    assert gate.drain(30) <= report.writers_waited < gate.drain(30) + 5
    whole(client, corpus())
    again = client.migrate("docs")
    assert (again.way, again.switched) == (None, False)
    assert "nothing to do" in again.reason

"""Replacing, deleting and interruption: at every moment a document is there, and a rerun mends everything."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec.capabilities import TaskPair
from nestvec.chunking import Chunking, Splitter
from nestvec.contract import Remove, Write
from nestvec.drivers.sync import Ports, run
from nestvec.encoding.tasks import JINA_V3
from nestvec.flows.apply import apply
from nestvec.flows.base import Binding
from nestvec.flows.documents import delete, get
from nestvec.flows.layout import Head, head_id
from nestvec.flows.upsert import Incoming, upsert
from nestvec.spaces import space_of
from nestvec.specs import CollectionSpec
from nestvec.testing.memory import CAPABILITIES, MemoryAdapter
from nestvec.testing.recording import RecordingEmbedder, RecordingOptions, capabilities
from nestvec.types import DENSE, Document


class Killed(BaseException):
    """As if the process died here."""


class Mortal(MemoryAdapter):
    """Dies after a number of records written or removed, also in the middle of a request, and watches always."""

    def __init__(self) -> None:
        super().__init__()
        self.lives: float = float("inf")
        self.watch: Any = lambda: None

    def write(self, request: Write) -> None:
        for i, record in enumerate(request.records):
            self._spend()
            rows = {name: values[i : i + 1] for name, values in request.vectors.items()}
            super().write(Write(request.physical, [record], rows, request.generation, request.tenant))
            self.watch()

    def remove(self, request: Remove) -> None:
        for identity in request.ids:
            self._spend()
            super().remove(Remove(request.physical, [identity], request.generation, request.tenant))
            self.watch()

    def _spend(self) -> None:
        if self.lives <= 0:
            raise Killed
        self.lives -= 1


class World:
    def __init__(self, *, late: bool = False) -> None:
        model = capabilities(RecordingOptions())
        pair = TaskPair(JINA_V3["retrieval"].index, JINA_V3["retrieval"].query)  # type: ignore[index]
        space = space_of(model, 16, pair, late_chunking=late)
        self.spec = CollectionSpec("docs", space, model, "store", "model", chunking=Chunking(size=10))
        self.adapter = Mortal()
        self.embedder = RecordingEmbedder()
        self.ports = Ports(lambda: self.embedder, lambda: self.adapter, model, lambda _: None)
        self.binding = Binding(self.spec, CAPABILITIES, time.monotonic)
        run(apply(self.binding), self.ports)

    def put(self, *documents: Document) -> Any:
        flow = upsert(self.binding, Splitter(self.spec.chunking), [Incoming(item) for item in documents])
        return run(flow, self.ports)

    def drop(self, *ids: str) -> int:
        return run(delete(self.binding, ids), self.ports)

    def read(self, *ids: str) -> list[Document]:
        return run(get(self.binding, ids), self.ports)

    @property
    def points(self) -> dict[str, Any]:
        return self.adapter._collections["docs_1"].points

    def texts(self) -> list[str]:
        return sorted(point.record.text for point in self.points.values())

    def version(self, key: str) -> str:
        """The text that the head vouches for; fails unless every one of its chunks is there."""
        (document,) = self.read(key)
        head = Head.of(self.points[head_id(None, key)].record)
        assert len([p for p in self.points.values() if p.record.document_id == key]) >= head.chunks
        return document.text


def text(word: str, chunks: int) -> str:
    return " ".join(f"{word}{i:07d}" for i in range(chunks))


VERSIONS = st.tuples(st.sampled_from("abc"), st.integers(1, 6)).map(lambda version: text(*version))


@given(st.lists(st.tuples(VERSIONS, st.integers(0, 20)), min_size=1, max_size=6), VERSIONS, st.booleans())
@settings(max_examples=150)
def test_any_history_of_deaths_is_mended_by_the_next_run(history: list[tuple[str, int]], last: str, late: bool) -> None:
    world = World(late=late)
    for version, lives in history:
        world.adapter.lives = lives
        with contextlib.suppress(Killed):
            world.put(Document("d", version))
    world.adapter.lives = float("inf")
    world.put(Document("d", last))
    assert world.read("d") == [Document("d", last)]
    assert "".join(point.record.text for point in sorted(world.points.values(), key=_chunk)) == last


def _chunk(point: Any) -> int:
    return point.record.system["chunk"]


@given(VERSIONS, VERSIONS)
def test_at_every_moment_one_complete_version_is_there(old: str, new: str) -> None:
    world = World()
    world.put(Document("d", old))
    seen: set[str] = set()
    world.adapter.watch = lambda: seen.add(world.version("d"))
    world.put(Document("d", new))
    assert seen <= {old, new}
    assert world.version("d") == new


@given(VERSIONS, st.integers(0, 8))
def test_an_interrupted_deletion_is_finished_by_the_next(version: str, lives: int) -> None:
    world = World()
    world.put(Document("d", version), Document("other", "stays"))
    world.adapter.lives = lives
    with contextlib.suppress(Killed):
        world.drop("d")
    world.adapter.lives = float("inf")
    world.drop("d")
    assert world.texts() == ["stays"]


@given(st.integers(1, 5), st.integers(0, 6))
def test_what_a_first_ingestion_left_without_a_head_goes_with_a_deletion(chunks: int, lives: int) -> None:
    world = World()
    world.adapter.lives = lives
    with contextlib.suppress(Killed):
        world.put(Document("d", text("a", chunks)))
    world.adapter.lives = float("inf")
    world.drop("d")
    assert world.points == {}


def test_an_unchanged_document_costs_one_read_and_no_write() -> None:
    world = World()
    document = Document("d", text("a", 4), {"n": 1})
    world.put(document)
    world.embedder.requests.clear()
    world.adapter.lives = 0
    report = world.put(document)
    assert (report.documents, report.unchanged, report.embedded, report.deleted) == (1, 4, 0, 0)
    assert not world.embedder.requests


def test_chunks_with_equal_text_keep_their_vectors() -> None:
    world = World()
    world.put(Document("d", text("a", 4)))
    before = {p.record.text: p.vectors[DENSE] for p in world.points.values()}
    world.embedder.requests.clear()
    changed = text("a", 4)[:-8] + "b0000009"
    report = world.put(Document("d", changed))
    assert (report.embedded, report.unchanged, report.deleted) == (1, 3, 3)
    (request,) = world.embedder.requests
    assert request.groups[0].texts() == ["b0000009"]
    after = {p.record.text: p.vectors[DENSE] for p in world.points.values()}
    for chunk in before.keys() & after.keys():
        assert (before[chunk] == after[chunk]).all()


def test_under_late_chunking_a_changed_document_is_embedded_whole() -> None:
    world = World(late=True)
    world.put(Document("d", text("a", 4)))
    world.embedder.requests.clear()
    report = world.put(Document("d", text("a", 4)[:-8] + "b0000009"))
    assert (report.embedded, report.unchanged) == (4, 0)
    (request,) = world.embedder.requests
    assert request.late
    assert len(request.groups[0].spans) == 4


@pytest.mark.parametrize("late", [False, True])
def test_a_change_of_metadata_alone_embeds_nothing(late: bool) -> None:
    world = World(late=late)
    world.put(Document("d", text("a", 4), {"n": 1}))
    before = {p.record.text: p.vectors[DENSE] for p in world.points.values()}
    world.embedder.requests.clear()
    report = world.put(Document("d", text("a", 4), {"n": 2}))
    assert not world.embedder.requests
    assert (report.embedded, report.unchanged) == (0, 4)
    assert [p.record.metadata for p in world.points.values()] == [{"n": 2}] * 4
    assert all((before[p.record.text] == p.vectors[DENSE]).all() for p in world.points.values())


def test_equal_chunks_of_one_document_are_embedded_once_and_counted_each() -> None:
    world = World()
    report = world.put(Document("d", "aaaa bbbb\naaaa bbbb\naaaa bbbb\n"))
    assert report.embedded == 3
    assert len(world.embedder.requests[0].groups[0].spans) == 1
    assert len(world.points) == 3

"""Replacing, deleting and interruption: at every moment a document is there, and a rerun mends everything."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec._chunking import Chunking, Splitter
from nestvec._collections.apply import apply
from nestvec._collections.opening import CollectionState, OpenCollection
from nestvec._documents.deleting import delete, delete_where
from nestvec._documents.layout import Head, head_id
from nestvec._documents.reading import get
from nestvec._documents.upsert import IncomingDocument, upsert
from nestvec._session.session import Blocking, Component, Session, complete
from nestvec._specs import CollectionSpec
from nestvec.capabilities import TaskPair
from nestvec.contract import Create, Remove, SetAlias, Write
from nestvec.encoding.tasks import JINA_V3
from nestvec.errors import BackendUnavailable, CollectionError
from nestvec.spaces import space_of
from nestvec.types import DENSE, Document
from nestvec_testing.memory import CAPABILITIES, MemoryAdapter
from nestvec_testing.recording import RecordingEmbedder, RecordingOptions, capabilities
from nestvec_testing.stepping import Asking, Stepper, answered


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
            super().write(Write(request.physical, [record], rows, request.generation))
            self.watch()

    def remove(self, request: Remove) -> None:
        for identity in request.ids:
            self._spend()
            super().remove(Remove(request.physical, [identity], request.generation))
            self.watch()

    def _spend(self) -> None:
        if self.lives <= 0:
            raise Killed
        self.lives -= 1


async def nothing_to_open() -> Any:
    raise AssertionError("all that there is was opened")


class World:
    def __init__(self, *, late: bool = False) -> None:
        model = capabilities(RecordingOptions())
        pair = TaskPair(JINA_V3["retrieval"].index, JINA_V3["retrieval"].query)  # type: ignore[index]
        space = space_of(model, 16, pair, late_chunking=late)
        self.spec = CollectionSpec("docs", space, model, "store", "model", chunking=Chunking(size=10))
        self.adapter = Mortal()
        self.embedder = RecordingEmbedder()
        self.session = self.session_over(self.adapter)
        self.state = CollectionState(self.spec, CAPABILITIES, time.monotonic)
        self.docs = OpenCollection(self.state, self.session)
        complete(apply(self.docs))

    def session_over(self, adapter: Mortal) -> Session:
        embedder: Component[Any] = Component(nothing_to_open)
        store: Component[Any] = Component(nothing_to_open)
        embedder.opened, store.opened = self.embedder, adapter

        async def splitter() -> Splitter:
            return Splitter(self.spec.chunking)

        return Session(store, embedder, self.spec.model, lambda _: None, Blocking(), make_splitter=splitter)

    def stepped(self, *documents: Document) -> Stepper[Any]:
        """An ingestion, request by request."""
        return Stepper(upsert(OpenCollection(self.state, Asking()), [IncomingDocument(item) for item in documents]))

    def put(self, *documents: Document) -> Any:
        return complete(upsert(self.docs, [IncomingDocument(item) for item in documents]))

    def drop(self, *ids: str) -> int:
        return complete(delete(self.docs, ids))

    def read(self, *ids: str) -> list[Document]:
        return complete(get(self.docs, ids))

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


@given(VERSIONS, st.integers(0, 8))
def test_a_document_whose_deletion_was_interrupted_is_whole_after_the_next_ingestion(version: str, lives: int) -> None:
    world = World()
    world.put(Document("d", version))
    world.adapter.lives = lives
    with contextlib.suppress(Killed):
        world.drop("d")
    world.adapter.lives = float("inf")
    world.put(Document("d", version))
    assert world.read("d") == [Document("d", version)]
    assert "".join(point.record.text for point in sorted(world.points.values(), key=_chunk)) == version


def test_an_interrupted_deletion_by_filter_is_finished_by_the_next() -> None:
    for lives in range(8):
        world = World()
        world.put(Document("d", text("a", 5), {"n": 1}), Document("other", "stays"))
        world.adapter.lives = lives
        with contextlib.suppress(Killed):
            complete(delete_where(world.docs, None))
        world.adapter.lives = float("inf")
        complete(delete_where(world.docs, None))
        assert world.points == {}


def test_two_writers_of_one_document_tear_nothing_that_the_next_ingestion_does_not_mend() -> None:
    """Another process writes its chunks between our chunks and our head."""
    world, rival = World(), World()
    rivals = rival.session_over(world.adapter)
    world.put(Document("d", text("a", 3)))
    ours, theirs = Document("d", text("b", 4)), Document("d", text("c", 5))
    step, writes = world.stepped(ours), 0
    while not step.done:
        request = step.request
        answer = answered(world.session, request)
        writes += isinstance(request, Write)
        if writes == 1 and isinstance(request, Write):
            other = rival.stepped(theirs)
            while not isinstance(other.request, Write):
                other.answer(answered(rivals, other.request))
            answered(rivals, other.request)  # their chunks, over ours; their head never comes
            other.close()
        step.answer(answer)
    with pytest.raises(CollectionError, match="not whole"):
        world.read("d")
    assert world.put(ours).documents == 1
    assert world.read("d") == [ours]
    assert "".join(point.record.text for point in sorted(world.points.values(), key=_chunk)) == ours.text


def test_threads_that_write_one_document_do_so_one_after_the_other(open_docs: Any) -> None:
    client = open_docs(chunking={"size": 10})
    versions = [Document("d", text(word, chunks)) for word, chunks in (("a", 6), ("b", 3), ("c", 9), ("e", 4))]
    threads = [threading.Thread(target=client["docs"].upsert, args=(item,)) for item in versions * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client["docs"].get("d") in versions
    last = client["docs"].get("d")
    assert client["docs"].count(chunks=True) == len(
        complete(client["docs"]._sessions[0].splitter()).split("d", last.text)
    )


def test_a_write_is_not_repeated_after_its_lease_when_the_alias_moved(open_docs: Any, clock: Any) -> None:
    client = open_docs()
    docs, adapter = client["docs"], client.adapter("store")
    docs.upsert(Document("first", "one"))
    created = Create("docs_2", docs.spec.vectors, docs.spec.metric, {}, docs.spec.record(2))
    write, calls = adapter.write, []

    def moving(request: Write) -> None:
        calls.append(request.physical)
        if len(calls) == 1:
            adapter.create(created)
            adapter.set_alias(SetAlias("docs", "docs_2"))
            clock.now += 100
            raise BackendUnavailable("cut off")
        write(request)

    adapter.write = moving
    assert docs.upsert(Document("second", "two")).documents == 1
    assert calls == ["docs_1", "docs_2"]
    assert docs.get("second") == Document("second", "two")


def test_a_reader_never_sees_half_of_a_replacement(open_docs: Any) -> None:
    client = open_docs(chunking={"size": 10})
    old, new = Document("d", text("a", 4)), Document("d", text("b", 5))
    docs, adapter = client["docs"], client.adapter("store")
    docs.upsert(old)
    fetch, calls = adapter.fetch, []

    def replaced_meanwhile(request: Any) -> Any:
        calls.append(request)
        if len(calls) == 2:  # between the head and the chunks
            adapter.fetch = fetch
            docs.upsert(new)
        return fetch(request)

    adapter.fetch = replaced_meanwhile
    assert docs.get("d") == new

"""Ingestions of a client: what fails, breaks off or is interrupted leaves nothing dangling."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from nestvec._client import Nestvec, aconnect, connect
from nestvec.contract import Encode, Write
from nestvec.errors import BackendRefused, EmbedderInvalidReply, EmbedderUnavailable, IngestFailed
from nestvec.registry import Registry
from nestvec.runtime import RetryPolicy, Runtime
from nestvec.types import Document
from nestvec_testing.memory import MemoryAdapter
from nestvec_testing.memory import nestvec_backend as memory
from nestvec_testing.recording import RecordingEmbedder
from nestvec_testing.recording import nestvec_embedder as recording
from nestvec_testing.registry import test_registry


def values(**embedder: Any) -> dict[str, Any]:
    return {
        "backends": {"store": {"use": "memory"}},
        "embedders": {"model": {"use": "recording", **embedder}},
        "collections": {"docs": {"dimensions": 32}},
    }


def runtime(adapter: MemoryAdapter, make_embedder: Callable[[Any], RecordingEmbedder]) -> Runtime:
    """With one adapter that all clients share, and embedders of the test's own."""
    registry: Registry = test_registry()
    backend, embedder = replace(memory(), open=lambda _: adapter), replace(recording(), open=make_embedder)
    registry.backend = lambda name: backend  # type: ignore[method-assign]  # the only ones here
    registry.embedder = lambda name: embedder  # type: ignore[method-assign]
    return Runtime(registry, retry=RetryPolicy(attempts=4, first_wait=0.0, longest_wait=0.0))


class Opener:
    """Clients on one store."""

    def __init__(self) -> None:
        self.adapter = MemoryAdapter()
        self.opened: list[Nestvec] = []

    def __call__(
        self,
        embedder: Callable[[Any], RecordingEmbedder] = RecordingEmbedder,
        adapter: MemoryAdapter | None = None,
        **options: Any,
    ) -> Nestvec:
        client = connect(values(**options), runtime(adapter or self.adapter, embedder))
        self.opened.append(client)
        client.apply()
        return client


@pytest.fixture
def opener() -> Iterator[Opener]:
    made = Opener()
    yield made
    for client in made.opened:
        client.close()


def test_the_embedder_is_not_opened_before_it_is_needed(opener: Opener) -> None:
    opened: list[RecordingEmbedder] = []

    def make(options: Any) -> RecordingEmbedder:
        opened.append(RecordingEmbedder(options))
        return opened[-1]

    client = opener(make)
    client.plan()
    client["docs"].count()
    assert not opened
    client["docs"].search("anything")
    assert len(opened) == 1


class Broken(RecordingEmbedder):
    """Answers wrongly in one way."""

    def __init__(self, options: Any, spoil: Callable[[Any], Any]) -> None:
        super().__init__(options)
        self._spoil = spoil

    def encode(self, request: Encode) -> Any:
        return self._spoil(super().encode(request))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda reply: type(reply)(reply.vectors[:-1]), "1 documents; 2 were sent"),
        (lambda reply: type(reply)(tuple(rows[:, :5] for rows in reply.vectors)), r"\(1, 5\); expected \(1, 32\)"),
    ],
)
def test_wrong_replies_are_noticed_and_nothing_is_stored(opener: Opener, spoil: Any, message: str) -> None:
    client = opener(lambda options: Broken(options, spoil))
    with pytest.raises(EmbedderInvalidReply, match=message):
        client["docs"].upsert([Document("a", "one"), Document("b", "two")])
    assert client["docs"].count() == 0


def test_a_group_without_vectors_or_reason_is_a_named_failure(opener: Opener) -> None:
    client = opener(lambda options: Broken(options, lambda reply: type(reply)((None, *reply.vectors[1:]))))
    with pytest.raises(IngestFailed) as caught:
        client["docs"].upsert([Document("a", "one"), Document("b", "two")])
    assert [failure.document_id for failure in caught.value.report.failed] == ["a"]
    assert client["docs"].get("b") == Document("b", "two")


class Picky(MemoryAdapter):
    """Refuses one document."""

    def write(self, request: Write) -> None:
        if any(record.document_id == "bad" for record in request.records):
            raise BackendRefused("a record is too large")
        super().write(request)


def test_a_document_that_the_backend_refuses_is_named_and_the_others_go_through(opener: Opener) -> None:
    client = opener(adapter=Picky())
    documents = [Document(str(i), f"text {i}") for i in range(20)]
    report = client["docs"].upsert([*documents[:7], Document("bad", "b"), *documents[7:]], on_failure="report")
    assert report.documents == 20
    assert [(failure.document_id, failure.error) for failure in report.failed] == [("bad", "a record is too large")]
    assert client["docs"].count() == 20


class Failing(RecordingEmbedder):
    """Fails from the third request on."""

    def encode(self, request: Encode) -> Any:
        if len(self.requests) >= 2:
            raise EmbedderUnavailable("the service is down")
        return super().encode(request)


def test_an_ingestion_that_breaks_off_keeps_what_it_stored_and_goes_on_later(opener: Opener) -> None:
    client = opener(Failing, batch=5)
    documents = [Document(str(i), f"text {i}") for i in range(40)]
    heard: list[int] = []
    with pytest.raises(EmbedderUnavailable):
        client["docs"].upsert(documents, progress=lambda report: heard.append(report.documents))
    stored = client["docs"].count()
    assert 0 < sum(heard) <= stored == 10
    report = opener(batch=5)["docs"].upsert(documents)
    assert (report.documents, report.embedded, report.unchanged) == (40, 30, 10)


def test_an_interruption_waits_for_the_requests_under_way(opener: Opener) -> None:
    client = opener(batch=5)
    busy = threading.active_count()

    def documents() -> Iterator[Document]:
        for i in range(100):
            if i == 50:
                raise KeyboardInterrupt
            yield Document(str(i), f"text {i}")

    with pytest.raises(KeyboardInterrupt):
        client["docs"].upsert(documents())
    assert threading.active_count() == busy
    stored = client["docs"].count()
    assert client["docs"].upsert([Document(str(i), f"text {i}") for i in range(100)]).unchanged == stored


async def test_a_cancelled_task_leaves_no_request_behind() -> None:
    entered, release = threading.Event(), threading.Event()
    finished: list[bool] = []

    class Slow(RecordingEmbedder):
        def encode(self, request: Encode) -> Any:
            entered.set()
            release.wait(10)
            reply = super().encode(request)
            finished.append(True)
            return reply

    async with aconnect(values(), runtime(MemoryAdapter(), Slow)) as client:
        await client.apply()
        task = asyncio.ensure_future(client["docs"].upsert([Document("a", "one")]))
        await asyncio.to_thread(entered.wait, 10)
        task.cancel()
        asyncio.get_running_loop().call_later(0.01, release.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert finished == [True]
        assert await client["docs"].count() == 0


async def test_documents_may_arrive_asynchronously() -> None:
    async def documents() -> Any:
        for i in range(10):
            yield Document(str(i), f"text {i}")

    async with aconnect(values(batch=3), runtime(MemoryAdapter(), RecordingEmbedder)) as client:
        await client.apply()
        assert (await client["docs"].upsert(documents())).documents == 10
        assert [len(page.records) async for page in client["docs"].scroll(page=4)] == [4, 4, 2]

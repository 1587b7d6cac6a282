"""Sessions of both clients: one layer retries, threads serve blocking plugins, interruption leaves nothing dangling."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from nestvec._client import Nestvec, aconnect
from nestvec._session.session import Blocking, Cancelled, Component, Session, Suspending, complete
from nestvec.contract import Count, Remove, ResolveAlias
from nestvec.errors import (
    BackendRefused,
    BackendUnavailable,
    CollectionNotFound,
    EmbedderInvalidReply,
    EmbedderUnavailable,
    IngestFailed,
    NestvecError,
)
from nestvec.runtime import RetryPolicy, Runtime
from nestvec.types import Document
from nestvec_testing.memory import MemoryAdapter
from nestvec_testing.recording import RecordingEmbedder, RecordingOptions, capabilities

MODEL = capabilities(RecordingOptions())
AT_ONCE = RetryPolicy(attempts=3, first_wait=0, longest_wait=0)
Rule = Callable[[Session], Coroutine[Any, Any, Any]]


class Flaky(MemoryAdapter):
    """Fails with the given errors first."""

    def __init__(self, *errors: NestvecError) -> None:
        super().__init__()
        self.errors = list(errors)
        self.calls = 0

    def count(self, request: Count) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return 7


async def counting(session: Session) -> int:
    return await session.backend.count(Count("docs_1"))


def drive(adapter: MemoryAdapter, rule: Rule, events: list[Any], *, blocking: bool, pause: Any = None) -> Any:
    if blocking:
        return complete(rule(session_over(adapter, Blocking(pause), events)))
    return asyncio.run(rule(session_over(adapter, Suspending(pause), events)))


def session_over(adapter: MemoryAdapter, waiting: Blocking | Suspending, events: list[Any]) -> Session:
    async def embedder() -> Any:
        return RecordingEmbedder()

    async def opened() -> Any:
        return adapter

    return Session(Component(opened), Component(embedder), MODEL, events.append, waiting, AT_ONCE)


@pytest.mark.parametrize("blocking", [True, False])
def test_what_may_succeed_later_is_tried_again_and_reported(blocking: bool) -> None:
    events: list[Any] = []
    adapter = Flaky(BackendUnavailable("overloaded"), BackendUnavailable("overloaded"))
    assert drive(adapter, counting, events, blocking=blocking) == 7
    assert adapter.calls == 3
    assert [(event.name, event.data["attempt"]) for event in events] == [("request_retried", 1), ("request_retried", 2)]


@pytest.mark.parametrize("blocking", [True, False])
def test_attempts_are_bounded_and_the_last_error_is_raised(blocking: bool) -> None:
    adapter = Flaky(*[BackendUnavailable(f"try {i}") for i in range(9)])
    with pytest.raises(BackendUnavailable, match="try 2"):
        drive(adapter, counting, [], blocking=blocking)
    assert adapter.calls == 3


@pytest.mark.parametrize("blocking", [True, False])
def test_what_cannot_succeed_is_not_tried_again(blocking: bool) -> None:
    adapter = Flaky(BackendRefused("no"))
    with pytest.raises(BackendRefused):
        drive(adapter, counting, [], blocking=blocking)
    assert adapter.calls == 1


@pytest.mark.parametrize("blocking", [True, False])
def test_nothing_is_written_after_the_lease_however_long_the_process_stood_still(blocking: bool) -> None:
    def writing(until: float) -> Rule:
        return lambda session: session.backend.remove(Remove("docs_1", ["record"], until=until))

    adapter = MemoryAdapter()  # has no docs_1, and would say so
    with pytest.raises(BackendUnavailable, match="remove: the lease ended before it was sent"):
        drive(adapter, writing(time.monotonic() - 1), [], blocking=blocking)
    with pytest.raises(CollectionNotFound):
        drive(adapter, writing(time.monotonic() + 60), [], blocking=blocking)


@pytest.mark.parametrize("blocking", [True, False])
def test_a_rule_may_handle_an_error(blocking: bool) -> None:
    async def rule(session: Session) -> Any:
        try:
            await session.backend.count(Count("docs_1"))
        except BackendRefused:
            return await session.backend.resolve_alias(ResolveAlias("nothing"))

    assert drive(Flaky(BackendRefused("no")), rule, [], blocking=blocking) is None


def test_the_embedder_is_not_opened_before_it_is_needed(open_docs: Callable[..., Nestvec]) -> None:
    client = open_docs()
    client.plan()
    client["docs"].count()
    assert not client._connections.embedders.opened
    client["docs"].search("anything")
    assert client._connections.embedders.opened


class Broken(RecordingEmbedder):
    """Answers wrongly in one way."""

    def __init__(self, spoil: Callable[[Any], Any]) -> None:
        super().__init__()
        self._spoil = spoil

    def encode(self, request: Any) -> Any:
        return self._spoil(super().encode(request))


def with_embedder(client: Nestvec, embedder: Any) -> Nestvec:
    client._connections.embedders.put("model", embedder)
    return client


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda reply: type(reply)(reply.vectors[:-1]), "1 documents; 2 were sent"),
        (lambda reply: type(reply)(tuple(rows[:, :5] for rows in reply.vectors)), r"\(1, 5\); expected \(1, 32\)"),
        (lambda reply: type(reply)(tuple(rows * float("nan") for rows in reply.vectors)), "NaN"),
    ],
)
def test_wrong_replies_are_noticed(open_docs: Callable[..., Nestvec], spoil: Any, message: str) -> None:
    client = with_embedder(open_docs(), Broken(spoil))
    with pytest.raises(EmbedderInvalidReply, match=message):
        client["docs"].upsert([Document("a", "one"), Document("b", "two")])
    assert client["docs"].count() == 0


def test_a_group_without_vectors_or_reason_is_a_named_failure(open_docs: Callable[..., Nestvec]) -> None:
    client = with_embedder(open_docs(), Broken(lambda reply: type(reply)((None, *reply.vectors[1:]))))
    with pytest.raises(IngestFailed) as caught:
        client["docs"].upsert([Document("a", "one"), Document("b", "two")])
    assert [failure.document_id for failure in caught.value.report.failed] == ["a"]
    assert client["docs"].get("b") == Document("b", "two")


def test_a_document_that_the_backend_refuses_is_named_and_the_others_go_through(
    open_docs: Callable[..., Nestvec],
) -> None:
    client = open_docs()
    adapter: Any = client.adapter("store")
    write = adapter.write

    def picky(request: Any) -> None:
        if any(record.document_id == "bad" for record in request.records):
            raise BackendRefused("a record is too large")
        write(request)

    adapter.write = picky
    documents = [Document(str(i), f"text {i}") for i in range(20)]
    report = client["docs"].upsert([*documents[:7], Document("bad", "b"), *documents[7:]], on_failure="report")
    assert report.documents == 20
    assert [(failure.document_id, failure.error) for failure in report.failed] == [("bad", "a record is too large")]
    assert client["docs"].count() == 20


class Gate(RecordingEmbedder):
    """Fails from the third request on."""

    def encode(self, request: Any) -> Any:
        if len(self.requests) >= 2:
            raise EmbedderUnavailable("the service is down")
        return super().encode(request)


def test_an_ingestion_that_breaks_off_keeps_what_it_stored_and_goes_on_later(open_docs: Callable[..., Nestvec]) -> None:
    client = with_embedder(open_docs(embedder={"batch": 5}), Gate())
    documents = [Document(str(i), f"text {i}") for i in range(40)]
    heard: list[int] = []
    with pytest.raises(EmbedderUnavailable):
        client["docs"].upsert(documents, progress=lambda report: heard.append(report.documents))
    stored = client["docs"].count()
    assert 0 < sum(heard) <= stored == 10
    with_embedder(client, RecordingEmbedder())
    report = client["docs"].upsert(documents)
    assert (report.documents, report.embedded, report.unchanged) == (40, 30, 10)


def test_an_interruption_waits_for_the_requests_under_way(open_docs: Callable[..., Nestvec]) -> None:
    client = open_docs(embedder={"batch": 5})
    busy = threading.active_count()

    def documents() -> Any:
        for i in range(100):
            if i == 50:
                raise KeyboardInterrupt
            yield Document(str(i), f"text {i}")

    with pytest.raises(KeyboardInterrupt):
        client["docs"].upsert(documents())
    assert threading.active_count() == busy
    stored = client["docs"].count()
    assert client["docs"].upsert([Document(str(i), f"text {i}") for i in range(100)]).unchanged == stored


async def test_a_cancelled_task_leaves_no_request_behind(runtime: Runtime) -> None:
    entered, release = threading.Event(), threading.Event()
    finished: list[bool] = []

    class Slow(RecordingEmbedder):
        def encode(self, request: Any) -> Any:
            entered.set()
            release.wait(10)
            reply = super().encode(request)
            finished.append(True)
            return reply

    values = {
        "backends": {"store": {"use": "memory"}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {"dimensions": 32}},
    }
    async with aconnect(values, runtime) as client:
        await client.apply()
        client._connections.embedders.put("model", Slow())
        task = asyncio.ensure_future(client["docs"].upsert([Document("a", "one")]))
        await asyncio.to_thread(entered.wait, 10)
        task.cancel()
        asyncio.get_running_loop().call_later(0.01, release.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert finished == [True]
        assert await client["docs"].count() == 0


async def test_documents_may_arrive_asynchronously(runtime: Runtime) -> None:
    async def documents() -> Any:
        for i in range(10):
            yield Document(str(i), f"text {i}")

    values = {
        "backends": {"store": {"use": "memory"}},
        "embedders": {"model": {"use": "recording", "batch": 3}},
        "collections": {"docs": {}},
    }
    async with aconnect(values, runtime) as client:
        await client.apply()
        assert (await client["docs"].upsert(documents())).documents == 10
        assert [len(page.records) async for page in client["docs"].scroll(page=4)] == [4, 4, 2]


async def waiting(session: Session) -> str:
    await session.wait(7.5)
    return "went on"


@pytest.mark.parametrize("blocking", [True, False])
def test_seconds_pass_as_the_runtime_says(blocking: bool) -> None:
    passed: list[float] = []
    assert drive(Flaky(), waiting, [], blocking=blocking, pause=passed.append) == "went on"
    assert passed == [7.5]


def test_an_ingestion_that_is_broken_off_does_not_wait_on() -> None:
    cancelled = threading.Event()
    session = session_over(Flaky(), Blocking(cancelled=cancelled), [])
    threading.Timer(0.05, cancelled.set).start()
    with pytest.raises(Cancelled):
        complete(session.wait(600))

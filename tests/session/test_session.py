"""What stands between rules and plugins: retries and leases, blocking parts and awaited ones, and interruptions."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from nestvec._session.retry import RetryPolicy, repetition
from nestvec._session.session import (
    Blocking,
    Cancelled,
    Component,
    ComputeLock,
    Session,
    Suspending,
    complete,
    finished,
    for_ingestion,
)
from nestvec.contract import (
    Count,
    Create,
    CreateExtended,
    Encode,
    Event,
    ForeignLayout,
    Group,
    QueryStaged,
    Remove,
    ResolveAlias,
    Write,
)
from nestvec.errors import (
    BackendRefused,
    BackendUnavailable,
    CollectionNotFound,
    EmbedderInvalidReply,
    NestvecError,
)
from nestvec.types import DENSE, Metric, Usage
from nestvec_testing.data import PARSED, record, vectors
from nestvec_testing.memory import MemoryAdapter
from nestvec_testing.recording import RecordingEmbedder, RecordingOptions, capabilities

MODEL = capabilities(RecordingOptions())
AT_ONCE = RetryPolicy(attempts=3, first_wait=0, longest_wait=0)
ENCODE = Encode((Group("a", "one text", ((0, 8),)), Group("b", "another", ((0, 7),))), "retrieval.passage", 16)
#: How the parts are called: blocking for the synchronous client, in threads or awaited for the asynchronous one.
FORMS = ("blocking", "threads", "native")


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


class Awaited(Flaky):
    """Its methods are coroutines that never suspend."""

    async def count(self, request: Count) -> int:  # type: ignore[override]  # the contract allows it
        return super().count(request)


class Native(Flaky):
    """Its methods are coroutines for an event loop."""

    async def count(self, request: Count) -> int:  # type: ignore[override]  # the contract allows it
        await asyncio.sleep(0)
        return super().count(request)


def component(part: Any, *, native: bool = False, opened: list[Any] | None = None) -> Component[Any]:
    async def open_it() -> Any:
        if opened is not None:
            opened.append(part)
        made.opened, made.native = part, native
        return part

    made: Component[Any] = Component(open_it)
    return made


def session(adapter: Any, form: str = "blocking", **settings: Any) -> Session:
    given: dict[str, Any] = {"events": [], "embedder": RecordingEmbedder(), "pause": None, **settings}
    waiting = Blocking(given["pause"]) if form == "blocking" else Suspending(given["pause"])
    native = form == "native"
    return Session(
        component(adapter, native=native),
        component(given["embedder"], native=native),
        given.get("model", MODEL),
        given["events"].append,
        waiting,
        retry=AT_ONCE,
    )


def run(rule: Coroutine[Any, Any, Any], form: str) -> Any:
    return complete(rule) if form == "blocking" else asyncio.run(wrapped(rule))


async def wrapped(rule: Coroutine[Any, Any, Any]) -> Any:
    return await rule


async def counting(asked: Session) -> int:
    return await asked.backend.count(Count("docs_1"))


# ---------------------------------------------------------------- retries and leases


@pytest.mark.parametrize(
    ("form", "kind"), [*((form, kind) for form in FORMS for kind in (Flaky, Awaited)), ("native", Native)]
)
def test_what_may_succeed_later_is_tried_again_and_reported(form: str, kind: Any) -> None:
    events: list[Event] = []
    adapter = kind(BackendUnavailable("overloaded"), BackendUnavailable("overloaded"))
    assert run(counting(session(adapter, form, events=events)), form) == 7
    assert adapter.calls == 3
    assert [(event.name, event.data["attempt"]) for event in events] == [("request_retried", 1), ("request_retried", 2)]


@pytest.mark.parametrize(
    ("request_", "called"),
    [
        (Count("docs_1"), "count"),
        (CreateExtended("docs_1", {}, Metric.COSINE, {}, {}), "create"),
        (QueryStaged("docs_1", {}, Metric.COSINE, 3), "query"),
    ],
)
def test_a_repetition_names_what_was_asked_for(request_: Any, called: str) -> None:
    assert repetition(request_, 1, BackendUnavailable("busy")).data["request"] == called


@pytest.mark.parametrize("form", FORMS)
def test_attempts_are_bounded_and_the_last_error_is_raised(form: str) -> None:
    adapter = Flaky(*[BackendUnavailable(f"try {i}") for i in range(9)])
    with pytest.raises(BackendUnavailable, match="try 2"):
        run(counting(session(adapter, form)), form)
    assert adapter.calls == 3


@pytest.mark.parametrize("form", FORMS)
def test_what_cannot_succeed_is_not_tried_again(form: str) -> None:
    adapter = Flaky(BackendRefused("no"))
    with pytest.raises(BackendRefused):
        run(counting(session(adapter, form)), form)
    assert adapter.calls == 1


def test_between_attempts_it_waits_longer_and_longer_and_not_beyond_the_deadline() -> None:
    passed: list[float] = []
    policy = RetryPolicy(attempts=9, deadline=30.0, first_wait=1.0, longest_wait=8.0)
    asked = session(Flaky(*[BackendUnavailable("no")] * 9), pause=passed.append)
    asked.retry, asked.clock = policy, lambda: sum(passed)
    with pytest.raises(BackendUnavailable):
        complete(counting(asked))
    assert len(passed) in (4, 5)
    assert all(each >= least for each, least in zip(passed, (1, 2, 4, 8, 8), strict=False))
    assert sum(passed) < 30


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_written_after_the_lease_however_long_the_process_stood_still(form: str) -> None:
    async def writing(until: float) -> None:
        await session(MemoryAdapter(), form).backend.remove(Remove("docs_1", ["record"], until=until))

    with pytest.raises(BackendUnavailable, match="remove: the lease ended before it was sent"):
        run(writing(time.monotonic() - 1), form)
    with pytest.raises(CollectionNotFound):  # it is sent, and there is no docs_1
        run(writing(time.monotonic() + 60), form)


@pytest.mark.parametrize("form", FORMS)
def test_a_write_is_not_repeated_after_its_lease(form: str) -> None:
    calls: list[float] = []

    class Slow(MemoryAdapter):
        def write(self, request: Write) -> None:
            calls.append(now[0])
            now[0] += 6.0
            raise BackendUnavailable("lost")

    now = [100.0]
    asked = session(Slow(), form)
    asked.clock = lambda: now[0]
    rows = {DENSE: vectors(1, 8)}

    async def writing() -> None:
        await asked.backend.write(Write("docs_1", [record("a")], rows, until=110.0))

    with pytest.raises(BackendUnavailable, match="lost"):
        run(writing(), form)
    assert calls == [100.0, 106.0]


@pytest.mark.parametrize("form", FORMS)
def test_a_rule_may_handle_an_error(form: str) -> None:
    asked = session(Flaky(BackendRefused("no")), form)

    async def rule() -> Any:
        try:
            return await asked.backend.count(Count("docs_1"))
        except BackendRefused:
            return await asked.backend.resolve_alias(ResolveAlias("nothing"))

    assert run(rule(), form) is None


# ---------------------------------------------------------------- parts


@pytest.mark.parametrize("form", FORMS)
def test_parts_are_opened_when_they_are_needed(form: str) -> None:
    opened: list[Any] = []
    asked = session(Flaky(), form)
    asked.adapter = component(Flaky(), native=form == "native", opened=opened)
    asked.embedder = component(RecordingEmbedder(), native=form == "native", opened=opened)

    async def twice() -> None:
        for _ in range(2):
            await asked.backend.count(Count("docs_1"))

    assert not opened
    run(twice(), form)
    assert [type(each) for each in opened] == [Flaky]


@pytest.mark.parametrize("form", FORMS)
def test_views_are_made_of_the_adapter_that_is_open(form: str) -> None:
    adapter = MemoryAdapter()
    adapter.create(Create("docs_1", {DENSE: 8}, Metric.COSINE, PARSED, {}))
    asked = session(adapter, form)

    async def rule() -> tuple[int, int, int]:
        mine = asked.backend.of_tenant("acme")
        await mine.write(Write("docs_1", [record("a")], {DENSE: vectors(1, 8)}))
        theirs = asked.backend.reading(ForeignLayout("docs_1"))
        counts = [await each.count(Count("docs_1")) for each in (mine, asked.backend.of_tenant("other"), theirs)]
        return counts[0], counts[1], counts[2]

    assert run(rule(), form) == (1, 0, 1)


def test_blocking_parts_run_in_worker_threads_of_the_asynchronous_client() -> None:
    threads: list[int] = []

    class Where(MemoryAdapter):
        async def count(self, request: Count) -> int:  # type: ignore[override]  # the contract allows it
            threads.append(threading.get_ident())
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()
            return 7

    assert run(counting(session(Where(), "threads")), "threads") == 7
    assert threads != [threading.get_ident()]


def test_native_parts_run_in_the_event_loop() -> None:
    class Where(MemoryAdapter):
        async def count(self, request: Count) -> int:  # type: ignore[override]  # the contract allows it
            assert asyncio.get_running_loop()
            return 7

    assert run(counting(session(Where(), "native")), "native") == 7


# ---------------------------------------------------------------- the embedder


class Spoilt(RecordingEmbedder):
    """Answers wrongly in one way."""

    def __init__(self, spoil: Callable[[Any], Any]) -> None:
        super().__init__()
        self._spoil = spoil

    def encode(self, request: Encode) -> Any:
        return self._spoil(super().encode(request))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda reply: type(reply)(reply.vectors[:-1]), "1 documents; 2 were sent"),
        (lambda reply: type(reply)(tuple(rows[:, :5] for rows in reply.vectors)), r"\(1, 5\); expected \(1, 16\)"),
    ],
    ids=["count", "size"],
)
def test_wrong_replies_are_noticed(form: str, spoil: Any, message: str) -> None:
    asked = session(Flaky(), form, embedder=Spoilt(spoil))
    with pytest.raises(EmbedderInvalidReply, match=message):
        run(asked.encode(ENCODE), form)


@pytest.mark.parametrize("form", FORMS)
def test_a_group_without_vectors_or_reason_is_a_named_failure(form: str) -> None:
    asked = session(Flaky(), form, embedder=Spoilt(lambda reply: type(reply)((None, *reply.vectors[1:]))))
    reply = run(asked.encode(ENCODE), form)
    assert [failure.group for failure in reply.failures] == [0]
    assert "neither vectors nor a reason" in str(reply.failures[0].error)


@pytest.mark.parametrize("form", FORMS)
def test_replies_are_nested_and_cut(form: str) -> None:
    options = RecordingOptions(rotation="r1")
    embedder = RecordingEmbedder(options)
    asked = session(Flaky(), form, embedder=embedder, model=capabilities(options))
    rows = run(asked.encode(ENCODE), form).vectors[0]
    assert rows.shape == (1, 16)
    assert embedder.requests[0].dimensions == options.dimensions, "a nested model is asked for its full vectors"
    np.testing.assert_allclose(np.linalg.norm(rows), 1.0, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_an_embedder_that_repeated_requests_is_told_of(form: str) -> None:
    events: list[Event] = []
    embedder = Spoilt(lambda reply: type(reply)(reply.vectors, usage=Usage(tokens=3, requests=3, retries=2)))
    run(session(Flaky(), form, embedder=embedder, events=events).encode(ENCODE), form)
    assert [(event.name, event.data["attempt"]) for event in events] == [("request_retried", 2)]


def test_an_embedder_may_ask_whether_the_ingestion_is_interrupted() -> None:
    cancelled = threading.Event()
    embedder = RecordingEmbedder()
    lock = ComputeLock(cancelled)
    asked = for_ingestion(session(Flaky(), embedder=embedder), cancelled, lock)
    with lock.held():
        complete(asked.encode(ENCODE))
    (request,) = embedder.requests
    assert request.cancelled is not None
    assert not request.cancelled()
    cancelled.set()
    assert request.cancelled()


# ---------------------------------------------------------------- running a rule to its end


async def suspending_rule() -> None:
    await asyncio.sleep(0)


def test_what_suspends_where_nothing_may_is_named() -> None:
    with pytest.raises(RuntimeError, match="suspending_rule suspended where nothing may"):
        complete(suspending_rule())


def test_a_native_adapter_under_the_synchronous_client_is_named() -> None:
    with pytest.raises(RuntimeError, match="counting suspended"):
        complete(counting(session(Native())))


def test_what_a_rule_raises_comes_out() -> None:
    async def rule() -> None:
        raise BackendRefused("no")

    with pytest.raises(BackendRefused):
        complete(rule())


def test_methods_of_both_kinds_are_finished() -> None:
    assert finished(Flaky().count, Count("docs_1")) == finished(Awaited().count, Count("docs_1")) == 7
    with pytest.raises(RuntimeError, match="count suspended"):
        finished(Native().count, Count("docs_1"))


# ---------------------------------------------------------------- waiting, and being interrupted


async def waiting(asked: Session, seconds: float = 7.5) -> str:
    await asked.wait(seconds)
    return "went on"


@pytest.mark.parametrize("form", FORMS)
def test_seconds_pass_as_the_test_says(form: str) -> None:
    passed: list[float] = []
    assert run(waiting(session(Flaky(), form, pause=passed.append)), form) == "went on"
    assert passed == [7.5]


@pytest.mark.parametrize("form", FORMS)
def test_seconds_pass(form: str) -> None:
    started = time.monotonic()
    run(waiting(session(Flaky(), form), 0.05), form)
    assert time.monotonic() - started >= 0.05


def ingesting(asked: Session, rule: Callable[[Session], Coroutine[Any, Any, Any]], cancelled: threading.Event) -> Any:
    lock = ComputeLock(cancelled)
    with lock.held():
        return complete(rule(for_ingestion(asked, cancelled, lock)))


def test_an_ingestion_that_is_broken_off_does_not_wait_on() -> None:
    cancelled = threading.Event()
    threading.Timer(0.05, cancelled.set).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        ingesting(session(Flaky()), lambda asked: waiting(asked, 600), cancelled)
    assert time.monotonic() - started < 60


def test_an_ingestion_that_is_broken_off_asks_for_nothing_more() -> None:
    cancelled, adapter = threading.Event(), Flaky()

    async def rule(asked: Session) -> None:
        await asked.backend.count(Count("docs_1"))
        cancelled.set()
        try:
            await asked.backend.count(Count("docs_1"))
        except Exception:
            pytest.fail("being interrupted is no error that a rule could handle")

    with pytest.raises(Cancelled):
        ingesting(session(adapter), rule, cancelled)
    assert adapter.calls == 1


def test_an_ingestion_that_is_broken_off_repeats_nothing() -> None:
    cancelled = threading.Event()

    class Breaking(Flaky):
        def count(self, request: Count) -> int:
            cancelled.set()
            return super().count(request)

    adapter = Breaking(BackendUnavailable("not now"))
    asked = session(adapter)
    asked.retry = RetryPolicy(attempts=3, first_wait=600, longest_wait=600, deadline=1e6)
    with pytest.raises(Cancelled):
        ingesting(asked, counting, cancelled)
    assert adapter.calls == 1


async def test_a_cancelled_task_waits_for_its_thread() -> None:
    """A request in flight cannot be left behind: what it does, it does before the task has ended."""
    entered, release = threading.Event(), threading.Event()
    done: list[bool] = []

    class Slow(MemoryAdapter):
        def count(self, request: Count) -> int:
            entered.set()
            release.wait(10)
            done.append(True)
            return 7

    asked = session(Slow(), "threads")
    task = asyncio.ensure_future(counting(asked))
    await asyncio.to_thread(entered.wait, 10)
    task.cancel()
    asyncio.get_running_loop().call_later(0.01, release.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [True]


async def test_a_cancelled_task_cancels_what_is_awaited() -> None:
    entered, gone = asyncio.Event(), asyncio.Event()

    class Slow(MemoryAdapter):
        async def count(self, request: Count) -> int:  # type: ignore[override]  # the contract allows it
            entered.set()
            try:
                await asyncio.sleep(600)
            finally:
                gone.set()
            return 7

    task = asyncio.ensure_future(counting(session(Slow(), "native")))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gone.is_set()


# ---------------------------------------------------------------- alone


@pytest.mark.parametrize("form", ["threads", "native"])
async def test_tasks_do_alone_what_is_done_alone(form: str) -> None:
    asked = session(Native() if form == "native" else Flaky(), form)
    inside: list[int] = []

    async def rule(number: int) -> None:
        async with asked.alone():
            inside.append(number)
            await asked.backend.count(Count("docs_1"))
            await asyncio.sleep(0.001)
            assert inside[-1] == number

    await asyncio.gather(*map(rule, range(5)))
    assert sorted(inside) == list(range(5))


@pytest.mark.parametrize("form", FORMS)
def test_what_fails_alone_lets_the_next_one_in(form: str) -> None:
    async def rule() -> str:
        asked = session(Flaky(), form)
        for _ in range(2):
            with pytest.raises(CollectionNotFound):
                async with asked.alone():
                    await asked.backend.remove(Remove("docs_1", ["record"]))
        async with asked.alone():
            return "in"

    assert run(rule(), form) == "in"

"""Rules that run in threads let the compute lock go wherever they wait: none keeps the others waiting for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from nestvec._session.session import Blocking, Component, ComputeLock, Session, complete, for_ingestion
from nestvec.contract import Count, Encode, Event, Group
from nestvec_testing.memory import MemoryAdapter
from nestvec_testing.recording import RecordingEmbedder, RecordingOptions, capabilities
from nestvec_testing.watchdog import run_watched

ENCODE = Encode((Group("a", "some text", ((0, 9),)),), "retrieval.passage", 16)
THREADS = 3
#: Far more than anything here takes, and less than anybody's patience.
DEADLINE = 20.0


class Meeting:
    """Something slow that is over when all threads are in it at once: nobody may hold the compute lock meanwhile."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(THREADS, timeout=DEADLINE / 2)

    def __call__(self, *_: object) -> None:
        self._barrier.wait()


class MeetingAdapter(MemoryAdapter):
    def __init__(self, meet: Callable[..., None]) -> None:
        super().__init__()
        self.meet = meet

    def count(self, request: Count) -> int:
        self.meet()
        return 7


class MeetingEmbedder(RecordingEmbedder):
    def __init__(self, meet: Callable[..., None]) -> None:
        super().__init__()
        self.meet = meet

    def encode(self, request: Encode) -> Any:
        self.meet()
        return super().encode(request)


def slowly(meet: Callable[..., None], give: Any) -> Callable[[], Any]:
    async def opened() -> Any:
        meet()
        return give

    return opened


def session(meet: Callable[..., None]) -> Session:
    """One whose every wait is a meeting."""
    adapter = Component[Any](slowly(meet, MeetingAdapter(lambda: None)))
    embedder = Component[Any](slowly(meet, MeetingEmbedder(lambda: None)))
    return Session(
        adapter,
        embedder,
        capabilities(RecordingOptions()),
        meet,
        Blocking(meet),
        make_splitter=slowly(meet, "splitter"),
    )


async def send(asked: Session) -> object:
    return await asked.backend.count(Count("docs_1"))


async def send_to_a_tenant(asked: Session) -> object:
    return await asked.backend.of_tenant("acme").count(Count("docs_1"))


async def encode(asked: Session) -> object:
    return len((await asked.encode(ENCODE)).vectors)


async def wait(asked: Session) -> object:
    return await asked.wait(0.1)


async def splitter(asked: Session) -> object:
    return await asked.splitter()


async def emit(asked: Session) -> object:
    return asked.emit(Event("noted"))


#: What a rule can wait for, and what it gives.
WAITS = {send: 7, send_to_a_tenant: 7, encode: 1, wait: None, splitter: "splitter", emit: None}


def together(asked: Session, rule: Callable[[Session], Any], deadline: float = DEADLINE) -> list[object]:
    """Run a rule in several threads that take turns, as an ingestion does."""
    cancelled = threading.Event()
    lock = ComputeLock(cancelled)
    mine = for_ingestion(asked, cancelled, lock)

    def work() -> object:
        with lock.held():
            return complete(rule(mine))

    return run_watched([work] * THREADS, deadline=deadline)


@pytest.mark.parametrize("rule", WAITS, ids=lambda rule: rule.__name__)
def test_all_wait_at_once(rule: Any) -> None:
    assert together(session(Meeting()), rule) == [WAITS[rule]] * THREADS


@pytest.mark.parametrize("rule", [send, encode], ids=lambda rule: rule.__name__)
def test_all_wait_at_once_for_what_is_open(rule: Any) -> None:
    meet = Meeting()
    asked = session(lambda *_: None)
    asked.adapter.opened, asked.embedder.opened = MeetingAdapter(meet), MeetingEmbedder(meet)
    assert together(asked, rule) == [WAITS[rule]] * THREADS


@pytest.mark.parametrize("rule", WAITS, ids=lambda rule: rule.__name__)
def test_one_at_a_time_does_what_is_done_alone_and_the_others_wait_without_the_lock(rule: Any) -> None:
    inside: list[int] = []

    async def alone(asked: Session) -> object:
        async with asked.alone():
            inside.append(len(inside))
            before = len(inside)
            found = await rule(asked)
            assert len(inside) == before, "a second rule came in"
            return found

    asked = session(lambda *_: time.sleep(0.01))
    assert together(asked, alone) == [WAITS[rule]] * THREADS
    assert len(inside) == THREADS


def test_while_one_waits_another_computes() -> None:
    """The compute lock is kept while nothing is waited for: what two rules compute never overlaps."""
    inside: list[str] = []

    async def computing(asked: Session) -> None:
        for _ in range(5):
            inside.append("in")
            time.sleep(0.001)  # noqa: ASYNC251 - no event loop here
            assert inside.pop() == "in"
            assert not inside, "two rules compute at once"
            await asked.wait(0.0)

    together(session(lambda *_: None), computing)


class KeepingTheLock(Session):
    """What is wrong with waiting outside of the session."""

    async def acquire(self, waiting: threading.Event, given_up: threading.Event) -> None:
        while not self.lock.acquire(timeout=0.01):
            waiting.set()
            if given_up.is_set():
                raise RuntimeError("given up")


def test_the_watchdog_names_who_keeps_the_lock() -> None:
    """Who runs alone waits to compute, and who computes waits to run alone."""
    waiting, given_up = threading.Event(), threading.Event()

    async def rule(asked: Any) -> None:
        await asked.acquire(waiting, given_up)
        await asked.wait(0.1)
        asked.lock.release()

    good = session(lambda *_: None)
    bad = KeepingTheLock(good.adapter, good.embedder, good.model, good.notify, Blocking(lambda _: waiting.wait()))
    try:
        with pytest.raises(AssertionError, match=r"threads still run after 1\.0 s:\nwatched-\d:\n(.|\n)*in acquire"):
            together(bad, rule, deadline=1.0)
    finally:
        given_up.set()


def test_the_watchdog_gives_answers_and_errors() -> None:
    assert run_watched([lambda: 1, lambda: 2]) == [1, 2]
    with pytest.raises(ZeroDivisionError):
        run_watched([lambda: 1, lambda: 1 // 0])

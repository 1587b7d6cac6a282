"""Locks of tasks and of documents, over threads and event loops that come and go."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from nestvec._client.ingestion import DocumentKey, DocumentTurns
from nestvec._session.loops import TaskLock

A, B = ("docs", None, "a"), ("docs", None, "b")
LOOPS, TASKS = 3, 20


def test_one_task_at_a_time_whatever_its_loop() -> None:
    lock, inside, most = TaskLock(), 0, 0

    async def once() -> None:
        nonlocal inside, most
        await lock.acquire()
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.0005)
        inside -= 1
        lock.release()

    async def often() -> None:
        await asyncio.gather(*(once() for _ in range(TASKS)))

    with ThreadPoolExecutor(LOOPS) as pool:
        for each in [pool.submit(asyncio.run, often()) for _ in range(LOOPS)]:
            each.result(60)
    assert (inside, most) == (0, 1)


def test_a_loop_that_was_closed_holds_nothing() -> None:
    lock, turns = TaskLock(), DocumentTurns()

    async def take() -> None:
        await lock.acquire()
        await turns.take({A})

    asyncio.run(take())
    asyncio.run(asyncio.wait_for(take(), 10))
    with turns.held({A}):
        pass


def test_a_task_that_is_cancelled_while_it_waits_leaves_it_to_others() -> None:
    lock = TaskLock()

    async def cancelled() -> None:
        await lock.acquire()
        waiting = [asyncio.ensure_future(lock.acquire()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        lock.release()
        await asyncio.wait_for(waiting[1], 10)

    asyncio.run(cancelled())


def test_threads_and_tasks_write_one_document_one_after_the_other() -> None:
    turns, together = DocumentTurns(), threading.Barrier(2 * LOOPS)
    inside: set[DocumentKey] = set()
    torn: list[str] = []

    def enter(keys: set[DocumentKey]) -> None:
        if inside & keys:
            torn.append("torn")
        inside.update(keys)

    def thread() -> None:
        together.wait(10)
        for number in range(TASKS):
            keys = {A} if number % 2 else {A, B}
            with turns.held(keys):
                enter(keys)
                inside.difference_update(keys)

    async def task(keys: set[DocumentKey]) -> None:
        async with turns.held_by_task(keys):
            enter(keys)
            await asyncio.sleep(0.0005)
            inside.difference_update(keys)

    async def tasks() -> None:
        await asyncio.gather(*(task({B} if number % 2 else {A, B}) for number in range(TASKS)))

    def loop() -> None:
        together.wait(10)
        asyncio.run(tasks())

    with ThreadPoolExecutor(2 * LOOPS) as pool:
        for each in [pool.submit(how) for how in (thread, loop) for _ in range(LOOPS)]:
            each.result(60)
    assert not torn
    assert not turns._holders


def test_a_task_that_ends_gives_its_documents_back() -> None:
    turns = DocumentTurns()

    async def fails() -> None:
        async with turns.held_by_task({A}):
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        asyncio.run(fails())
    assert not turns._holders


def test_a_coroutine_that_is_thrown_away_gives_nothing_back_that_is_anothers() -> None:
    turns = DocumentTurns()
    loop = asyncio.new_event_loop()

    async def never_ends() -> None:
        async with turns.held_by_task({A}):
            await asyncio.Event().wait()

    task = loop.create_task(never_ends())
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    loop.close()
    with turns.held({A}):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        del task
        gc.collect()
        assert turns._holders == {A: None}

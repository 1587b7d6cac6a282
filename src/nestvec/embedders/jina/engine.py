"""The one event loop of this process on which all requests run, whether the caller waits or awaits.

So rates and concurrency are shared by synchronous and asynchronous clients, and exist once. The loop's thread
starts with the first embedder and ends with the last. After a fork the child gets a loop of its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, Generic, TypeVar

from nestvec.embedders.jina.governor import forget_governors
from nestvec.errors import EmbedderError

T = TypeVar("T")
#: Seconds between looks at whether the caller was interrupted.
_LOOK = 0.05


class Engine:
    """A thread with an event loop. Count users with `enter` and `leave`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def enter(self) -> asyncio.AbstractEventLoop:
        """One more user. Returns the loop that is its home."""
        with self._lock:
            self._users += 1
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_serve, args=(self._loop,), name="nestvec-jina", daemon=True)
                self._thread.start()
            return self._loop

    def serves(self, home: asyncio.AbstractEventLoop) -> bool:
        """Whether that loop is still this process's own: not after a fork."""
        return self._loop is home

    def leave(self, home: asyncio.AbstractEventLoop) -> None:
        """One user less; the last one stops the loop, and what still runs on it ends."""
        with self._lock:
            if self._loop is not home:
                return  # a child closes what its parent opened
            self._users -= 1
            if self._users or self._thread is None:
                return
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
            loop.call_soon_threadsafe(loop.stop)
        thread.join()
        forget_governors(loop)

    def forked(self) -> None:
        """In a child: the thread did not come along, and the lock may have been held."""
        self.__init__()  # type: ignore[misc]  # a fresh start is what is wanted
        forget_governors()

    def run(
        self,
        home: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, T],
        cancelled: Callable[[], bool] | None = None,
    ) -> T:
        """Wait for the work. If the caller is interrupted, the work is cancelled, and its end waited for."""
        job = self._start(home, work)
        interrupted = False
        try:
            while not interrupted and not job.wait(None if cancelled is None else _LOOK):
                interrupted = cancelled is not None and cancelled()
        finally:
            job.stop()
        if interrupted:
            raise EmbedderError("embedding was interrupted; run it again to go on")
        return job.outcome.result()

    async def await_(self, home: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
        """Await the work from another loop. Cancelling it cancels the work, and waits for its end."""
        job = self._start(home, work)
        try:
            return await asyncio.wrap_future(job.outcome)
        except asyncio.CancelledError:
            await asyncio.to_thread(job.stop)
            raise

    def _start(self, home: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> _Job[T]:
        with self._lock:
            if self._loop is not home:
                work.close()
                raise EmbedderError("this embedder is closed, or its process was forked; connect again")
            return _Job(work, home)


class _Job(Generic[T]):
    """A piece of work on the engine's loop. `outcome` is settled before it counts as ended."""

    def __init__(self, work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> None:
        self.outcome: Future[T] = Future()
        self._work, self._loop = work, loop
        self._ended = threading.Event()
        self._task: asyncio.Task[T] | None = None
        loop.call_soon_threadsafe(self._begin)

    def wait(self, seconds: float | None) -> bool:
        """Whether it ended within that time."""
        return self._ended.wait(seconds)

    def stop(self) -> None:
        """Cancel it if it still runs, and wait until nothing of it does."""
        if self._ended.is_set():
            return
        with suppress(RuntimeError):  # the loop is closed: it has ended
            self._loop.call_soon_threadsafe(self._cancel)
        self._ended.wait()

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._work)
        # Not a coroutine around the work: one that is cancelled before its first step would never say so.
        self._task.add_done_callback(self._settle)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _settle(self, task: asyncio.Task[T]) -> None:
        with suppress(InvalidStateError):  # its awaiter may have gone
            if task.cancelled():
                self.outcome.set_exception(EmbedderError("this embedder was closed while it embedded; connect again"))
            elif (error := task.exception()) is not None:
                self.outcome.set_exception(error)
            else:
                self.outcome.set_result(task.result())
        self._ended.set()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(_wind_up())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _wind_up() -> None:
    """Nobody may wait for ever for what still runs."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


ENGINE = Engine()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ENGINE.forked)

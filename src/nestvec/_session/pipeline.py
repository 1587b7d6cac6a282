"""Many batches through one flow each, a few at a time: while one is written, the next is embedded.

Both forms keep at most `window` batches in memory and yield reports as batches become durable, in order.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

B = TypeVar("B")
R = TypeVar("R")


def run_all(batches: Iterable[B], work: Callable[[B], R], *, window: int, cancelled: threading.Event) -> Iterator[R]:
    """Run `work` on every batch in up to `window` threads.

    On an error, Ctrl-C included, no further batch starts, those under way stop before their next request, and
    the error is raised when they have.
    """
    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(window, thread_name_prefix="nestvec") as pool:
        try:
            for batch in batches:
                pending.append(pool.submit(work, batch))
                if len(pending) >= window:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BaseException:
            cancelled.set()
            # The first error is the one that is raised; a rerun mends whatever the others left.
            wait([future for future in pending if not future.cancel()])
            raise


async def run_all_async(
    batches: Iterable[B] | AsyncIterator[B], work: Callable[[B], Awaitable[R]], *, window: int
) -> AsyncIterator[R]:
    """The asynchronous form: up to `window` tasks; cancelling it cancels them and waits for their end."""
    pending: deque[asyncio.Future[R]] = deque()
    try:
        async for batch in _each(batches):
            pending.append(asyncio.ensure_future(work(batch)))
            if len(pending) >= window:
                yield await pending[0]
                pending.popleft()
        while pending:
            yield await pending[0]
            pending.popleft()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def _each(batches: Iterable[B] | AsyncIterator[B]) -> AsyncIterator[B]:
    if isinstance(batches, AsyncIterator):
        async for batch in batches:
            yield batch
    else:
        for batch in batches:
            yield batch


class Batcher(Generic[B]):
    """Groups items: at most `size` of them, and at most `heaviest` in weight unless one alone is heavier."""

    def __init__(self, size: int, weight: Callable[[B], int], heaviest: int) -> None:
        self._size, self._weight, self._heaviest = size, weight, heaviest
        self._batch: list[B] = []
        self._load = 0

    def add(self, item: B) -> list[B] | None:
        """Take an item; returns the batch that it completes, if any."""
        weight = self._weight(item)
        full = len(self._batch) >= self._size or self._load + weight > self._heaviest
        done = self.flush() if self._batch and full else None
        self._batch.append(item)
        self._load += weight
        return done

    def flush(self) -> list[B]:
        """What has gathered; may be empty."""
        batch, self._batch, self._load = self._batch, [], 0
        return batch

"""What tasks wait for, over several event loops: a client may be used in one after the other, or in several."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress


class TaskLock:
    """A lock for tasks, of whatever loops they are. A loop that was closed holds it no longer."""

    __slots__ = ("_guard", "_holder", "_waiting")

    def __init__(self) -> None:
        self._guard = threading.RLock()  # what the garbage collector calls meanwhile passes
        self._holder: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = deque()

    async def acquire(self) -> None:
        """Suspends while another task holds it."""
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        while not self._taken(loop, woken):
            await woken.wait()
            woken.clear()

    def release(self) -> None:
        """By whom it was acquired, in the same loop."""
        with self._guard:
            self._holder = None
            waiting, self._waiting = self._waiting, deque()
        for loop, woken in waiting:
            wake(loop, woken)

    def _taken(self, loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> bool:
        with self._guard:
            if self._holder is None or self._holder.is_closed():
                self._holder = loop
                return True
            self._waiting.append((loop, woken))
            return False


def wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    """Set an event of a loop, from whatever thread."""
    with suppress(RuntimeError):  # the loop was closed, and nobody waits in it any more
        loop.call_soon_threadsafe(event.set)

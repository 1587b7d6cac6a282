"""Waiting on the server's loop, ended early when the server stops."""

from __future__ import annotations

import asyncio
import threading
from typing import Any


class Waits:
    """All that wait now. `end` and `reopen` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended = False
        self._waiting: set[asyncio.Future[None]] = set()

    async def until(self, event: asyncio.Future[Any] | None = None, seconds: float | None = None) -> bool:
        """Wait for `event` at most so many seconds; whether it came. The event is never cancelled."""
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._ended:
                return event is not None and event.done()
            self._waiting.add(end)
        both = [end] if event is None else [end, event]
        try:
            await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            with self._lock:
                self._waiting.discard(end)
        return event is not None and event.done()

    def end(self) -> None:
        """Let everything go on, and nothing wait from now on."""
        with self._lock:
            self._ended = True
            waiting = tuple(self._waiting)
        for each in waiting:
            each.get_loop().call_soon_threadsafe(_finish, each)

    def reopen(self) -> None:
        """Wait again from now on."""
        with self._lock:
            self._ended = False


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)

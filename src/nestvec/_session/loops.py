"""What tasks wait for, over several event loops: a client may be used in one loop after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Something of asyncio's, which belongs to one event loop: made anew in each loop that asks for it.

    Of a loop that has ended nothing is waited for any more. What is asked for in two loops at a time is not the same.
    """

    __slots__ = ("_loop", "_made", "_make")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._loop: asyncio.AbstractEventLoop | None = None
        self._made: T | None = None

    def get(self) -> T:
        """That of the running loop."""
        loop = asyncio.get_running_loop()
        if self._made is None or self._loop is not loop:
            self._loop, self._made = loop, self._make()
        return self._made


class TaskLock:
    """An `asyncio.Lock` of whatever loop it is used in."""

    __slots__ = ("_locks",)

    def __init__(self) -> None:
        self._locks = PerLoop(asyncio.Lock)

    async def acquire(self) -> None:
        """Suspends while another task holds it."""
        await self._locks.get().acquire()

    def release(self) -> None:
        """By whom it was acquired, in the same loop."""
        self._locks.get().release()

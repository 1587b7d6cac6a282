"""What can go wrong with a request.

Each fault says what the client gets to see. `applied` says whether the request is carried out nonetheless: the
client then sees a failure of something that took effect, which is what retries must survive.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Protocol

from nestvec_testing.emulators.replies import NOTHING, HttpReply
from nestvec_testing.emulators.waits import Waits


class Course(Protocol):
    """What a fault can do about the request that it hits."""

    @property
    def raw(self) -> bytes:
        """The request's body."""

    @property
    def waits(self) -> Waits:
        """For waiting."""

    async def answer(self) -> HttpReply:
        """Carry the request out, once however often it is asked for."""

    def refuse(self, status: int, message: str, headers: Mapping[str, str]) -> HttpReply:
        """An error in the service's own shape."""


@dataclass(frozen=True, kw_only=True)
class Fault(ABC):
    """Something that goes wrong with one request."""

    applied: bool = False

    async def strike(self, course: Course) -> HttpReply:
        """What the client gets (on the server's loop)."""
        if self.applied:
            await course.answer()
        return await self._reply(course)

    @abstractmethod
    async def _reply(self, course: Course) -> HttpReply: ...


@dataclass(frozen=True, kw_only=True)
class HttpStatus(Fault):
    """An error status in the service's own shape of errors.

    `retry_after` (seconds, or an HTTP date) sets the header; `headers` are further ones.
    """

    status: int
    message: str = "injected by a test"
    retry_after: float | str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    async def _reply(self, course: Course) -> HttpReply:
        wait = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        return course.refuse(self.status, self.message, {**dict(self.headers), **wait})


@dataclass(frozen=True, kw_only=True)
class Cut(Fault):
    """The connection is closed without a byte: before the request took effect, or after it (`applied`)."""

    async def _reply(self, course: Course) -> HttpReply:
        return NOTHING


@dataclass(frozen=True, kw_only=True)
class CutShort(Fault):
    """The connection is closed in the middle of the reply, after that share (0 to 1) of its body."""

    applied: bool = True
    share: float = 0.5

    async def _reply(self, course: Course) -> HttpReply:
        reply = await course.answer()
        return replace(reply, cut=int(len(reply.body) * self.share))


@dataclass(frozen=True, kw_only=True)
class Malformed(Fault):
    """A whole reply that is not the promised JSON: `content`, or else the first half of the right one."""

    applied: bool = True
    content: bytes | None = None
    status: int = 200

    async def _reply(self, course: Course) -> HttpReply:
        if self.content is not None:
            return HttpReply(200, ((b"content-type", b"application/json"),)).with_body(self.status, self.content)
        reply = await course.answer()
        return reply.with_body(self.status, reply.body[: len(reply.body) // 2] or b"{")


@dataclass(frozen=True, kw_only=True)
class Delay(Fault):
    """The reply comes so many seconds late. `applied`: the request is carried out at once, else after the wait."""

    applied: bool = True
    seconds: float

    async def _reply(self, course: Course) -> HttpReply:
        await course.waits.until(seconds=self.seconds)
        return await course.answer()


@dataclass(frozen=True, kw_only=True, eq=False)
class Hold(Fault):
    """The request is kept back until `release()` is called; then it goes its normal way.

    `arrived` is set when the first held request is there, so no test has to sleep. Requests that are still held
    when the emulator stops are released.
    """

    arrived: threading.Event = field(default_factory=threading.Event)
    _released: Future[None] = field(default_factory=Future, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def release(self) -> None:
        """Let all held requests go on. May be called from any thread, and more than once."""
        with self._lock:
            if not self._released.done():
                self._released.set_result(None)

    async def _reply(self, course: Course) -> HttpReply:
        self.arrived.set()
        await course.waits.until(asyncio.wrap_future(self._released))
        return await course.answer()


@dataclass(frozen=True, kw_only=True, eq=False)
class Meet(Fault):
    """Requests wait for each other until `number` of them are in flight together; then all go on.

    A request that waits in vain is answered with 503 after so many seconds.
    """

    number: int
    seconds: float = 10.0
    _waiting: list[asyncio.Future[None]] = field(default_factory=list, repr=False)

    async def _reply(self, course: Course) -> HttpReply:
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        if len(self._waiting) >= self.number:
            for each in self._waiting:
                each.set_result(None)
            self._waiting.clear()
        if await course.waits.until(mine, self.seconds):
            return await course.answer()
        self._waiting.remove(mine)
        return course.refuse(503, "nobody came", {})

"""The asynchronous driver, and worker threads for plugins that have only the synchronous form."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import tenacity

from nestvec._collections.following import Via
from nestvec._collections.opening import Alone, Emit, Request, Splitting, T, Wait
from nestvec._migration.copy import At
from nestvec._session.retry import RetryPolicy, require_in_time, retried
from nestvec.capabilities import ModelCapabilities
from nestvec.contract import Adapter, AsyncAdapter, AsyncEmbedder, Embedder, Encode, Encoded, Event
from nestvec.encoding.encoder import finish, widen
from nestvec.errors import NestvecError

if TYPE_CHECKING:
    from nestvec._chunking import Splitter

R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class AsyncPorts:
    """Where requests go. A synchronous plugin is called in worker threads, a native one awaited."""

    embedder: Callable[[], Awaitable[AsyncEmbedder | Embedder]]
    adapter: Callable[[], Awaitable[AsyncAdapter | Adapter]]
    model: ModelCapabilities
    notify: Callable[[Event], None]
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    clock: Callable[[], float] = time.monotonic
    #: Held while a flow runs `Alone`. One for each handle.
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: Called with the seconds of a `Wait`, for tests: instead of letting them pass.
    pause: Callable[[float], object] | None = None
    #: What splits documents, for flows that ask for it.
    splitter: Callable[[], Awaitable[Splitter]] | None = None

    async def answer(self, request: Request) -> Any:
        """Perform one request."""
        if isinstance(request, Emit):
            return self.notify(request.event)
        if isinstance(request, Alone):
            async with self.alone:
                return await run(request.flow(), self)
        if isinstance(request, Wait):
            return await self._wait(request.seconds)
        if isinstance(request, Splitting):
            assert self.splitter is not None  # noqa: S101 - whoever runs such a flow gives one
            return await self.splitter()
        if isinstance(request, Encode):
            return await self._encode(request)
        adapter = await self.adapter()
        require_in_time(request, self.clock)
        retrying = tenacity.AsyncRetrying(**self.retry.controllers(self.notify, request, self.clock))  # type: ignore[arg-type]
        return await retrying(call, adapter, request.method, request)

    async def _wait(self, seconds: float) -> None:
        if self.pause is None:
            await asyncio.sleep(seconds)
            return
        self.pause(seconds)
        await asyncio.sleep(0)

    async def _encode(self, request: Encode) -> Encoded:
        asked = widen(request, self.model)
        embedder = await self.embedder()
        reply = await call(embedder, "encode", asked)
        if reply.usage.retries:
            self.notify(retried(request, reply))
        return finish(request, reply, self.model, embedder.rotation())


async def call(plugin: object, method: str, *arguments: Any) -> Any:
    """Call a plugin's method: awaited if native, else in a worker thread.

    A cancelled task waits for the thread's call to end: a request in flight can not be left behind.
    """
    bound = getattr(plugin, method)
    if isinstance(plugin, AsyncAdapter | AsyncEmbedder):
        return await bound(*arguments)
    work = asyncio.ensure_future(asyncio.to_thread(bound, *arguments))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


@dataclass(frozen=True, slots=True)
class AsyncPairPorts:
    """Two places, for flows that say with each request where it goes."""

    source: AsyncPorts
    target: AsyncPorts

    async def answer(self, request: At) -> Any:
        """Perform one request where it belongs."""
        return await (self.source if request.side == "source" else self.target).answer(request.request)


@dataclass(frozen=True, slots=True)
class AsyncManyPorts:
    """The places where a collection may be, for flows that follow it."""

    places: Sequence[AsyncPorts]

    async def answer(self, request: Via) -> Any:
        """Perform one request where it belongs."""
        return await self.places[request.place].answer(request.request)


class AsyncAnswers(Protocol[R_contra]):
    """Where a flow's requests go: `AsyncPorts`, `AsyncPairPorts`, or whoever else answers its kind of requests."""

    async def answer(self, request: R_contra) -> Any:
        """Perform one request."""


async def run(flow: Generator[R, Any, T], ports: AsyncAnswers[R]) -> T:
    """Drive a flow to its result."""
    try:
        request = next(flow)
        while True:
            try:
                answer = await ports.answer(request)
            except NestvecError as error:
                request = flow.throw(error)
            else:
                request = flow.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()

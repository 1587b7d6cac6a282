"""One surface over both clients: what is asynchronous runs on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Literal, TypeAlias

from nestvec._session.session import finished

Driver: TypeAlias = Literal["sync", "async"]
DRIVERS: tuple[Driver, ...] = ("sync", "async")


class Loop:
    """An event loop in the background. Started at first use; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine there and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._started()).result()

    def settle(self, value: Any) -> Any:
        """What an asynchronous call gave, finished: coroutines awaited, iterators of pages read into lists."""
        if inspect.iscoroutine(value):
            return self.run(value)
        if isinstance(value, AsyncIterator):
            return self.run(_gather(value))
        return list(value) if isinstance(value, Iterator) else value

    def ask(self, native: bool, method: Callable[..., Any], *arguments: Any) -> Any:
        """The answer of a plugin's method: awaited there if the plugin is `native`, else called here and now.

        Raises `RuntimeError` if it suspends and is not native.
        """
        return self.run(_awaited(method, *arguments)) if native else finished(method, *arguments)

    def close(self) -> None:
        """Stop it. Safe to call twice."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_serve, args=(self._loop,), name="nestvec-kit", daemon=True)
                self._thread.start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        # Runner closes generators and the executor of worker threads; `stop` ends the wait.
        loop = runner.get_loop()
        loop.run_forever()


async def _awaited(method: Callable[..., Any], *arguments: Any) -> Any:
    answer = method(*arguments)
    return await answer if inspect.isawaitable(answer) else answer


async def _gather(pages: AsyncIterator[Any]) -> list[Any]:
    return [page async for page in pages]


class Facade:
    """The methods of a client or a handle, synchronous or not, called alike. Lists stand for iterators."""

    def __init__(self, target: Any, loop: Loop) -> None:
        self.target = target
        self._loop = loop

    def __repr__(self) -> str:
        return repr(self.target)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.target, name)
        if not callable(value):
            return value

        def call(*arguments: Any, **options: Any) -> Any:
            answer = self._loop.settle(value(*arguments, **options))
            return Facade(answer, self._loop) if name == "namespace" else answer

        return call

"""A small base for plugins: a vendor's client whose methods are awaited, and whose errors are nestvec's."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from nestvec.errors import BackendRefused, NestvecError
from nestvec.masking import presentable

if TYPE_CHECKING:
    import asyncio

C = TypeVar("C")
#: What users asked for, where the contract has a word of its own.
_IN_MESSAGES = {"create_extended": "create", "query_staged": "query"}


def method_in_messages(request: object | None) -> str:
    """What errors and events call a request; None stands for asking what the backend can do."""
    method: str = getattr(request, "method", "capabilities")
    return _IN_MESSAGES.get(method, method)


@dataclass(frozen=True, slots=True)
class ErrorContext:
    """What a message about a failed request says: the backend in words, the request's method, and the collection."""

    place: str
    embedded: bool = False
    method: str = "connect"
    collection: str | None = None

    @property
    def request(self) -> str:
        """For messages: `write on collection 'docs_1'`."""
        return f"{self.method} on collection {self.collection!r}" if self.collection else self.method


class VendorClient(Generic[C]):
    """A vendor's client, blocking or asynchronous, of which every method is awaited.

    An adapter is written once, over the asynchronous client's methods. A blocking client with the same methods serves
    it as well: awaiting one of them never suspends, so the synchronous client needs no event loop.

        found = await self.client.on_behalf_of(request).count(collection_name=request.physical)

    `C` is the type of the asynchronous client, for type checkers. `errors` are the exceptions that the client raises;
    `translate` makes nestvec's of them. `lock` is held during each call, for an engine that is not safe for threads:
    blocking clients only. What a call gives is awaited if the client is not `blocking`.

    An asynchronous client belongs to the event loop of its first call. Once that loop is closed, as after
    `asyncio.run`, `reopen` makes a new one for the next loop. A second loop beside the first one is refused.
    """

    def __init__(
        self,
        client: Any,
        *,
        blocking: bool,
        place: str,
        errors: tuple[type[Exception], ...],
        translate: Callable[[Exception, ErrorContext], NestvecError],
        embedded: bool = False,
        lock: AbstractContextManager[Any] | None = None,
        reopen: Callable[[], Any] | None = None,
    ) -> None:
        self.raw: Any = client
        self.blocking = blocking
        self.place = place
        self.embedded = embedded
        self.closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reopen = reopen
        self._errors = errors
        self._translate = translate
        self._lock: AbstractContextManager[Any] = nullcontext() if lock is None else lock

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.place}>"

    def on_behalf_of(self, request: object | None) -> C:
        """The client, for calls that serve this request: errors name its method and collection."""
        return cast(C, _Calls(self, request))

    async def call(self, request: object | None, method: str, /, **arguments: Any) -> Any:
        """Call a method of the client by its dotted path, and give what it returns."""
        with self._lock:
            if self.closed:
                context = self.context(request)
                raise BackendRefused(f"{context.place} was closed before {context.request}; connect again")
            self._require_loop(self.context(request))
            try:
                found = attrgetter(method)(self.raw)(**arguments)
                return found if self.blocking else await found
            except self._errors as error:
                mapped = self._translate(error, self.context(request))
                raise mapped from presentable(mapped.__cause__ or error)

    def _require_loop(self, context: ErrorContext) -> None:
        """Be a client of the running event loop. Raises `BackendRefused` where it belongs to another one."""
        if self.blocking:
            return
        loop = _running_loop()
        if self._loop is None or self._loop is loop:
            self._loop = loop
            return
        if self._reopen is None or not self._loop.is_closed():
            raise _of_another_loop(self._loop, context)
        # The old one cannot be closed without its loop. What it held ends with it.
        self.raw, self._loop = self._reopen(), loop

    async def sleep(self, seconds: float) -> None:
        """Let seconds pass before the next call: blocking or suspending, as the client does."""
        if self.blocking:
            time.sleep(seconds)  # noqa: ASYNC251 - no event loop here
        else:
            import asyncio  # late: a blocking client starts without it

            await asyncio.sleep(seconds)

    def context(self, request: object | None) -> ErrorContext:
        """What errors say of a request; None stands for asking what the backend can do."""
        method = method_in_messages(request)
        collection = getattr(request, "physical", None) or getattr(request, "name", None)
        return ErrorContext(self.place, self.embedded, method, collection)

    async def close(self) -> None:
        """Close the client. Safe to call twice. Raises `BackendRefused` in another event loop than the client's.

        Of a loop that is closed there is nothing left to close.
        """
        with self._lock:
            if self.closed:
                return
            if self._loop is not None and self._loop is not _running_loop():
                if not self._loop.is_closed():
                    raise _of_another_loop(self._loop, ErrorContext(self.place, self.embedded, "close"))
                self.closed, self.raw = True, None
                return
            self.closed = True
            closing = self.raw.close()
        if not self.blocking and closing is not None:
            await closing


def _running_loop() -> asyncio.AbstractEventLoop:
    import asyncio

    return asyncio.get_running_loop()


def _of_another_loop(loop: asyncio.AbstractEventLoop, context: ErrorContext) -> BackendRefused:
    state = "is closed" if loop.is_closed() else "still runs" if loop.is_running() else "was not closed"
    return BackendRefused(
        f"{context.place}: {context.request} came in another event loop than the one that this asynchronous client "
        f"belongs to, which {state}; use a client of its own in each event loop (async with nestvec.aconnect(…)), or "
        f"everything in one asyncio.run"
    )


class _Calls:
    """The methods of a client, each through `VendorClient.call`. To type checkers it is the client itself."""

    __slots__ = ("_client", "_request")

    def __init__(self, client: VendorClient[Any], request: object | None) -> None:
        self._client, self._request = client, request

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return partial(self._client.call, self._request, method)

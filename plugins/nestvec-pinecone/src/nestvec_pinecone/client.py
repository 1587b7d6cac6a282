"""The SDK's clients, opened when they are first needed, and waiting in the form that suits them.

All that depends on the SDK's inside is here.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import quote

from nestvec.contract import VendorClient
from nestvec.contract.replies import limit_replies
from nestvec.errors import BackendRefused, NestvecError, SecretError
from nestvec.masking import presentable
from nestvec_pinecone.errors import VENDOR_ERRORS, NoNamespace, Option, translate
from nestvec_pinecone.options import PineconeOptions, checked_address

T = TypeVar("T")

#: Where the control plane is. Said explicitly: the SDK would let an environment variable decide.
PINECONE: Final = "https://api.pinecone.io"
#: The SDK's clients for one index have no method that sends a ready body or that shows a deletion's headers.
POST: Final = "_http.post"

_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 1.0
#: Seconds of silence while somebody waits.
_SILENCE: Final = 10.0
#: Ids travel in the address, which must not become too long: servers and proxies begin to refuse at 8 KB.
_IDS: Final = 100
_LENGTH: Final = 6000
_NAME: Final = len("ids=&")


class PineconeClient:
    """The control plane (host None) and the indexes of one Pinecone.

    Its methods never suspend if it is `blocking`; then it is safe for threads. Deadlines are measured with `clock`, in
    seconds. Raises `SecretError` for a key that is missing or cannot be sent.
    """

    def __init__(self, options: PineconeOptions, *, blocking: bool) -> None:
        self.options = options
        self.blocking = blocking
        self.clock: Callable[[], float] = time.monotonic
        self._key = read_key(options)
        self._clients: dict[str | None, VendorClient[Any]] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._closed = False

    async def call(self, request: object, host: str | None, method: str, /, **arguments: Any) -> Any:
        """Call a method of the SDK's client by its dotted path. Errors name the request's method and collection."""
        client = self._clients.get(host) or self._opened(request, host)
        return await client.call(request, method, **arguments)

    async def together(self, request: object, host: str, method: str, many: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Call it several times, some at a time: results in order, None where nothing was ever written to a namespace.

        If some fail, it is with the error of one.
        """

        async def one(arguments: Mapping[str, Any]) -> Any:
            try:
                return await self.call(request, host, method, **arguments)
            except NoNamespace:
                return None

        if not self.blocking:
            return await _gathered(one, many, self.options.concurrency)
        if len(many) < 2:
            return [await one(each) for each in many]
        return list(self._workers().map(lambda each: _completed(one(each)), many))

    async def fetch(self, request: object, host: str, wanted: Sequence[tuple[str, str]]) -> list[Any]:
        """The SDK's vectors for (namespace, id); missing ones are left out."""
        parts = [
            {"ids": list(part), "namespace": space}
            for space in dict.fromkeys(space for space, _ in wanted)
            for part in in_address([key for each, key in wanted if each == space])
        ]
        replies = await self.together(request, host, "fetch", parts)
        return [vector for reply in replies if reply is not None for vector in reply.vectors.values()]

    async def until(
        self,
        check: Callable[[], Awaitable[bool]],
        seconds: float,
        late: Callable[[], NestvecError],
        waiting: Callable[[float], None] | None = None,
    ) -> None:
        """Ask at growing distances until the answer is yes. Raises `late()` after so many seconds.

        `waiting` hears now and then how many have passed.
        """
        started, told, pause = self.clock(), 0.0, _FIRST_PAUSE
        while not await check():
            waited = self.clock() - started
            if waited >= seconds:
                raise late()
            if waiting is not None and waited - told >= _SILENCE:
                told = waited
                waiting(waited)
            await self.sleep(min(pause, seconds - waited))
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def sleep(self, seconds: float) -> None:
        """Let time pass, and others run where there is an event loop."""
        if self.blocking:
            time.sleep(seconds)  # noqa: ASYNC251 - no event loop here
        else:
            await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Close all connections. Safe to call twice."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
        for client in list(self._clients.values()):
            await client.close()

    def _opened(self, request: object, host: str | None) -> VendorClient[Any]:
        with self._lock:
            if host not in self._clients:
                self._clients[host] = self._new(request, host)
            return self._clients[host]

    def _new(self, request: object, host: str | None) -> VendorClient[Any]:
        """A client; once all are closed one that is closed, too, and says so when it is used."""
        mapped = partial(translate, option=self._option(host))
        address = None if host is None else self._named(host)
        opening = partial(open_client, self.options, self._key, address, blocking=self.blocking)
        client = VendorClient[Any](
            None,
            blocking=self.blocking,
            place=self.options.place,
            errors=VENDOR_ERRORS,
            translate=mapped,
            reopen=opening,
        )
        client.closed = self._closed
        try:
            if not self._closed:
                client.raw = opening()
        except VENDOR_ERRORS as error:
            raise mapped(error, client.context(request)) from presentable(error)
        return client

    def _named(self, host: str) -> str:
        """An index's address, as the control plane names it. Raises `BackendRefused` before the key is sent there."""
        try:
            address = checked_address(host)
            self.options.check_key_is_safe(address)
        except ValueError as error:
            raise BackendRefused(
                f"{self.options.place} names an index at an address that nestvec does not send the key to: {error}"
            ) from error
        return address

    def _option(self, host: str | None) -> Option | None:
        """The option that says where requests to a host go, if somebody wrote that down."""
        if self.options.index_host is not None:
            return "index_host"
        return "control_host" if host is None and self.options.control_host is not None else None

    def _workers(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.options.concurrency, thread_name_prefix="nestvec-pinecone")
            return self._pool


def in_address(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Runs of ids that fit into an address together. Somebody else's may be long."""
    part, length = list[str](), 0
    for each in ids:
        size = len(quote(each, safe="")) + _NAME
        if part and (len(part) == _IDS or length + size > _LENGTH):
            yield part
            part, length = [], 0
        part.append(each)
        length += size
    if part:
        yield part


def open_client(options: PineconeOptions, key: str, host: str | None, *, blocking: bool) -> Any:
    """The SDK's client of one index, or (None) of the control plane. Connects at the first request.

    Where there is no TLS, certificates are not loaded: that would be in vain, and take longer than anything else here.
    """
    import pinecone

    if host is None:
        host = options.control_host or PINECONE
        control = pinecone.Pinecone if blocking else pinecone.AsyncPinecone
        opened = control(
            api_key=key,
            host=host,
            timeout=options.timeout,
            ssl_verify=not host.startswith("http://"),
            retry_config=pinecone.RetryConfig(max_retries=0),
        )
        _bounded(opened, options, blocking)
        return opened
    kind = pinecone.Index if blocking else pinecone.AsyncIndex
    index = kind(host=host, api_key=key, timeout=options.timeout, ssl_verify=not host.startswith("http://"))
    _without_retries(index)
    _bounded(index, options, blocking)
    return index


def read_key(options: PineconeOptions) -> str:
    """The API key. Raises `SecretError`."""
    key = options.api_key.reveal("api_key of the Pinecone backend")
    if not (key.isascii() and key.isprintable()):
        # Checked here, because the error of whoever sends it may hold the key.
        raise SecretError("the api_key of the Pinecone backend holds characters that no HTTP header can carry")
    return key


def _without_retries(index: Any) -> None:
    """Exactly one layer retries, and it is not this one; clients of an index take no setting for it.

    A client that would retry keeps its connections apart from what replaces it here: nothing was sent yet.
    """
    import pinecone
    from pinecone._internal.constants import DATA_PLANE_API_VERSION

    unused = index._http  # noqa: SLF001
    config = replace(index._config, retry_config=pinecone.RetryConfig(max_retries=0))  # noqa: SLF001
    index._http = type(unused)(config, DATA_PLANE_API_VERSION)  # noqa: SLF001
    if isinstance(index, pinecone.Index):
        unused.close()


def _bounded(client: Any, options: PineconeOptions, blocking: bool) -> None:
    """Let no reply be longer, or take longer, than the options say. The asynchronous client makes its own late."""
    http = client._http  # noqa: SLF001
    limit_replies(http._client if blocking else http._ensure_client(), options.max_reply)  # noqa: SLF001


def _completed(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine over a blocking client gives."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError(f"{coroutine!r} suspended, but its client is a blocking one")


async def _gathered(work: Callable[[T], Coroutine[Any, Any, Any]], many: Sequence[T], most: int) -> list[Any]:
    """Work on all, at most so many at a time. Whoever fails, or is cancelled, cancels the others."""
    gate = asyncio.Semaphore(most)

    async def one(each: T) -> Any:
        async with gate:
            return await work(each)

    tasks = [asyncio.ensure_future(one(each)) for each in many]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()

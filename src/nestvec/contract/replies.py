"""Replies of servers, bounded: how many bytes they have, packed and unpacked, and how long they take as a whole.

For plugins whose client is httpx, their own or inside an SDK. What depends on the inside of httpx and httpcore is here.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

import httpcore
import httpx

from nestvec._limits import in_bytes
from nestvec.masking import chained

_GZIP = 31
_PACKED = ("gzip", "x-gzip")


class ReplyTooLarge(httpx.ReadError):
    """A reply has more bytes than the setting allows; the message says so, without the host."""


def limit_replies(client: httpx.Client | httpx.AsyncClient, most: int, setting: str = "max_reply") -> None:
    """Give up on replies of more than `most` bytes, or that take longer than the client's timeout for reading.

    Before a client's first request. It then asks for gzip at most, which is unpacked no further than that. Raises
    `ReplyTooLarge` and `httpx.ReadTimeout` where somebody reads such a reply. `setting` is what messages name.
    """
    bounded: Any = _Bounded if isinstance(client, httpx.Client) else _AsyncBounded
    client._transport = bounded(client._transport, most, setting)  # noqa: SLF001 - made already, perhaps by an SDK
    mounts: dict[Any, Any] = client._mounts  # noqa: SLF001
    for pattern, mounted in mounts.items():
        if mounted is not None:
            mounts[pattern] = bounded(mounted, most, setting)


def too_large(error: BaseException | None) -> ReplyTooLarge | None:
    """The `ReplyTooLarge` that an SDK's error stands for, if it does."""
    chain = () if error is None else chained(error, suppressed=True)
    return next((each for each in chain if isinstance(each, ReplyTooLarge)), None)


class _Reading:
    """Since when a reply is being read, and until when it may be."""

    def __init__(self, request: httpx.Request) -> None:
        self.seconds: float | None = request.extensions.get("timeout", {}).get("read")
        self._until: float | None = None

    def left(self) -> float | None:
        """Seconds for the next read. Raises `httpcore.ReadTimeout` where there are none."""
        if self.seconds is None:
            return None
        if self._until is None:
            self._until = time.monotonic() + self.seconds
        left = self._until - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout(f"the reply was not whole after {self.seconds:g} seconds")
        return left


#: What is read in this thread or task. The connection does not know whose bytes it reads.
_READING: ContextVar[_Reading | None] = ContextVar("nestvec_reading", default=None)


def _timeout(usual: float | None) -> float | None:
    reading = _READING.get()
    left = reading.left() if reading is not None else None
    return usual if left is None else min(left, usual if usual is not None else left)


class _Body:
    """Counts the bytes of one reply, and unpacks them."""

    def __init__(self, response: httpx.Response, most: int, setting: str) -> None:
        self._most, self._setting = most, setting
        self._packed = self._unpacked = 0
        coding = response.headers.pop("content-encoding", "identity").strip().lower()
        if coding not in (*_PACKED, "identity", ""):
            raise httpx.DecodingError(f"the reply is packed as {coding!r:.40}, which was not asked for")
        self._inflate = zlib.decompressobj(_GZIP) if coding in _PACKED else None
        declared = response.headers.get("content-length", "")
        if declared.isdecimal() and len(declared) < 20 and int(declared) > most:
            raise self._too_large()

    def take(self, data: bytes) -> bytes:
        """The next bytes, unpacked. Raises `ReplyTooLarge` and `httpx.DecodingError`."""
        self._packed += len(data)
        if self._packed > self._most:
            raise self._too_large()
        if self._inflate is None:
            return data
        try:
            return self._inflated(data)
        except zlib.error as error:
            raise httpx.DecodingError(f"the reply is no valid gzip: {error}") from error

    def _inflated(self, data: bytes) -> bytes:
        assert self._inflate is not None  # noqa: S101 - asked before
        found = self._inflate.decompress(data, self._most - self._unpacked + 1)
        self._unpacked += len(found)
        if self._unpacked > self._most:
            raise self._too_large()
        return found

    def _too_large(self) -> ReplyTooLarge:
        return ReplyTooLarge(
            f"the reply has more than {in_bytes(self._most)} (unpacked); if that is meant to be, set {self._setting} "
            f"higher"
        )


class _Stream(httpx.SyncByteStream):
    def __init__(self, stream: Any, body: _Body, reading: _Reading) -> None:
        self._stream, self._body, self._reading = stream, body, reading

    def __iter__(self) -> Iterator[bytes]:
        for data in self._stream:
            yield self._body.take(data)
            _READING.set(self._reading)

    def close(self) -> None:
        self._stream.close()


class _AsyncStream(httpx.AsyncByteStream):
    def __init__(self, stream: Any, body: _Body, reading: _Reading) -> None:
        self._stream, self._body, self._reading = stream, body, reading

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._stream:
            yield self._body.take(data)
            _READING.set(self._reading)

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Bounded(httpx.BaseTransport):
    """A transport whose replies are bounded."""

    def __init__(self, inner: httpx.BaseTransport, most: int, setting: str) -> None:
        self._transport, self._most, self._setting = inner, most, setting
        _bound_pool(inner, _Backend)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["accept-encoding"] = "gzip"
        reading = _Reading(request)
        _READING.set(reading)
        response = self._transport.handle_request(request)
        try:
            body = _Body(response, self._most, self._setting)
        except httpx.RequestError as error:
            response.close()
            error.request = request
            raise
        response.stream = _Stream(response.stream, body, reading)
        return response

    def close(self) -> None:
        self._transport.close()


class _AsyncBounded(httpx.AsyncBaseTransport):
    """The same for coroutines."""

    def __init__(self, inner: httpx.AsyncBaseTransport, most: int, setting: str) -> None:
        self._transport, self._most, self._setting = inner, most, setting
        _bound_pool(inner, _AsyncBackend)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["accept-encoding"] = "gzip"
        reading = _Reading(request)
        _READING.set(reading)
        response = await self._transport.handle_async_request(request)
        try:
            body = _Body(response, self._most, self._setting)
        except httpx.RequestError as error:
            await response.aclose()
            error.request = request
            raise
        response.stream = _AsyncStream(response.stream, body, reading)
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


def _bound_pool(transport: Any, wrapper: type[_Backend | _AsyncBackend]) -> None:
    """Let the connections below a transport know of deadlines; one that has none (a test's) is left as it is."""
    while transport is not None and not hasattr(transport, "_pool"):
        transport = getattr(transport, "_transport", None)
    if transport is not None:
        pool = transport._pool  # noqa: SLF001
        pool._network_backend = wrapper(pool._network_backend)  # noqa: SLF001


class _Backend(httpcore.NetworkBackend):
    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(self, *arguments: Any, **more: Any) -> httpcore.NetworkStream:
        return _Connection(self._inner.connect_tcp(*arguments, **more))

    def connect_unix_socket(self, *arguments: Any, **more: Any) -> httpcore.NetworkStream:
        return _Connection(self._inner.connect_unix_socket(*arguments, **more))

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Connection(httpcore.NetworkStream):
    """Reads for no longer than the whole reply may take."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _timeout(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(self, *arguments: Any, **more: Any) -> httpcore.NetworkStream:
        return _Connection(self._inner.start_tls(*arguments, **more))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _AsyncBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, inner: httpcore.AsyncNetworkBackend) -> None:
        self._inner = inner

    async def connect_tcp(self, *arguments: Any, **more: Any) -> httpcore.AsyncNetworkStream:
        return _AsyncConnection(await self._inner.connect_tcp(*arguments, **more))

    async def connect_unix_socket(self, *arguments: Any, **more: Any) -> httpcore.AsyncNetworkStream:
        return _AsyncConnection(await self._inner.connect_unix_socket(*arguments, **more))

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class _AsyncConnection(httpcore.AsyncNetworkStream):
    """The same for coroutines."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
        return await self._inner.read(max_bytes, _timeout(timeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(self, *arguments: Any, **more: Any) -> httpcore.AsyncNetworkStream:
        return _AsyncConnection(await self._inner.start_tls(*arguments, **more))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

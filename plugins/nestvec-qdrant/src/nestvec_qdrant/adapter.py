"""The adapters: clients, and the few lines that drive operations on them."""

from __future__ import annotations

import threading
from collections.abc import Awaitable
from contextlib import AbstractContextManager, nullcontext
from operator import attrgetter
from typing import Any, TypeVar

from nestvec.capabilities import BackendCapabilities
from nestvec.contract import (
    AsyncSingleAdapter,
    BackendRequest,
    SingleAdapter,
)
from nestvec.errors import BackendRefused
from nestvec_qdrant.clients import (
    one_transaction,
    open_local,
    open_server,
    open_server_async,
    without_size_warning,
)
from nestvec_qdrant.errors import VENDOR_ERRORS, Scene, translate
from nestvec_qdrant.operations import Call, Operation, Operations, Transport
from nestvec_qdrant.options import QdrantOptions
from nestvec_qdrant.plugin import capabilities

T = TypeVar("T")


class QdrantAdapter(SingleAdapter):
    """A server, or an engine in this process. Safe for threads; not to be used across a fork."""

    def __init__(self, options: QdrantOptions) -> None:
        self._operations = _operations(options)
        self._client: Any = open_local(options) if options.embedded else open_server(options)
        # The engine in this process is not safe for threads: one operation at a time.
        self._lock: AbstractContextManager[Any] = threading.RLock() if options.embedded else nullcontext()
        self._closed = False

    def __repr__(self) -> str:
        return f"<QdrantAdapter {self._operations.place}>"

    def capabilities(self) -> BackendCapabilities:
        """The declared ones; raises `Unsupported` for a server that is too old."""
        return self._run(self._operations.capabilities(), None)

    def perform(self, request: BackendRequest) -> Any:
        """Run the operation of the request's name."""
        return self._run(getattr(self._operations, request.method)(request), request)

    def close(self) -> None:
        """Close connections, and unlock the folder of an embedded store."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._client.close()

    def _run(self, operation: Operation[T], request: BackendRequest | None) -> T:
        """Drive an operation to its answer."""
        scene = _scene(self._operations, request)
        with self._lock:
            _check_open(self._closed, scene)
            try:
                call = next(operation)
                while True:
                    try:
                        result = self._perform(call)
                    except VENDOR_ERRORS as error:
                        call = operation.throw(translate(error, scene))
                    else:
                        call = operation.send(result)
            except StopIteration as stop:
                answer: T = stop.value
                return answer

    def _perform(self, call: Call) -> Any:
        method = attrgetter(call.method)(self._client)
        if not self._operations.embedded or call.method not in ("upsert", "delete"):
            return method(**call.arguments)
        with without_size_warning(), one_transaction(self._client, call.arguments["collection_name"]):
            return method(**call.arguments)


class AsyncQdrantAdapter(AsyncSingleAdapter):
    """A server. To be used in one event loop."""

    def __init__(self, options: QdrantOptions) -> None:
        self._operations = _operations(options)
        self._client: Any = open_server_async(options)
        self._closed = False

    def __repr__(self) -> str:
        return f"<AsyncQdrantAdapter {self._operations.place}>"

    async def capabilities(self) -> BackendCapabilities:
        """The declared ones; raises `Unsupported` for a server that is too old."""
        return await self._run(self._operations.capabilities(), None)

    async def perform(self, request: BackendRequest) -> Any:
        """Run the operation of the request's name."""
        return await self._run(getattr(self._operations, request.method)(request), request)

    async def close(self) -> None:
        """Close connections."""
        if not self._closed:
            self._closed = True
            await self._client.close()

    async def _run(self, operation: Operation[T], request: BackendRequest | None) -> T:
        """Drive an operation to its answer."""
        scene = _scene(self._operations, request)
        _check_open(self._closed, scene)
        try:
            call = next(operation)
            while True:
                try:
                    result = await self._perform(call)
                except VENDOR_ERRORS as error:
                    call = operation.throw(translate(error, scene))
                else:
                    call = operation.send(result)
        except StopIteration as stop:
            answer: T = stop.value
            return answer

    def _perform(self, call: Call) -> Awaitable[Any]:
        pending: Awaitable[Any] = attrgetter(call.method)(self._client)(**call.arguments)
        return pending


def _operations(options: QdrantOptions) -> Operations:
    transport: Transport = "local" if options.embedded else "grpc" if options.grpc else "rest"
    return Operations(transport, options.place, capabilities(options))


def _scene(operations: Operations, request: BackendRequest | None) -> Scene:
    method = request.method if request is not None else "capabilities"
    collection = getattr(request, "physical", None) or getattr(request, "name", None)
    return Scene(operations.place, operations.embedded, method, collection)


def _check_open(closed: bool, scene: Scene) -> None:
    if closed:
        raise BackendRefused(f"{scene.place} was closed before {scene.request}; connect again")

"""The adapters: connections, and the few lines that drive operations on them."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from nestvec.capabilities import BackendCapabilities
from nestvec.contract import (
    AsyncSingleAdapter,
    BackendRequest,
    SingleAdapter,
)
from nestvec.errors import BackendRefused, NestvecError
from nestvec_milvus.clients import open_lite, open_server, open_server_async
from nestvec_milvus.errors import VENDOR_ERRORS, Scene, check, translate
from nestvec_milvus.operations import Operations
from nestvec_milvus.options import MilvusOptions
from nestvec_milvus.plugin import capabilities
from nestvec_milvus.wire import Call, Operation, Pause, T

_LOG = logging.getLogger(__name__)


class MilvusAdapter(SingleAdapter):
    """A server, or Milvus Lite in this process. Safe for threads; not to be used across a fork."""

    def __init__(self, options: MilvusOptions) -> None:
        self._operations = _operations(options)
        self._client: Any = open_lite(options) if options.embedded else open_server(options)
        # The engine in this process is not safe for threads: one operation at a time.
        self._lock: AbstractContextManager[Any] = threading.RLock() if options.embedded else nullcontext()
        self._closed = False

    def __repr__(self) -> str:
        return f"<MilvusAdapter {self._operations.place}>"

    def capabilities(self) -> BackendCapabilities:
        """What this server can do. Raises `Unsupported` for one that is too old."""
        return self._run(self._operations.capabilities(), None)

    def perform(self, request: BackendRequest) -> Any:
        """Run the operation of the request's name."""
        return self._run(getattr(self._operations, request.method)(request), request)

    def close(self) -> None:
        """Close the connection, and unlock the folder of Milvus Lite."""
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
                step = next(operation)
                while True:
                    try:
                        reply = self._perform(step, scene)
                    except NestvecError as error:
                        step = operation.throw(error)
                    else:
                        step = operation.send(reply)
            except StopIteration as stop:
                answer: T = stop.value
                return answer

    def _perform(self, step: Call | Pause, scene: Scene) -> Any:
        if isinstance(step, Pause):
            _tell(step)
            time.sleep(step.seconds)
            return None
        try:
            reply = self._client.send(step.method, step.request)
        except VENDOR_ERRORS as error:
            raise translate(error, scene) from error
        check(reply, scene)
        return reply


class AsyncMilvusAdapter(AsyncSingleAdapter):
    """A server. To be used in one event loop."""

    def __init__(self, options: MilvusOptions) -> None:
        self._operations = _operations(options)
        self._client: Any = open_server_async(options)
        self._closed = False

    def __repr__(self) -> str:
        return f"<AsyncMilvusAdapter {self._operations.place}>"

    async def capabilities(self) -> BackendCapabilities:
        """What this server can do. Raises `Unsupported` for one that is too old."""
        return await self._run(self._operations.capabilities(), None)

    async def perform(self, request: BackendRequest) -> Any:
        """Run the operation of the request's name."""
        return await self._run(getattr(self._operations, request.method)(request), request)

    async def close(self) -> None:
        """Close the connection."""
        if not self._closed:
            self._closed = True
            closing = self._client.close()
            if closing is not None:
                await closing

    async def _run(self, operation: Operation[T], request: BackendRequest | None) -> T:
        """Drive an operation to its answer."""
        scene = _scene(self._operations, request)
        _check_open(self._closed, scene)
        try:
            step = next(operation)
            while True:
                try:
                    reply = await self._perform(step, scene)
                except NestvecError as error:
                    step = operation.throw(error)
                else:
                    step = operation.send(reply)
        except StopIteration as stop:
            answer: T = stop.value
            return answer

    async def _perform(self, step: Call | Pause, scene: Scene) -> Any:
        if isinstance(step, Pause):
            _tell(step)
            await asyncio.sleep(step.seconds)
            return None
        try:
            reply = await self._client.send(step.method, step.request)
        except VENDOR_ERRORS as error:
            raise translate(error, scene) from error
        check(reply, scene)
        return reply


def _operations(options: MilvusOptions) -> Operations:
    return Operations(options.place, capabilities(options), options.load_timeout, options.cloud, options.version)


def _scene(operations: Operations, request: BackendRequest | None) -> Scene:
    method = request.method if request is not None else "capabilities"
    collection = getattr(request, "physical", None) or getattr(request, "name", None)
    return Scene(operations.place, operations.embedded, method, collection)


def _tell(pause: Pause) -> None:
    if pause.news is not None:
        _LOG.info("%s", pause.news)


def _check_open(closed: bool, scene: Scene) -> None:
    if closed:
        raise BackendRefused(f"{scene.place} was closed before {scene.request}; connect again")

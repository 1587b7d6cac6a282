"""The adapters: clients, and the few lines that drive operations on them."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from operator import attrgetter
from typing import Any, TypeVar

from nestvec.capabilities import BackendCapabilities
from nestvec.contract import (
    AsyncSingleAdapter,
    BackendRequest,
    SingleAdapter,
)
from nestvec.errors import BackendRefused, NestvecError
from nestvec_pinecone.calls import Call, Operation, Pause, Step, Together
from nestvec_pinecone.clients import open_control, open_control_async, open_index, open_index_async, read_key
from nestvec_pinecone.errors import VENDOR_ERRORS, NoNamespace, Scene, translate
from nestvec_pinecone.operations import Operations
from nestvec_pinecone.options import PineconeOptions
from nestvec_pinecone.plugin import capabilities

T = TypeVar("T")


class PineconeAdapter(SingleAdapter):
    """Serverless indexes, or namespaces of one index. Safe for threads; not to be used across a fork."""

    def __init__(self, options: PineconeOptions) -> None:
        self._options = options
        self._operations = Operations(options, capabilities(options))
        self._key = read_key(options)
        self._control: Any = None
        self._indexes: dict[str, Any] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"<PineconeAdapter {self._options.place}>"

    def capabilities(self) -> BackendCapabilities:
        """The declared ones; within one index, only its own metric."""
        return self._run(self._operations.capabilities(), None)

    def perform(self, request: BackendRequest) -> Any:
        """Run the operation of the request's name."""
        return self._run(getattr(self._operations, request.method)(request), request)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            self._closed = True
            clients = [client for client in (self._control, *self._indexes.values()) if client is not None]
            pool, self._pool = self._pool, None
            self._control, self._indexes = None, {}
        if pool is not None:
            pool.shutdown()
        for client in clients:
            client.close()

    def _run(self, operation: Operation[T], request: BackendRequest | None) -> T:
        """Drive an operation to its answer."""
        scene = _scene(self._options, request)
        try:
            step = next(operation)
            while True:
                try:
                    result = self._take(step, scene)
                except NestvecError as error:
                    step = operation.throw(error)
                else:
                    step = operation.send(result)
        except StopIteration as stop:
            answer: T = stop.value
            return answer

    def _take(self, step: Step, scene: Scene) -> Any:
        if isinstance(step, Pause):
            return self._pause(step.seconds)
        if isinstance(step, Call):
            return self._perform(step, scene)
        if len(step.calls) < 2:
            return [self._perform_if_there(call, scene) for call in step.calls]
        return list(self._workers().map(lambda call: self._perform_if_there(call, scene), step.calls))

    def _perform_if_there(self, call: Call, scene: Scene) -> Any:
        try:
            return self._perform(call, scene)
        except NoNamespace:
            return None

    def _perform(self, call: Call, scene: Scene) -> Any:
        try:
            answer = attrgetter(call.method)(self._client(call.host, scene))(**call.arguments)
            return answer.to_list() if call.method == "indexes.list" else answer
        except VENDOR_ERRORS as error:
            raise _mapped(error, scene, self._options, call) from error

    def _pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def _client(self, host: str | None, scene: Scene) -> Any:
        with self._lock:
            _check_open(self._closed, scene)
            if host is None:
                self._control = self._control or open_control(self._options, self._key)
                return self._control
            if host not in self._indexes:
                self._indexes[host] = open_index(self._options, self._key, host)
            return self._indexes[host]

    def _workers(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._options.concurrency, thread_name_prefix="nestvec-pinecone")
            return self._pool


class AsyncPineconeAdapter(AsyncSingleAdapter):
    """The same with the SDK's asynchronous clients. To be used in one event loop."""

    def __init__(self, options: PineconeOptions) -> None:
        self._options = options
        self._operations = Operations(options, capabilities(options))
        self._key = read_key(options)
        self._control: Any = None
        self._indexes: dict[str, Any] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<AsyncPineconeAdapter {self._options.place}>"

    async def capabilities(self) -> BackendCapabilities:
        """The declared ones; within one index, only its own metric."""
        return await self._run(self._operations.capabilities(), None)

    async def perform(self, request: BackendRequest) -> Any:
        """Run the operation of the request's name."""
        return await self._run(getattr(self._operations, request.method)(request), request)

    async def close(self) -> None:
        """Close all connections."""
        self._closed = True
        clients = [client for client in (self._control, *self._indexes.values()) if client is not None]
        self._control, self._indexes = None, {}
        for client in clients:
            await client.close()

    async def _run(self, operation: Operation[T], request: BackendRequest | None) -> T:
        """Drive an operation to its answer."""
        scene = _scene(self._options, request)
        try:
            step = next(operation)
            while True:
                try:
                    result = await self._take(step, scene)
                except NestvecError as error:
                    step = operation.throw(error)
                else:
                    step = operation.send(result)
        except StopIteration as stop:
            answer: T = stop.value
            return answer

    async def _take(self, step: Step, scene: Scene) -> Any:
        if isinstance(step, Pause):
            return await self._pause(step.seconds)
        if isinstance(step, Call):
            return await self._perform(step, scene)
        return await self._together(step, scene)

    async def _together(self, step: Together, scene: Scene) -> list[Any]:
        gate = asyncio.Semaphore(self._options.concurrency)

        async def one(call: Call) -> Any:
            async with gate:
                try:
                    return await self._perform(call, scene)
                except NoNamespace:
                    return None

        tasks = [asyncio.ensure_future(one(call)) for call in step.calls]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    async def _perform(self, call: Call, scene: Scene) -> Any:
        try:
            answer = attrgetter(call.method)(self._client(call.host, scene))(**call.arguments)
            if call.method == "indexes.list":
                answer = answer.to_list()
            return await answer if inspect.isawaitable(answer) else answer
        except VENDOR_ERRORS as error:
            raise _mapped(error, scene, self._options, call) from error

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def _client(self, host: str | None, scene: Scene) -> Any:
        _check_open(self._closed, scene)
        if host is None:
            self._control = self._control or open_control_async(self._options, self._key)
            return self._control
        if host not in self._indexes:
            self._indexes[host] = open_index_async(self._options, self._key, host)
        return self._indexes[host]


def _scene(options: PineconeOptions, request: BackendRequest | None) -> Scene:
    method = request.method if request is not None else "capabilities"
    return Scene(options.place, method, getattr(request, "physical", None) or getattr(request, "name", None))


def _mapped(error: Exception, scene: Scene, options: PineconeOptions, call: Call) -> NestvecError:
    """Errors of our own (an InvalidName is a ValueError, too) stay what they are."""
    if isinstance(error, NestvecError):
        return error
    if options.index_host is not None:
        return translate(error, replace(scene, option="index_host"))
    if options.control_host is not None and call.host is None:
        return translate(error, replace(scene, option="control_host"))
    return translate(error, scene)


def _check_open(closed: bool, scene: Scene) -> None:
    if closed:
        raise BackendRefused(f"{scene.place} was closed before {scene.request}; connect again")

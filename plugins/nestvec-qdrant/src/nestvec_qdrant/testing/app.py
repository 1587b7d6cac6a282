"""The emulator's HTTP face: credentials, limits, faults, the journal; then the operation."""

from __future__ import annotations

import hmac
import importlib.metadata
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qdrant_client.http import models as m
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nestvec_qdrant.testing.faults import CutFault, Fault, FaultPlan, HoldFault, MalformedFault, StatusFault
from nestvec_qdrant.testing.operations import Call
from nestvec_qdrant.testing.routes import ENDPOINTS, Endpoint
from nestvec_qdrant.testing.wire import RefusedError, failure, parse_body, plain_model, success, translate

if TYPE_CHECKING:
    from nestvec_qdrant.testing.journal import Journal
    from nestvec_qdrant.testing.store import Store

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Settings:
    """What a server's configuration says. Keys are kept out of repr."""

    api_key: str | None = field(default=None, repr=False)
    read_only_api_key: str | None = field(default=None, repr=False)
    max_body_bytes: int = 32 * 1024 * 1024


class Cut(Response):
    """An answer that never comes: the transport is closed instead."""

    def __init__(self, abort: Callable[[], None]) -> None:
        super().__init__()
        self._abort = abort

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: object,
    ) -> None:
        """Close the connection and wait until the server has noticed, so that it sends no 500."""
        del scope, send
        self._abort()
        while (await receive())["type"] != "http.disconnect":
            pass


@dataclass(frozen=True)
class EmulatorApp:
    """Everything a request meets, in this order: journal, credentials, fault, size, form, operation.

    `abort` closes the connection of the client with the given address.
    """

    store: Store
    settings: Settings
    faults: FaultPlan
    journal: Journal
    abort: Callable[[tuple[str, int] | None], None]

    def build(self) -> Starlette:
        """The ASGI application."""
        routes = [Route(endpoint.path, self._handler(endpoint), methods=[endpoint.method]) for endpoint in ENDPOINTS]
        return Starlette(routes=[Route("/", self._version, methods=["GET"]), *routes])

    async def _version(self, _request: Request) -> Response:
        # Neither recorded nor hit by faults: the client asks for it from a thread of its own, at a
        # moment that no test controls.
        version = importlib.metadata.version("qdrant-client")
        return plain_model(m.VersionInfo(title="qdrant - vector search engine", version=version, commit=None))

    def _handler(self, endpoint: Endpoint) -> Handler:
        async def handle(request: Request) -> Response:
            raw = await request.body()
            path = request.url.path
            self.journal.record(request.method, path, request.query_params, request.headers, raw)
            denied = self._denied(request, endpoint)
            if denied is not None:
                return denied
            fault = self.faults.take(request.method, path)
            if fault is None:
                return self._answer(endpoint, request, raw)
            return await self._fail(fault, endpoint, request, raw)

        return handle

    def _denied(self, request: Request, endpoint: Endpoint) -> Response | None:
        settings = self.settings
        if settings.api_key is None and settings.read_only_api_key is None:
            return None
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        given = request.headers.get("api-key") or bearer
        # A server answers these two in plain text, without its envelope.
        if not given:
            return Response("Must provide an API key or an Authorization bearer token", 401)
        if _same(given, settings.api_key):
            return None
        if not _same(given, settings.read_only_api_key):
            return Response("Invalid API key or JWT", 401)
        return failure(403, f"Forbidden: {_needed(request)}") if endpoint.writes else None

    def _answer(self, endpoint: Endpoint, request: Request, raw: bytes) -> Response:
        started = time.perf_counter()
        try:
            result = self._run(endpoint, request, raw)
        except RefusedError as refusal:
            return failure(refusal.status, refusal.error)
        return success(endpoint.reply, result, time.perf_counter() - started)

    def _run(self, endpoint: Endpoint, request: Request, raw: bytes) -> object:
        limit = self.settings.max_body_bytes
        if len(raw) > limit:
            size = f"JSON payload ({len(raw)} bytes) is larger than allowed (limit: {limit} bytes)."
            raise RefusedError(400, f"Payload error: {size}")
        body = None if endpoint.request is None else parse_body(endpoint.request, raw)
        call = Call(request.path_params, body, request.query_params.get("wait") == "true")
        try:
            with self.store.locked():
                return endpoint.operation(self.store, call)
        except (ValueError, KeyError, TypeError, NotImplementedError) as error:
            raise translate(error) from error

    async def _fail(self, fault: Fault, endpoint: Endpoint, request: Request, raw: bytes) -> Response:
        answer = self._answer(endpoint, request, raw) if fault.applied else None
        match fault:
            case StatusFault():
                headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
                return failure(fault.status, fault.error, headers)
            case CutFault():
                client = request.client
                address = None if client is None else (client.host, client.port)
                return Cut(lambda: self.abort(address))
            case MalformedFault():
                return Response(fault.content, 200, media_type="application/json")
            case HoldFault():
                await fault.wait()
        return answer or self._answer(endpoint, request, raw)


def _same(given: str, key: str | None) -> bool:
    return key is not None and hmac.compare_digest(given.encode(), key.encode())


def _needed(request: Request) -> str:
    """What a read-only key lacks for this request, in a server's words."""
    path, name = request.url.path, request.path_params.get("name")
    if name is None or path == f"/collections/{name}":
        return "Global manage access is required"
    return f"Write access to collection {name} is required"

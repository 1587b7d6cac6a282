"""The emulator's HTTP face: credentials, limits; then the operation."""

from __future__ import annotations

import hmac
import importlib.metadata
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qdrant_client.http import models as m
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nestvec_qdrant.testing.operations import QdrantCall
from nestvec_qdrant.testing.routes import ENDPOINTS, Endpoint
from nestvec_qdrant.testing.wire import RefusedError, failure, parse_body, plain_model, success, translate
from nestvec_testing.emulators.journal import Exchange

if TYPE_CHECKING:
    from nestvec_qdrant.testing.store import QdrantStore

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class QdrantServerSettings:
    """What a server's configuration says. Keys are kept out of repr."""

    api_key: str | None = field(default=None, repr=False)
    read_only_api_key: str | None = field(default=None, repr=False)
    max_body_bytes: int = 32 * 1024 * 1024


@dataclass(frozen=True)
class EmulatorApp:
    """Everything a request meets behind the gate, in this order: credentials, size, form, operation."""

    store: QdrantStore
    settings: QdrantServerSettings

    def build(self) -> Starlette:
        """The ASGI application."""
        routes = [Route(endpoint.path, self._handler(endpoint), methods=[endpoint.method]) for endpoint in ENDPOINTS]
        return Starlette(routes=[Route("/", self._version, methods=["GET"]), *routes])

    def exchange(self, request: Request, raw: bytes) -> Exchange | None:
        """The request as journal and faults know it."""
        # The version is neither recorded nor hit by faults: the client asks for it from a thread of its own, at a
        # moment that no test controls.
        return None if request.url.path == "/" else Exchange.of(request, raw)

    def refusal(self, _request: Request, status: int, message: str) -> Response:
        """What a fault answers."""
        return failure(status, message)

    async def _version(self, _request: Request) -> Response:
        version = importlib.metadata.version("qdrant-client")
        return plain_model(m.VersionInfo(title="qdrant - vector search engine", version=version, commit=None))

    def _handler(self, endpoint: Endpoint) -> Handler:
        async def handle(request: Request) -> Response:
            denied = self._denied(request, endpoint)
            return denied or self._answer(endpoint, request, await request.body())

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
        call = QdrantCall(request.path_params, body, request.query_params.get("wait") == "true")
        try:
            with self.store.locked():
                return endpoint.operation(self.store, call)
        except (ValueError, KeyError, TypeError, NotImplementedError) as error:
            raise translate(error) from error


def _same(given: str, key: str | None) -> bool:
    return key is not None and hmac.compare_digest(given.encode(), key.encode())


def _needed(request: Request) -> str:
    """What a read-only key lacks for this request, in a server's words."""
    path, name = request.url.path, request.path_params.get("name")
    if name is None or path == f"/collections/{name}":
        return "Global manage access is required"
    return f"Write access to collection {name} is required"

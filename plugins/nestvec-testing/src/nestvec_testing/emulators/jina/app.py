"""The emulator's HTTP face. Behind the gate a request meets, in order: size, key, balance, quotas, form, tokens."""

from __future__ import annotations

import asyncio
import hmac
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nestvec_testing.emulators.jina.errors import JinaRefusal, fault_body
from nestvec_testing.emulators.jina.journal import Counters, JinaExchange
from nestvec_testing.emulators.jina.limits import Rates
from nestvec_testing.emulators.jina.replies import reply_body
from nestvec_testing.emulators.jina.request import Ask, read
from nestvec_testing.emulators.jina.settings import KEY, JinaSettings
from nestvec_testing.emulators.jina.sources import VectorSource
from nestvec_testing.emulators.waits import Waits

EMBEDDINGS: Final = "/v1/embeddings"
HEALTH: Final = "/health"


@dataclass(frozen=True)
class JinaApp:
    """One emulated API. `in_flight` says how many requests are, this one included."""

    settings: Callable[[], JinaSettings]
    rates: Rates
    source: Callable[[], VectorSource]
    counters: Callable[[], Counters]
    waits: Waits
    in_flight: Callable[[], int]

    def build(self) -> Starlette:
        """The ASGI application."""
        return Starlette(routes=[Route("/{rest:path}", self._serve, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])])

    def exchange(self, request: Request, raw: bytes) -> JinaExchange | None:
        """For journal and faults. Who asks for health is not heard of."""
        return None if request.url.path == HEALTH else JinaExchange.of(request, raw)

    def refusal(self, request: Request, status: int, message: str) -> Response:
        """An error that a fault wants."""
        return self._response(status, json.dumps(fault_body(status, message)).encode(), {})

    # ------------------------------------------------------------ requests

    async def _serve(self, request: Request) -> Response:
        try:
            return await self._routed(request)
        except JinaRefusal as refusal:
            self.counters().refused[refusal.code or str(refusal.status)] += 1
            body = json.dumps(refusal.body(), allow_nan=False).encode()
            return self._response(refusal.status, body, self._retry_after(refusal))

    async def _routed(self, request: Request) -> Response:
        match request.method, request.url.path:
            case "GET", "/health":
                return self._response(200, b'{"status":"ok"}', {})
            case "POST", "/v1/embeddings":
                return await self._embeddings(request)
            case _, "/health" | "/v1/embeddings":
                raise JinaRefusal(405, "Method Not Allowed")
        raise JinaRefusal(404, f"Path {request.url.path!r} not found.", "RESOURCE_NOT_FOUND")

    async def _embeddings(self, request: Request) -> Response:
        started, raw = time.monotonic(), await request.body()
        settings = self.settings()
        if len(raw) > settings.max_body:
            raise JinaRefusal(413, f"Request body of {len(raw)} bytes exceeds the limit of {settings.max_body} bytes.")
        key, address = _admitted(request, settings), request.client.host if request.client else ""
        self._check_concurrency(settings)
        self.rates.check_request(key, address)
        ask = read(raw, settings)
        self.rates.check_tokens(key, ask.tokens)
        self.rates.serve(key, address, ask.tokens)
        headers = self.rates.headers(key)
        body = await self._carried_out(ask, settings)
        if (left := started + settings.latency - time.monotonic()) > 0:
            await self.waits.until(seconds=left)
        return self._response(200, body, headers)

    async def _carried_out(self, ask: Ask, settings: JinaSettings) -> bytes:
        source, counters = self.source(), self.counters()
        counters.requests += 1
        counters.texts += len(ask.texts)
        counters.tokens += ask.tokens
        if source.slow:
            vectors = await asyncio.to_thread(source.vectors, ask, settings.late_tokens)
        else:
            vectors = source.vectors(ask, settings.late_tokens)
        return reply_body(ask, vectors)

    def _check_concurrency(self, settings: JinaSettings) -> None:
        flying = self.in_flight()
        if settings.concurrency is not None and flying > settings.concurrency:
            detail = f"Concurrency limit exceeded: {flying}/{settings.concurrency} concurrent requests."
            raise JinaRefusal(429, detail, "RATE_CONCURRENCY_LIMIT_EXCEEDED", wait=settings.latency)

    # ------------------------------------------------------------ replies

    def _response(self, status: int, body: bytes, headers: Mapping[str, str]) -> Response:
        dated = {"date": formatdate(time.time() + self.settings().clock_skew, usegmt=True), **headers}
        return Response(body, status, dated, media_type="application/json")

    def _retry_after(self, refusal: JinaRefusal) -> dict[str, str]:
        settings, wait = self.settings(), refusal.wait
        if wait is None or settings.retry_after == "absent":
            return {}
        told: dict[str, Any] = {
            "seconds": math.ceil(wait),
            "decimal": f"{wait:.3f}",
            "date": formatdate(math.ceil(time.time() + settings.clock_skew + wait), usegmt=True),
        }
        return {"retry-after": str(told[settings.retry_after])}


def _admitted(request: Request, settings: JinaSettings) -> str:
    """The key. Raises `JinaRefusal`."""
    given = request.headers.get("authorization")
    if settings.keys is None:
        return given or ""
    if given is None:
        raise JinaRefusal(
            401, "Authentication required. Provide your API key as a Bearer token.", "AUTH_MISSING_API_KEY"
        )
    scheme, _, key = given.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise JinaRefusal(
            401, "Invalid authorization format. Use 'Authorization: Bearer <api-key>'.", "AUTH_INVALID_FORMAT"
        )
    if not _known(key.strip(), settings.keys):
        raise _unknown(key.strip(), settings.keys)
    if key.strip() in settings.unpaid:
        raise JinaRefusal(403, "Insufficient account balance. Top up your account.", "AUTHZ_INSUFFICIENT_BALANCE")
    return key.strip()


def _known(key: str, keys: tuple[str, ...]) -> bool:
    return any(hmac.compare_digest(key.encode(), each.encode()) for each in keys)


def _unknown(key: str, keys: tuple[str, ...]) -> JinaRefusal:
    """Keys have a form, which is asked for where all keys that are known have it."""
    if all(map(_formed, keys)) and not _formed(key):
        detail = f"Invalid authorization format. Keys have {len(KEY)} characters and start with 'jina_'."
        return JinaRefusal(401, detail, "AUTH_INVALID_FORMAT")
    return JinaRefusal(401, "Invalid API key. Verify your API key or generate a new one.", "AUTH_INVALID_API_KEY")


def _formed(key: str) -> bool:
    return len(key) == len(KEY) and key.startswith("jina_")

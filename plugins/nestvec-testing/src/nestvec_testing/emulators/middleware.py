"""What stands in front of an emulator's application: journal, faults and latency."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from starlette.requests import ClientDisconnect, Request

from nestvec_testing.emulators.journal import Exchange, ExchangeT, Journal
from nestvec_testing.emulators.plan import FaultPlan
from nestvec_testing.emulators.replies import HttpReply, carry_out
from nestvec_testing.emulators.waits import Waits

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send


ExchangeT_co = TypeVar("ExchangeT_co", bound=Exchange, covariant=True)


class Service(Protocol[ExchangeT_co]):
    """What an emulator is made of."""

    def build(self) -> ASGIApp:
        """Its application, which knows nothing of faults."""

    def exchange(self, request: Request, raw: bytes) -> ExchangeT_co | None:
        """The request as journal and faults know it. None: it is neither recorded nor hit."""

    def refusal(self, request: Request, status: int, message: str) -> Response:
        """An error in the service's own shape."""


class FaultMiddleware(Generic[ExchangeT]):
    """An ASGI application around a service. No reply leaves before `latency()` seconds have passed."""

    def __init__(
        self,
        service: Service[ExchangeT],
        *,
        faults: FaultPlan,
        journal: Journal[ExchangeT],
        waits: Waits,
        latency: Callable[[], float],
    ) -> None:
        self._service, self._app = service, service.build()
        self._faults, self._journal, self._waits, self._latency = faults, journal, waits, latency

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        try:
            raw = await request.body()
        except ClientDisconnect:
            return  # nobody is left to answer
        exchange = self._service.exchange(request, raw)
        course = _Course(self._app, self._service.refusal, self._waits, request, raw)
        if exchange is None:
            await (await course.answer()).send(scope, receive, send)
            return
        arrived, ticket = time.monotonic(), self._journal.begin(exchange)
        reply = HttpReply(500)  # what the server makes of a mistake in here
        try:
            fault = self._faults.take(exchange.method, exchange.path, raw)
            reply = await (course.answer() if fault is None else fault.strike(course))
            if (left := arrived + self._latency() - time.monotonic()) > 0:
                await self._waits.until(seconds=left)
        finally:
            # Before the first byte goes out: the client may send its next request at once.
            self._journal.end(ticket, reply.status, reply.sent)
        await reply.send(scope, receive, send)


class _Course:
    """One request's, for the fault that hits it."""

    def __init__(
        self, app: ASGIApp, refusal: Callable[[Request, int, str], Response], waits: Waits, request: Request, raw: bytes
    ) -> None:
        self.raw, self.waits = raw, waits
        self._app, self._refusal, self._request = app, refusal, request
        self._answer: HttpReply | None = None

    async def answer(self) -> HttpReply:
        if self._answer is None:
            self._answer = await carry_out(self._app, self._request.scope, self.raw)
        return self._answer

    def refuse(self, status: int, message: str, headers: Mapping[str, str]) -> HttpReply:
        response = self._refusal(self._request, status, message)
        response.headers.update(headers)
        return HttpReply.of(response)

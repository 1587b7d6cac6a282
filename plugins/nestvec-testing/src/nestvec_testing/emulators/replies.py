"""Whole replies, as values: taken from an application, changed by a fault, sent whole or in part."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

#: Where the server leaves, in the state of each request, the function that closes its connection.
CLOSE: Final = "nestvec.close"

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class HttpReply:
    """A status, headers and body. With `cut`, the connection is closed after so many bytes of the body.

    A status of 0 is no reply at all: the connection is closed without a byte.
    """

    status: int
    headers: Headers = field(default=(), repr=False)
    body: bytes = b""
    cut: int | None = None

    @classmethod
    def of(cls, response: Response) -> HttpReply:
        """A response with its whole body in it."""
        return cls(response.status_code, tuple(response.raw_headers), bytes(response.body))

    @property
    def sent(self) -> bytes:
        """The part of the body that goes out."""
        return self.body[: self.cut]

    def with_body(self, status: int, body: bytes) -> HttpReply:
        """Another body, announced in full."""
        kept = tuple(pair for pair in self.headers if pair[0].lower() != b"content-length")
        return HttpReply(status, (*kept, (b"content-length", str(len(body)).encode())), body)

    def _dated(self) -> list[tuple[bytes, bytes]]:
        if any(name.lower() == b"date" for name, _ in self.headers):
            return list(self.headers)
        return [*self.headers, (b"date", formatdate(usegmt=True).encode())]

    async def send(self, scope: Scope, receive: Receive, send: Send) -> None:
        """On the server's loop, as the end of the request."""
        if self.status:
            await send({"type": "http.response.start", "status": self.status, "headers": self._dated()})
            await send({"type": "http.response.body", "body": self.sent, "more_body": self.cut is not None})
        if not self.status or self.cut is not None:
            scope["state"][CLOSE]()
            # Until the server has noticed: it would send a 500 for a request that ends without a reply.
            while (await receive())["type"] != "http.disconnect":
                pass


NOTHING: Final = HttpReply(0)


async def carry_out(app: ASGIApp, scope: Scope, body: bytes) -> HttpReply:
    """What `app` replies to a request whose body was read already."""
    started: MutableMapping[str, Any] = {}
    parts: list[bytes] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return HttpReply(started["status"], tuple(started.get("headers", ())), b"".join(parts))

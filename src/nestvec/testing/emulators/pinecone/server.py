"""uvicorn in a thread: started when it says so, stopped without leaving anything behind."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from nestvec.errors import BackendUnavailable

if TYPE_CHECKING:
    import socket

    from starlette.types import ASGIApp

_SECONDS_TO_START = 30.0
_SECONDS_TO_FINISH = 5


class _Server(uvicorn.Server):
    """Announces that it listens, and stops at once when told to, where the original polls."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()
        self.port: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self.port = self.servers[0].sockets[0].getsockname()[1]
        self.settled.set()

    async def main_loop(self) -> None:
        await self._stop.wait()

    def request_stop(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)


class ServerThread:
    """Runs an ASGI application on 127.0.0.1."""

    def __init__(self) -> None:
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._connections: dict[tuple[str, int], asyncio.Transport] = {}

    def start(self, app: ASGIApp) -> int:
        """Run `app`; returns the port when it listens. Raises `BackendUnavailable` if it can not."""
        server = _Server(self._config(app))
        thread = threading.Thread(target=_run, args=(server,), name="pinecone-emulator", daemon=True)
        thread.start()
        if not server.settled.wait(_SECONDS_TO_START) or server.port is None:
            raise BackendUnavailable("the Pinecone emulator can not listen on 127.0.0.1; are sockets forbidden here?")
        self._server, self._thread = server, thread
        return server.port

    def stop(self) -> None:
        """Close port and connections, and wait for the thread. Safe to call twice."""
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is not None and thread is not None:
            server.request_stop()
            thread.join()

    def abort(self, client: tuple[str, int] | None) -> None:
        """Close a client's connection without another byte (on the loop)."""
        transport = self._connections.get(client) if client else None
        if transport is not None:
            transport.abort()

    def _config(self, app: ASGIApp) -> uvicorn.Config:
        return uvicorn.Config(
            app,
            host="127.0.0.1",
            port=0,
            http=self._protocol(),
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            timeout_graceful_shutdown=_SECONDS_TO_FINISH,
        )

    def _protocol(self) -> type[asyncio.Protocol]:
        connections = self._connections

        class Tracked(H11Protocol):
            """Remembers transports by client address: ASGI itself can not cut a connection."""

            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                if self.client is not None:
                    connections[self.client] = self.transport

            def connection_lost(self, exc: Exception | None) -> None:
                if self.client is not None:
                    connections.pop(self.client, None)
                super().connection_lost(exc)

        return Tracked


def _run(server: _Server) -> None:
    try:
        server.run()
    except SystemExit:
        # uvicorn's way to say that it could not bind; `start` sees that there is no port.
        server.port = None
    finally:
        server.settled.set()

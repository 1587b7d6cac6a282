"""uvicorn in a thread, or in the foreground: up when it says so, gone without leaving anything behind."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from nestvec.errors import BackendUnavailable
from nestvec_testing.emulators.replies import CLOSE

if TYPE_CHECKING:
    from types import FrameType

    from starlette.types import ASGIApp

_SECONDS_TO_START = 30.0
_SECONDS_TO_FINISH_REQUESTS = 5
_SECONDS_TO_LOOK = 0.2
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound  # nosec B104


class EmulatorServer:
    """Runs an ASGI application; keeps its port over a restart.

    All methods may be called from any thread; the object does not survive a fork.

    Args:
        name: what errors and the thread are called, such as "Pinecone emulator".
        host: address to listen on.
        port: 0 takes a free one at the first start.
        on_stop: called on the server's loop when it stops taking requests, so that held ones can be let go.
    """

    def __init__(
        self, name: str, *, host: str = "127.0.0.1", port: int = 0, on_stop: Callable[[], None] = lambda: None
    ) -> None:
        self._name, self._host, self._port, self._on_stop = name, host, port, on_stop
        self._running: tuple[_Uvicorn, threading.Thread] | None = None

    @property
    def url(self) -> str:
        """Where clients on this machine find it. Raises `BackendUnavailable` before the first start."""
        if not self._port:
            raise BackendUnavailable(
                f"The {self._name} has no address yet: it was never started. "
                "Use it in a `with` statement or call start() first."
            )
        host = _ANYWHERE.get(self._host, self._host)
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    def start(self, app: ASGIApp) -> None:
        """Run `app` in a thread; returns when it listens. Raises `BackendUnavailable` if it cannot."""
        listener = self._bind()
        server = _Uvicorn(app, self._on_stop)
        thread = threading.Thread(target=server.run_on, args=(listener,), name=self._name, daemon=True)
        thread.start()
        self._running = server, thread
        try:
            problem = server.listening.exception(_SECONDS_TO_START)
        except BaseException:  # an interrupt, or it takes too long
            self.stop()
            raise
        if problem is not None:
            self.stop()
            raise BackendUnavailable(f"The {self._name} did not start at {self.url}: {problem!r}.") from problem

    def stop(self) -> None:
        """Close port and connections, and wait for the thread. Does nothing when it does not run."""
        running, self._running = self._running, None
        if running is not None:
            server, thread = running
            server.request_stop()
            thread.join()

    def run(self, app: ASGIApp, announce: Callable[[str], object] = lambda _: None) -> None:
        """Run `app` in the foreground, until SIGINT or SIGTERM; for the main thread.

        `announce` gets the URL once the port is open. Raises `BackendUnavailable` if it cannot listen.
        """
        listener = self._bind()
        announce(self.url)
        with suppress(KeyboardInterrupt):  # uvicorn stops in order, and then repeats the signal
            _Uvicorn(app, self._on_stop, _SECONDS_TO_LOOK).run(sockets=[listener])

    def _bind(self) -> socket.socket:
        if self._running is not None:
            raise BackendUnavailable(f"The {self._name} already runs at {self.url}; stop() it first.")
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            listener = socket.create_server((self._host, self._port), family=family)
            # Accepted connections inherit it. asyncio sets it only where the socket names its protocol; without it each
            # reply may wait 40 ms for the client to acknowledge its first part.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (OSError, OverflowError) as error:
            port = f"port {self._port}" if self._port else "any port"
            raise BackendUnavailable(
                f"The {self._name} cannot listen on {self._host}, {port}: {error}. "
                "Choose a free port (0 finds one) and an address of this machine."
            ) from error
        self._port = listener.getsockname()[1]
        return listener


@contextmanager
def serve(app: ASGIApp, *, name: str = "emulator", host: str = "127.0.0.1", port: int = 0) -> Iterator[EmulatorServer]:
    """`app` in a thread, while the block runs. Raises `BackendUnavailable` if it cannot listen."""
    server = EmulatorServer(name, host=host, port=port)
    server.start(app)
    try:
        yield server
    finally:
        server.stop()


class _Uvicorn(uvicorn.Server):
    """Says when it listens, and stops at once when told to, where the original polls."""

    def __init__(self, app: ASGIApp, on_stop: Callable[[], None], poll: float | None = None) -> None:
        super().__init__(_config(app))
        # A signal that another thread receives does not wake the loop: in the foreground it must look by itself.
        self._poll = poll
        self.listening: Future[None] = Future()
        self._on_stop = on_stop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()

    def run_on(self, listener: socket.socket) -> None:
        """In the server's thread: whatever goes wrong before it listens is handed to the one who waits."""
        try:
            self.run(sockets=[listener])
        except BaseException as error:
            if self.listening.done():
                raise
            self.listening.set_exception(error)
        finally:
            listener.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self.listening.set_result(None)

    async def main_loop(self) -> None:
        while not self.should_exit:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._poll)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self.request_stop()

    def request_stop(self) -> None:
        """From any thread, or a signal handler."""
        self.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: it has stopped already
                self._loop.call_soon_threadsafe(self._stop.set)


class _Closable(H11Protocol):
    """Lets the application close its connection, which ASGI itself cannot."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, CLOSE: self.transport.close}


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Closable,
        ws="none",
        lifespan="off",
        log_config=None,
        date_header=False,  # `HttpReply` has its own, which an emulator may set
        log_level="error",  # an exception in an emulator is a mistake in it, and must be seen
        access_log=False,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH_REQUESTS,
    )

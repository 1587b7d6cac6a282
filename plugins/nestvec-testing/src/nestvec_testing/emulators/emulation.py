"""One emulated service: its server, faults and journal, for the emulators to build on."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Generic

from nestvec.errors import BackendUnavailable
from nestvec_testing.emulators.journal import ExchangeT, Journal
from nestvec_testing.emulators.plan import FaultPlan
from nestvec_testing.emulators.waits import Waits

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from nestvec_testing.emulators.middleware import Service
    from nestvec_testing.emulators.server import EmulatorServer


#: Nobody looks at them there, and it may run for days.
_KEPT_IN_FOREGROUND = 100
_SECONDS_TO_SETTLE = 5.0


class Emulation(Generic[ExchangeT]):
    """Runs a service behind journal, faults and latency; `stop` and `start` keep the port.

    `service` makes it, at each start. All methods may be called from any thread; the object does not survive a
    fork. Nothing heavy is imported before the first start.
    """

    def __init__(self, name: str, service: Callable[[], Service[ExchangeT]]) -> None:
        self.faults = FaultPlan()
        self.journal: Journal[ExchangeT] = Journal()
        self._name, self._service = name, service
        #: Seconds that each reply takes at least; may be changed at any time.
        self.latency = 0.0
        #: For services that wait: ended early when it stops.
        self.waits = Waits()
        self._server: EmulatorServer | None = None

    @property
    def url(self) -> str:
        """Where it listens. Raises `BackendUnavailable` before the first start."""
        if self._server is None:
            raise BackendUnavailable(
                f"The {self._name} has no address yet: it was never started. "
                "Use it in a `with` statement or call start() first."
            )
        return self._server.url

    def start(self) -> None:
        """Listen on 127.0.0.1, from a thread. Returns when connections are accepted.

        Raises `BackendUnavailable` if it cannot, or if starlette or uvicorn is not installed.
        """
        if self._server is None:
            self._server = self._prepared()
        self.waits.reopen()
        self._server.start(self._gated())

    def stop(self) -> None:
        """Let go what waits, close all connections and the port. Does nothing when it does not run."""
        if self._server is not None:
            self._server.stop()

    def settle(self) -> None:
        """Let go what waits, and return when nothing is in flight any more, or after some seconds."""
        self.waits.end()
        try:
            end = time.monotonic() + _SECONDS_TO_SETTLE
            while self.journal.in_flight and time.monotonic() < end:
                time.sleep(0.001)
        finally:
            self.waits.reopen()

    def run(self, host: str, port: int, announce: Callable[[str], object] = lambda _: None) -> None:
        """Listen in the foreground, until SIGINT or SIGTERM; for the main thread. `announce` gets the URL.

        Raises `BackendUnavailable` like `start`.
        """
        self._server = self._prepared(host, port)
        self.journal.keep = _KEPT_IN_FOREGROUND
        self.waits.reopen()
        self._server.run(self._gated(), announce)

    def _prepared(self, host: str = "127.0.0.1", port: int = 0) -> EmulatorServer:
        try:
            import_module("starlette")
            from nestvec_testing.emulators.server import EmulatorServer
        except ModuleNotFoundError as error:
            raise BackendUnavailable(
                f"The {self._name} needs {error.name}, which is not installed; "
                f"pip install 'nestvec-testing[emulators]'."
            ) from error
        return EmulatorServer(self._name, host=host, port=port, on_stop=self.waits.end)

    def _gated(self) -> ASGIApp:
        from nestvec_testing.emulators.middleware import FaultMiddleware

        return FaultMiddleware(
            self._service(),
            faults=self.faults,
            journal=self.journal,
            waits=self.waits,
            latency=lambda: self.latency,
        )

"""What tests hold: start, dial, plan faults, look at what was sent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from nestvec.errors import BackendUnavailable
from nestvec.testing.emulators.pinecone.control import Control, host_label
from nestvec.testing.emulators.pinecone.faults import Fault, FaultPlan
from nestvec.testing.emulators.pinecone.journal import Exchange, Journal
from nestvec.testing.emulators.pinecone.settings import Settings
from nestvec.testing.emulators.pinecone.store import Index, Store

if TYPE_CHECKING:
    from nestvec.testing.emulators.pinecone.server import ServerThread


class PineconeEmulator:
    """A Pinecone on 127.0.0.1. Use it in a `with` statement. All methods may be called from any thread.

    `clock` (seconds) is what delays in seconds are measured with.
    """

    def __init__(self, settings: Settings | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings or Settings()
        self._initial = self._settings
        self._store = Store(lambda: self._settings, lambda: self.clock())
        self._faults = FaultPlan()
        self._journal = Journal()
        self._server: ServerThread | None = None
        self._port: int | None = None
        self._clock = clock
        self.clock = clock

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # ------------------------------------------------------------ lifetime

    def start(self) -> None:
        """Listen. Needs starlette and uvicorn."""
        from nestvec.testing.emulators.pinecone.app import App
        from nestvec.testing.emulators.pinecone.server import ServerThread

        server = ServerThread()
        control = Control(self._store, lambda: self._settings, self.host)
        app = App(self._store, lambda: self._settings, self._faults, self._journal, control, server.abort)
        self._port = server.start(app.build())
        self._server = server

    def close(self) -> None:
        """Stop. Safe to call twice."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def reset(self) -> None:
        """As after the start: no indexes, no faults, nothing dialled, nothing recorded."""
        with self._store.lock:
            self._store.indexes.clear()
            self._settings = self._initial
            self.clock = self._clock
        self._faults.clear()
        self._journal.clear()

    # ------------------------------------------------------------ addresses

    @property
    def url(self) -> str:
        """The control plane."""
        if self._port is None:
            raise BackendUnavailable("the Pinecone emulator was not started; use it in a `with` statement")
        return f"http://127.0.0.1:{self._port}"

    @property
    def api_key(self) -> str:
        """The key that it takes."""
        return self._settings.api_key

    def host(self, name: str) -> str:
        """The data plane of an index, whether it is there or not."""
        return f"{self.url}/-/{host_label(name)}"

    # ------------------------------------------------------------ dials

    def dial(self, **settings: Any) -> None:
        """Change some of the `Settings` from now on."""
        with self._store.lock:
            self._settings = replace(self._settings, **settings)

    def inject(
        self, fault: Fault, *, path: str = "*", method: str | None = None, skip: int = 0, times: int = 1
    ) -> None:
        """Let the next `times` requests whose path (as on the index's own host) matches meet a fault."""
        self._faults.add(fault, path=path, method=method, skip=skip, times=times)

    @property
    def pending_faults(self) -> int:
        """Faults that no request has met yet."""
        return self._faults.pending

    # ------------------------------------------------------------ looking

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """All requests so far, with their answers, without keys."""
        return self._journal.all()

    def sent(self, path: str, method: str | None = None) -> list[Exchange]:
        """Those to one path."""
        return [each for each in self.exchanges if each.path == path and method in (None, each.method)]

    def forget(self) -> None:
        """Forget the recorded exchanges."""
        self._journal.clear()

    def index(self, name: str) -> Index:
        """An index as it is inside."""
        return self._store.indexes[name]

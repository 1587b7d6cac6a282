"""What tests hold: start, dial, plan faults, look at what was sent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from nestvec_pinecone.testing.control import Control, host_label
from nestvec_pinecone.testing.journal import PineconeExchange
from nestvec_pinecone.testing.settings import PineconeSettings
from nestvec_pinecone.testing.store import Index, PineconeStore
from nestvec_testing.emulators.emulation import Emulation
from nestvec_testing.emulators.faults import Fault
from nestvec_testing.emulators.plan import Storm

if TYPE_CHECKING:
    from nestvec_pinecone.testing.app import PineconeApp


class PineconeEmulator:
    """A Pinecone on 127.0.0.1. Use it in a `with` statement. All methods may be called from any thread.

    `clock` (seconds) is what delays in seconds are measured with.
    """

    def __init__(
        self, settings: PineconeSettings | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings or PineconeSettings()
        self._initial = self._settings
        self._store = PineconeStore(lambda: self._settings, lambda: self.clock())
        self._emulation: Emulation[PineconeExchange] = Emulation("Pinecone emulator", self._app)
        self._clock = clock
        self.clock = clock

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # ------------------------------------------------------------ lifetime

    def start(self) -> None:
        """Listen. Needs starlette and uvicorn. Raises `BackendUnavailable` if it cannot."""
        self._emulation.start()

    def close(self) -> None:
        """Stop. Safe to call twice."""
        self._emulation.stop()

    def run(self, host: str = "127.0.0.1", port: int = 0, announce: Callable[[str], object] = print) -> None:
        """Serve in the foreground until SIGINT or SIGTERM. `announce` gets the URL."""
        self._emulation.run(host, port, announce)

    def reset(self) -> None:
        """As after the start: no indexes, no faults, nothing dialled, nothing recorded."""
        with self._store.lock:
            self._store.indexes.clear()
            self._settings = self._initial
            self.clock = self._clock
            self._emulation.latency = 0.0
        self._emulation.faults.clear()
        self._emulation.journal.clear()

    # ------------------------------------------------------------ addresses

    @property
    def url(self) -> str:
        """The control plane."""
        return self._emulation.url

    @property
    def api_key(self) -> str:
        """The key that it takes."""
        return self._settings.api_key

    def host(self, name: str) -> str:
        """The data plane of an index, whether it is there or not."""
        return f"{self.url}/-/{host_label(name)}"

    # ------------------------------------------------------------ dials

    def dial(self, **settings: Any) -> None:
        """Change some of the `PineconeSettings` from now on."""
        with self._store.lock:
            self._settings = replace(self._settings, **settings)

    def inject(
        self, fault: Fault, *, path: str = "*", method: str | None = None, skip: int = 0, times: int | None = 1
    ) -> None:
        """Let the next `times` (None: all) requests whose path (as on the index's own host) matches meet a fault."""
        self._emulation.faults.add(fault, path=path, method=method, skip=skip, times=times)

    def storm(self, storm: Storm, *, path: str = "*", method: str | None = None) -> None:
        """Let requests whose path matches meet faults at random, until `reset`."""
        self._emulation.faults.storm(storm, path=path, method=method)

    @property
    def latency(self) -> float:
        """Seconds that each reply takes at least."""
        return self._emulation.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._emulation.latency = seconds

    @property
    def pending_faults(self) -> int:
        """Faults that no request has met yet."""
        return len(self._emulation.faults.pending)

    # ------------------------------------------------------------ looking

    @property
    def exchanges(self) -> tuple[PineconeExchange, ...]:
        """All requests so far, with their answers, without keys."""
        return self._emulation.journal.answered

    def sent(self, path: str, method: str | None = None) -> list[PineconeExchange]:
        """Those to one path."""
        return [each for each in self.exchanges if each.path == path and method in (None, each.method)]

    def forget(self) -> None:
        """Forget the recorded exchanges."""
        self._emulation.journal.clear()

    def index(self, name: str) -> Index:
        """An index as it is inside."""
        return self._store.indexes[name]

    # ------------------------------------------------------------ parts

    def _app(self) -> PineconeApp:
        from nestvec_pinecone.testing.app import PineconeApp

        control = Control(self._store, lambda: self._settings, self.host)
        return PineconeApp(self._store, lambda: self._settings, control)

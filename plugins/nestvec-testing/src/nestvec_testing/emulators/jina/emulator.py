"""What tests hold: start, dial, plan faults, look at what was sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from nestvec.errors import InvalidInput
from nestvec_testing.emulators.emulation import Emulation
from nestvec_testing.emulators.faults import Fault
from nestvec_testing.emulators.jina.journal import Counters, JinaExchange
from nestvec_testing.emulators.jina.limits import Rates
from nestvec_testing.emulators.jina.settings import KEY, JinaSettings
from nestvec_testing.emulators.journal import Journal
from nestvec_testing.emulators.plan import FaultPlan, Storm

if TYPE_CHECKING:
    from nestvec_testing.emulators.jina.app import JinaApp
    from nestvec_testing.emulators.jina.sources import VectorSource

_PATH = "/v1/embeddings"


class JinaEmulator:
    """A Jina embeddings API on 127.0.0.1. Use it in a `with` statement. All methods may be called from any thread.

    `dials` change single `settings`: `JinaEmulator(concurrency=2, minute=0.5)`. `clock` (seconds) is what quotas are
    measured with. `plan` has the faults, `journal` the requests with their replies, both without keys.
    """

    def __init__(
        self, settings: JinaSettings | None = None, *, clock: Callable[[], float] = time.monotonic, **dials: Any
    ) -> None:
        self._settings = self._initial = replace(settings or JinaSettings(), **dials)
        self._emulation: Emulation[JinaExchange] = Emulation("Jina emulator", self._app)
        self._rates = Rates(lambda: self._settings, clock)
        self._lock = threading.Lock()
        self._source: tuple[tuple[str | None, str], VectorSource] | None = None
        self.counters = Counters()
        self.plan: FaultPlan = self._emulation.faults
        self.journal: Journal[JinaExchange] = self._emulation.journal

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # ------------------------------------------------------------ lifetime

    def start(self) -> None:
        """Listen, and load the embedder if there is one. Needs starlette and uvicorn.

        Raises `BackendUnavailable` if it cannot listen, `PluginError` for an embedder that cannot be used.
        """
        self._open_source()
        self._emulation.start()

    def close(self) -> None:
        """Stop, and let go of the embedder. Safe to call twice."""
        self._emulation.stop()
        with self._lock:
            held, self._source = self._source, None
        if held is not None:
            held[1].close()

    def run(self, host: str = "127.0.0.1", port: int = 0, announce: Callable[[str], object] = print) -> None:
        """Serve in the foreground until SIGINT or SIGTERM. `announce` gets the URL. Raises like `start`."""
        self._open_source()
        try:
            self._emulation.run(host, port, announce)
        finally:
            self.close()

    def reset(self) -> None:
        """As after the start: no faults, nothing dialled, nothing used up, recorded or counted.

        Requests that still wait are let go first: a client that gave up on one may not be counted with it.
        """
        self.plan.clear()
        self._emulation.settle()
        self._settings = self._initial
        self._rates.clear()
        self.counters = Counters()
        self.journal.clear()

    # ------------------------------------------------------------ addresses

    @property
    def url(self) -> str:
        """The host."""
        return self._emulation.url

    @property
    def base_url(self) -> str:
        """What clients are configured with: ends in /v1."""
        return f"{self.url}/v1"

    @property
    def api_key(self) -> str:
        """A key that it takes."""
        return next(iter(self._settings.keys or ()), KEY)

    # ------------------------------------------------------------ dials

    @property
    def settings(self) -> JinaSettings:
        """As they are now."""
        return self._settings

    def dial(self, **settings: Any) -> None:
        """Change some of the `JinaSettings` from now on."""
        self._settings = replace(self._settings, **settings)

    @property
    def latency(self) -> float:
        """Seconds that a request takes that is carried out."""
        return self._settings.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self.dial(latency=seconds)

    def inject(self, fault: Fault, *, containing: str = "", skip: int = 0, times: int | None = 1) -> None:
        """Let the next `times` (None: all) requests meet a fault, after `skip` of them went well.

        With `containing`, those that have it in their bodies: ASCII letters, digits and the like.
        """
        if not containing.isascii() or not containing.isprintable() or set('"\\') & set(containing):
            raise InvalidInput(f"JSON may escape {containing!r}; look for plain ASCII characters.")
        self.plan.add(fault, path=_PATH, containing=containing.encode(), skip=skip, times=times)

    def poison(self, marker: str, fault: Fault) -> None:
        """Let every request with `marker` in one of its texts meet a fault, until `reset`.

        With `NotFiniteVectors(containing=marker)` only the vectors of those texts are spoilt.
        """
        self.inject(fault, containing=marker, times=None)

    def storm(self, storm: Storm) -> None:
        """Let requests meet faults at random, until `reset`."""
        self.plan.storm(storm, path=_PATH)

    @property
    def pending_faults(self) -> int:
        """Faults that no request has met yet."""
        return len(self.plan.pending)

    # ------------------------------------------------------------ looking

    @property
    def exchanges(self) -> tuple[JinaExchange, ...]:
        """All requests that were answered, with their answers, without keys."""
        return self.journal.answered

    # ------------------------------------------------------------ parts

    def _app(self) -> JinaApp:
        from nestvec_testing.emulators.jina.app import JinaApp

        return JinaApp(
            settings=lambda: self._settings,
            rates=self._rates,
            source=self._open_source,
            counters=lambda: self.counters,
            waits=self._emulation.waits,
            in_flight=lambda: self.journal.in_flight,
        )

    def _open_source(self) -> VectorSource:
        from nestvec_testing.emulators.jina.sources import open_source

        wanted = self._settings.embedder, self._settings.vectors
        with self._lock:
            if self._source is None or self._source[0] != wanted:
                if self._source is not None:
                    self._source[1].close()
                self._source = wanted, open_source(*wanted)
            return self._source[1]

"""A Qdrant server for tests, in a thread of the test process.

    with QdrantEmulator() as emulator:
        client = QdrantClient(url=emulator.url)

It speaks Qdrant's REST interface over a real socket on 127.0.0.1, so the SDK's own client, its timeouts
and its error handling are tested too. Behind it is the SDK's local engine: exact search, in memory.
Requests are read with the SDK's request models, strictly; unknown keys and coercions are refused, some of
which a server would let pass. What a server refuses and the local engine does not is refused here as well:
ids that are neither unsigned integers nor UUIDs, a limit of 0, ordering by a field without a range index.

Not emulated: gRPC, clusters, snapshots, approximate search, strict mode, inference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from nestvec_qdrant.testing.app import EmulatorApp, QdrantServerSettings
from nestvec_qdrant.testing.faults import Fault
from nestvec_qdrant.testing.journal import RecordedRequest
from nestvec_qdrant.testing.store import QdrantStore
from nestvec_testing.emulators.emulation import Emulation
from nestvec_testing.emulators.journal import Exchange
from nestvec_testing.emulators.plan import Storm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

_FaultT = TypeVar("_FaultT", bound=Fault)


class QdrantEmulator:
    """A Qdrant server on 127.0.0.1. Use it as a context manager, or call `start()` and `close()`.

    `stop()` and `start()` again is a restart on the same port, with the data kept. All methods may be
    called from any thread; the object does not survive a fork.

    Args:
        api_key: required in the `api-key` header (or as bearer token) when given; 401 otherwise.
        read_only_api_key: a second key that may read; its writes are answered with 403.
        max_body_bytes: larger bodies are refused with 400, as a server does (default 32 MiB).
        path: folder for the points; None keeps them in memory.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        read_only_api_key: str | None = None,
        max_body_bytes: int = 32 * 1024 * 1024,
        path: Path | None = None,
    ) -> None:
        self._store = QdrantStore(path)
        self._app = EmulatorApp(self._store, QdrantServerSettings(api_key, read_only_api_key, max_body_bytes))
        self._emulation: Emulation[Exchange] = Emulation("Qdrant emulator", lambda: self._app)

    @property
    def url(self) -> str:
        """Where it listens. Raises `BackendUnavailable` before the first start."""
        return self._emulation.url

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """All requests so far, without credentials. `GET /`, the client's version check, is left out."""
        return tuple(RecordedRequest.of(each) for each in self.exchanges)

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The same, with their replies, times and the number of requests in flight."""
        return self._emulation.journal.requests

    @property
    def pending_faults(self) -> tuple[Fault, ...]:
        """Injected faults that no request has met yet."""
        return self._emulation.faults.pending

    def clear_requests(self) -> None:
        """Forget the recorded requests."""
        self._emulation.journal.clear()

    def clear_faults(self) -> None:
        """Forget planned faults and release held requests."""
        self._emulation.faults.clear()

    def inject(
        self, fault: _FaultT, *, method: str | None = None, path: str = "*", skip: int = 0, times: int | None = 1
    ) -> _FaultT:
        """Plan a fault and return it.

        It hits the next `times` (None: all) requests whose method is `method` (None: any) and whose path matches the
        shell pattern `path`, after `skip` of them went well. Faults are used in the order of planning.
        """
        self._emulation.faults.add(fault, method=method, path=path, skip=skip, times=times)
        return fault

    def storm(self, storm: Storm, *, method: str | None = None, path: str = "*") -> None:
        """Let matching requests meet faults at random, until `clear_faults`."""
        self._emulation.faults.storm(storm, method=method, path=path)

    @property
    def latency(self) -> float:
        """Seconds that each reply takes at least."""
        return self._emulation.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._emulation.latency = seconds

    def reset(self) -> None:
        """Drop all collections, faults and recorded requests: quicker than a new emulator for each test."""
        self._emulation.faults.clear()
        self._store.clear()
        self.latency = 0.0
        self._emulation.journal.clear()

    def start(self) -> None:
        """Listen. Returns when connections are accepted. Raises `BackendUnavailable` if it cannot."""
        self._emulation.start()

    def run(self, host: str = "127.0.0.1", port: int = 0, announce: Callable[[str], object] = print) -> None:
        """Serve in the foreground until SIGINT or SIGTERM; `announce` gets the URL. Raises like `start`."""
        self._emulation.run(host, port, announce)

    def stop(self) -> None:
        """Release held requests, close all connections and the port; keep the data."""
        self._emulation.faults.clear()
        self._emulation.stop()

    def close(self) -> None:
        """Stop for good and give the data up."""
        self.stop()
        self._store.close()

    def __enter__(self) -> QdrantEmulator:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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

from nestvec_qdrant.testing.app import EmulatorApp, Settings
from nestvec_qdrant.testing.faults import Fault, FaultPlan
from nestvec_qdrant.testing.journal import Journal, RecordedRequest
from nestvec_qdrant.testing.server import ServerThread
from nestvec_qdrant.testing.store import Store

if TYPE_CHECKING:
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
        self._store = Store(path)
        self._faults = FaultPlan()
        self._journal = Journal()
        self._server = ServerThread()
        settings = Settings(api_key, read_only_api_key, max_body_bytes)
        app = EmulatorApp(self._store, settings, self._faults, self._journal, self._server.abort)
        self._app = app.build()

    @property
    def url(self) -> str:
        """Where it listens. Raises `BackendUnavailable` before the first start."""
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """All requests so far, without credentials. `GET /`, the client's version check, is left out."""
        return self._journal.requests

    @property
    def pending_faults(self) -> tuple[Fault, ...]:
        """Injected faults that no request has met yet."""
        return self._faults.pending

    def clear_requests(self) -> None:
        """Forget the recorded requests."""
        self._journal.clear()

    def clear_faults(self) -> None:
        """Forget planned faults and release held requests."""
        self._faults.clear()

    def inject(
        self, fault: _FaultT, *, method: str | None = None, path: str = "*", skip: int = 0, times: int = 1
    ) -> _FaultT:
        """Plan a fault and return it.

        It hits the next `times` requests whose method is `method` (None: any) and whose path matches the
        shell pattern `path`, after `skip` of them went well. Faults are used in the order of planning.
        """
        self._faults.add(fault, method=method, path=path, skip=skip, times=times)
        return fault

    def reset(self) -> None:
        """Drop all collections, faults and recorded requests: quicker than a new emulator for each test."""
        self._faults.clear()
        self._store.clear()
        self._journal.clear()

    def start(self) -> None:
        """Listen. Returns when connections are accepted. Raises `BackendUnavailable` if it can not."""
        self._server.start(self._app)

    def stop(self) -> None:
        """Release held requests, close all connections and the port; keep the data."""
        self._faults.clear()
        self._server.stop()

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

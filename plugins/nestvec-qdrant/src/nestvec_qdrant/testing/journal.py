"""What went over the wire, for tests to assert on."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Never recorded: a failing assertion prints what is recorded.
SECRET_HEADERS = frozenset({"api-key", "authorization", "cookie"})


@dataclass(frozen=True)
class RecordedRequest:
    """One request as it arrived. `body` is the parsed JSON, None without a (readable) body."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """The parsed JSON body, or None."""
        try:
            return json.loads(self.raw) if self.raw else None
        except ValueError:
            return None


class Journal:
    """All requests in order of arrival, without credentials. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[RecordedRequest] = []

    def record(self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], raw: bytes) -> None:
        """Add a request; header names are expected in lower case."""
        public = {name: value for name, value in headers.items() if name not in SECRET_HEADERS}
        with self._lock:
            self._requests.append(RecordedRequest(method, path, dict(query), public, raw))

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """The requests so far."""
        with self._lock:
            return tuple(self._requests)

    def clear(self) -> None:
        """Forget what was recorded."""
        with self._lock:
            self._requests.clear()

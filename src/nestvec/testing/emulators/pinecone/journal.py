"""What went over the wire, both ways, for tests to assert on."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Never kept: a failing assertion prints what is kept.
SECRETS: Final = frozenset({"api-key", "authorization", "cookie"})


@dataclass(frozen=True)
class Exchange:
    """One request and its answer. `path` is the one below the index's host; `index` is None on the control plane."""

    method: str
    path: str
    index: str | None
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    raw: bytes
    status: int
    reply: bytes

    @property
    def body(self) -> Any:
        """The parsed JSON body of the request, or None."""
        return parsed(self.raw)

    @property
    def answer(self) -> Any:
        """The parsed JSON body of the reply, or None."""
        return parsed(self.reply)


def parsed(raw: bytes) -> Any:
    """JSON, or None for anything else."""
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None


class Journal:
    """All exchanges in the order of their answers. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._exchanges: list[Exchange] = []

    def add(self, exchange: Exchange) -> None:
        """Keep one."""
        with self._lock:
            self._exchanges.append(exchange)

    def all(self) -> tuple[Exchange, ...]:
        """Those so far."""
        with self._lock:
            return tuple(self._exchanges)

    def clear(self) -> None:
        """Forget them."""
        with self._lock:
            self._exchanges.clear()

"""Faults that a test plans for requests to come."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from fnmatch import fnmatchcase


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong with one request.

    `applied` says whether the operation is carried out nonetheless: the client then sees a failure of
    a request that took effect, which is what retries must survive.
    """

    applied: bool = False


@dataclass(frozen=True, kw_only=True)
class StatusFault(Fault):
    """Answer with an HTTP status and Qdrant's error shape; `retry_after` (seconds) sets the header."""

    status: int
    error: str = "Service internal error: injected by a test"
    retry_after: int | None = None


@dataclass(frozen=True, kw_only=True)
class CutFault(Fault):
    """Close the connection without an answer."""


@dataclass(frozen=True, kw_only=True)
class MalformedFault(Fault):
    """Carry the request out, then answer 200 with a body that is not the promised JSON."""

    applied: bool = True
    content: bytes = b'{"result": {"points": [{"id": 1, "sc'


@dataclass(frozen=True, kw_only=True, eq=False)
class HoldFault(Fault):
    """Keep the answer back until `release()` is called; then the request goes its normal way.

    `arrived` is set when the first held request is there, so no test has to sleep. Requests that are
    still held when the emulator stops are released.
    """

    arrived: threading.Event = field(default_factory=threading.Event)
    _released: Future[None] = field(default_factory=Future, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def release(self) -> None:
        """Let all held requests go on. May be called from any thread, and more than once."""
        with self._lock:
            if not self._released.done():
                self._released.set_result(None)

    async def wait(self) -> None:
        """Announce an arrival and wait for the release (on the server's event loop)."""
        self.arrived.set()
        # Shielded: one client that hangs up must not cancel the release of the others.
        await asyncio.shield(asyncio.wrap_future(self._released))


@dataclass
class _Planned:
    fault: Fault
    method: str | None
    path: str
    skip: int
    times: int

    def matches(self, method: str, path: str) -> bool:
        return self.method in (None, method) and fnmatchcase(path, self.path)


class FaultPlan:
    """The faults still to come, oldest first. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[_Planned] = []
        self._holds: list[HoldFault] = []

    def add(self, fault: Fault, *, method: str | None, path: str, skip: int, times: int) -> None:
        """Plan `fault` for the next `times` matching requests after `skip` of them went well."""
        with self._lock:
            self._planned.append(_Planned(fault, method, path, skip, times))
            if isinstance(fault, HoldFault):
                self._holds.append(fault)

    def take(self, method: str, path: str) -> Fault | None:
        """The fault for this request, used up by it."""
        with self._lock:
            for planned in self._planned:
                if planned.matches(method, path):
                    return self._use(planned)
        return None

    def _use(self, planned: _Planned) -> Fault | None:
        if planned.skip:
            planned.skip -= 1
            return None
        planned.times -= 1
        if not planned.times:
            self._planned.remove(planned)
        return planned.fault

    @property
    def pending(self) -> tuple[Fault, ...]:
        """Faults that no request has met yet: a test that ends with some tested less than it meant to."""
        with self._lock:
            return tuple(planned.fault for planned in self._planned)

    def clear(self) -> None:
        """Forget all planned faults and release whatever is held."""
        with self._lock:
            self._planned.clear()
            holds, self._holds = self._holds, []
        for hold in holds:
            hold.release()

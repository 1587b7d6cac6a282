"""Faults that a test plans for requests to come."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from fnmatch import fnmatchcase


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong with one request.

    `applied`: the request is carried out nonetheless. The client then sees a failure of something that took
    effect, which is what retries must survive.
    """

    applied: bool = False


@dataclass(frozen=True, kw_only=True)
class Status(Fault):
    """An error status with Pinecone's shape of errors; `retry_after` (seconds) sets the header."""

    status: int
    message: str = "injected by a test"
    retry_after: int | None = None


@dataclass(frozen=True, kw_only=True)
class Cut(Fault):
    """The connection is closed without an answer."""


@dataclass(frozen=True, kw_only=True)
class Malformed(Fault):
    """A 200 that is not the promised JSON."""

    applied: bool = True
    content: bytes = b'{"vectors": {"a": '


@dataclass(frozen=True, kw_only=True, eq=False)
class Meet(Fault):
    """Requests wait for each other until `number` of them are in flight together; then all go on.

    A request that waits in vain is answered with 503 after so many seconds.
    """

    number: int
    seconds: float = 10.0
    _waiting: list[asyncio.Event] = field(default_factory=list, repr=False)

    async def wait(self) -> bool:
        """On the server's loop; whether they met."""
        mine = asyncio.Event()
        self._waiting.append(mine)
        if len(self._waiting) >= self.number:
            for each in self._waiting:
                each.set()
            self._waiting.clear()
        try:
            await asyncio.wait_for(mine.wait(), self.seconds)
        except TimeoutError:
            return False
        return True


@dataclass
class _Planned:
    fault: Fault
    method: str | None
    path: str
    skip: int
    times: int


class FaultPlan:
    """The faults still to come, oldest first. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[_Planned] = []

    def add(self, fault: Fault, *, path: str, method: str | None, skip: int, times: int) -> None:
        """For the next `times` matching requests after `skip` of them went well."""
        with self._lock:
            self._planned.append(_Planned(fault, method, path, skip, times))

    def take(self, method: str, path: str) -> Fault | None:
        """The fault for this request, used up by it."""
        with self._lock:
            for planned in self._planned:
                if planned.method in (None, method) and fnmatchcase(path, planned.path):
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
    def pending(self) -> int:
        """Planned faults that no request has met yet."""
        with self._lock:
            return sum(planned.times for planned in self._planned)

    def clear(self) -> None:
        """Forget them."""
        with self._lock:
            self._planned.clear()

"""Which requests meet which faults: the next ones, all of them, or some at random."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from nestvec.errors import InvalidInput
from nestvec_testing.emulators.faults import Fault, Hold


@dataclass(frozen=True)
class Storm:
    """Faults at random: `faults` maps each to its probability.

    The dice depend on `seed`, on the request and on how often it came, not on the order of different requests: a
    client with many of them in flight meets the same storm in each run. `most` limits how often in a row one and the
    same request (method, path and body) is hit, so that a client that retries more often gets through; None does not.
    """

    seed: int
    faults: Mapping[Fault, float]
    most: int | None = 3

    def __post_init__(self) -> None:
        chances = tuple(self.faults.values())
        if min(chances, default=0) < 0 or sum(chances) > 1 + 1e-9:
            raise InvalidInput(f"The probabilities of a storm must be from 0 to 1 together, but are {chances}.")

    def draw(self, request: bytes, time: int) -> Fault | None:
        """What the request (its digest) meets when it comes for the n-th time."""
        digest = hashlib.blake2b(b"%d/%d/%b" % (self.seed, time, request), digest_size=8).digest()
        left = int.from_bytes(digest, "big") / 2**64
        for fault, chance in self.faults.items():
            if left < chance:
                return fault
            left -= chance
        return None


@dataclass
class _Matching:
    method: str | None
    path: str
    containing: bytes

    def matches(self, method: str, path: str, body: bytes) -> bool:
        return self.method in (None, method) and fnmatchcase(path, self.path) and self.containing in body


@dataclass
class _Planned(_Matching):
    fault: Fault
    skip: int
    times: int | None
    met: bool = False

    def take(self) -> Fault | None:
        if self.skip:
            self.skip -= 1
            return None
        self.met = True
        if self.times is not None:
            self.times -= 1
        return self.fault

    @property
    def pending(self) -> int:
        return int(not self.met) if self.times is None else self.times


@dataclass
class _Blowing(_Matching):
    storm: Storm
    seen: Counter[bytes] = field(default_factory=Counter)
    in_a_row: Counter[bytes] = field(default_factory=Counter)

    def take(self, request: bytes) -> Fault | None:
        self.seen[request] += 1
        fault = self.storm.draw(request, self.seen[request])
        if fault is None or self.in_a_row[request] == self.storm.most:
            self.in_a_row[request] = 0
            return None
        self.in_a_row[request] += 1
        return fault


class FaultPlan:
    """The faults still to come; those planned for certain before those of storms, oldest first. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[_Planned] = []
        self._storms: list[_Blowing] = []
        self._holds: list[Hold] = []

    def add(
        self,
        fault: Fault,
        *,
        path: str = "*",
        method: str | None = None,
        containing: bytes = b"",
        skip: int = 0,
        times: int | None = 1,
    ) -> None:
        """For the next `times` (None: all) matching requests after `skip` of them went well.

        `containing` is looked for in the body as it was sent: choose ASCII letters, which nothing escapes.
        """
        with self._lock:
            self._planned.append(_Planned(method, path, containing, fault, skip, times))
            if isinstance(fault, Hold):
                self._holds.append(fault)

    def storm(self, storm: Storm, *, path: str = "*", method: str | None = None) -> None:
        """For matching requests, until `clear`."""
        with self._lock:
            self._storms.append(_Blowing(method, path, b"", storm))

    def take(self, method: str, path: str, body: bytes = b"") -> Fault | None:
        """The fault for this request, used up by it."""
        with self._lock:
            for planned in self._planned:
                if planned.matches(method, path, body):
                    fault = planned.take()
                    self._planned = [each for each in self._planned if each.times != 0]
                    return fault
            return self._blown(method, path, body)

    def _blown(self, method: str, path: str, body: bytes) -> Fault | None:
        storms = [each for each in self._storms if each.matches(method, path, body)]
        if not storms:
            return None
        request = hashlib.blake2b(b"%b %b\n%b" % (method.encode(), path.encode(), body), digest_size=16).digest()
        drawn = [each.take(request) for each in storms]
        return next((fault for fault in drawn if fault is not None), None)

    @property
    def pending(self) -> tuple[Fault, ...]:
        """Planned faults that no request has met yet: a test that ends with some tested less than it meant to."""
        with self._lock:
            return tuple(each.fault for each in self._planned for _ in range(each.pending))

    def clear(self) -> None:
        """Forget all faults and storms, and release what is held."""
        with self._lock:
            self._planned.clear()
            self._storms.clear()
            holds, self._holds = self._holds, []
        for hold in holds:
            hold.release()

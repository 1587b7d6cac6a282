"""Rates and concurrency, as plain arithmetic on a clock: nothing here waits."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

MINUTE = 60.0
_EPSILON = 1e-9


@dataclass(slots=True, eq=False)
class Taken:
    """A request that was let through, and what it was charged."""

    at: float
    tokens: int
    counted: bool = True


@dataclass(slots=True)
class Quota:
    """Requests and tokens in any stretch of a minute; 0 means no limit.

    What the server says is left counts, too: other processes may use the same key.
    """

    requests: int
    tokens: int
    minute: float = MINUTE
    _log: deque[Taken] = field(default_factory=deque)
    _spent: int = 0
    _left_requests: int | None = None
    _left_tokens: int | None = None
    _blocked: float = 0.0

    def delay(self, now: float, tokens: int) -> float:
        """Seconds until a request of so many tokens may start; 0 for now."""
        self._forget(now)
        waits = [self._blocked - now]
        if self.requests and len(self._log) >= self.requests:
            waits.append(self._log[-self.requests].at + self.minute - now)
        if self.tokens:
            waits.append(self._token_delay(now, min(tokens, self.tokens)))
        short = self._left_requests is not None and self._left_requests < 1
        short = short or (self._left_tokens is not None and self._left_tokens < tokens)
        if short and self._log:
            waits.append(self._log[0].at + self.minute - now)
        return max(0.0, *waits)

    def take(self, now: float, tokens: int) -> Taken:
        """Charge a request that starts now."""
        entry = Taken(now, tokens)
        self._log.append(entry)
        self._spent += tokens
        if self._left_requests is not None:
            self._left_requests -= 1
        if self._left_tokens is not None:
            self._left_tokens -= tokens
        return entry

    def settle(self, entry: Taken, used: int) -> None:
        """Correct an estimate by what was really used."""
        if entry.counted:
            self._spent += used - entry.tokens
        entry.tokens = used

    def hear(self, requests: int | None, tokens: int | None, in_flight: int) -> None:
        """What the server says is left; of requests in flight it may not know yet."""
        self._left_requests = requests - in_flight if requests is not None else self._left_requests
        self._left_tokens = tokens if tokens is not None else self._left_tokens

    def block(self, until: float) -> None:
        """Let nothing through before then."""
        self._blocked = max(self._blocked, until)

    def blocked_for(self, now: float) -> float:
        """Seconds for which nothing is let through."""
        return max(0.0, self._blocked - now)

    def _token_delay(self, now: float, tokens: int) -> float:
        """Until enough of what was spent in the last minute is older than that."""
        excess = self._spent + tokens - self.tokens
        wait = 0.0
        for entry in self._log:
            if excess <= 0:
                break
            excess -= entry.tokens
            wait = entry.at + self.minute - now
        return wait

    def _forget(self, now: float) -> None:
        while self._log and self._log[0].at + self.minute <= now + _EPSILON:
            gone = self._log.popleft()
            gone.counted = False
            self._spent -= gone.tokens
            if not self._log:
                # A minute of silence: what the server said is out of date.
                self._left_requests = self._left_tokens = None


@dataclass(slots=True)
class Width:
    """How many requests may be in flight: half after a refusal, one more after as many successes."""

    most: int
    value: float = 0.0
    _halved: float = -math.inf

    def __post_init__(self) -> None:
        self.value = float(self.most)

    @property
    def now(self) -> int:
        """At least one."""
        return max(1, int(self.value))

    def succeeded(self) -> None:
        """A request came through."""
        self.value = min(float(self.most), self.value + 1 / max(1.0, self.value))

    def refused(self, sent: float, now: float, in_flight: int) -> None:
        """Too many at once. A burst counts once: of what was sent before the last halving, nothing more is learned."""
        if sent >= self._halved:
            self.value = max(1.0, min(self.value, in_flight) / 2)
            self._halved = now


@dataclass(slots=True)
class BatchSize:
    """How many texts go into a request: fewer when replies are slow or time out, more when they are quick."""

    most: int
    patience: float
    value: float = 0.0

    def __post_init__(self) -> None:
        self.value = float(self.most)

    @property
    def now(self) -> int:
        """At least one."""
        return max(1, int(self.value))

    def succeeded(self, texts: int, seconds: float) -> None:
        """A full request took so long."""
        if texts >= self.now:
            factor = 0.8 if seconds > self.patience else 1.25
            self.value = min(float(self.most), max(1.0, self.value * factor))

    def failed(self, texts: int) -> None:
        """A request was too much, or timed out."""
        self.value = max(1.0, min(self.value, texts) / 2)

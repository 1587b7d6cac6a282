"""The one layer that repeats requests to backends. (Embedders repeat by themselves: only they know quotas.)"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.contract import Event

if TYPE_CHECKING:
    from nestvec.contract import BackendRequest, Encode, Encoded
    from nestvec.errors import NestvecError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `attempts` tries within about `deadline` seconds, with exponential back-off and jitter.

    Every request that a rule sends to a backend may be repeated: ids are computed, and creating, setting an alias and
    removing twice is the same as once.
    """

    attempts: int = 4
    deadline: float = 30.0
    first_wait: float = 0.2
    longest_wait: float = 5.0

    def pause(self, error: NestvecError, attempt: int, passed: float) -> float | None:
        """Seconds to wait after a failed attempt (1, 2, …); None: give up. `passed` are the seconds since the first."""
        if not error.retryable or attempt >= self.attempts:
            return None
        jitter = random.uniform(0, self.first_wait)  # noqa: S311 - no secret
        pause = min(self.first_wait * 2 ** (attempt - 1) + jitter, self.longest_wait)
        return pause if passed + pause < self.deadline else None


def repetition(request: BackendRequest, attempt: int, error: NestvecError) -> Event:
    """The event of a request that is sent once more."""
    return Event("request_retried", None, {"request": request.method, "attempt": attempt, "error": str(error)})


def retried(request: Encode, reply: Encoded) -> Event:
    """The event of an embedder that repeated requests: it does so by itself, and counts."""
    return Event("request_retried", None, {"request": request.method, "attempt": reply.usage.retries, "error": None})

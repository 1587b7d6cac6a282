"""The one layer that repeats requests to backends. (Embedders repeat by themselves: only they know quotas.)"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.contract import Event
from nestvec.contract.vendor import method_in_messages

if TYPE_CHECKING:
    from nestvec.contract import BackendRequest, Encode, Encoded
    from nestvec.errors import NestvecError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How requests to backends are repeated: with exponential back-off and jitter.

    Every request that a rule sends to a backend may be repeated: ids are computed, and creating, setting an alias and
    removing twice is the same as once.

    Attributes:
        attempts: How often a request is tried at most, the first time included.
        deadline: Seconds after the first attempt, after which none is begun.
        first_wait: Seconds before the second attempt; each further wait is twice as long.
        longest_wait: Seconds that a wait lasts at most.

    Example:
        >>> nestvec.Runtime(retry=nestvec.RetryPolicy(attempts=2)).retry.attempts
        2
    """

    attempts: int = 4
    deadline: float = 30.0
    first_wait: float = 0.2
    longest_wait: float = 5.0

    def pause(self, error: NestvecError, attempt: int, passed: float) -> float | None:
        """Tell how long to wait after a failed attempt.

        Args:
            error: What it failed with.
            attempt: Its number: 1, 2, …
            passed: Seconds since the first attempt.

        Returns:
            Seconds, or None: give up.

        Example:
            >>> from nestvec.errors import BackendUnavailable
            >>> nestvec.RetryPolicy(attempts=2).pause(BackendUnavailable("busy"), 2, 0.3) is None
            True
        """
        if not error.retryable or attempt >= self.attempts:
            return None
        jitter = random.uniform(0, self.first_wait)  # noqa: S311 - no secret
        pause = min(self.first_wait * 2 ** (attempt - 1) + jitter, self.longest_wait)
        return pause if passed + pause < self.deadline else None


def repetition(request: BackendRequest, attempt: int, error: NestvecError) -> Event:
    """The event of a request that is sent once more."""
    details = {"request": method_in_messages(request), "attempt": attempt, "error": str(error)}
    return Event("request_retried", None, details)


def retried(request: Encode, reply: Encoded) -> Event:
    """The event of an embedder that repeated requests: it does so by itself, and counts."""
    return Event("request_retried", None, {"request": request.method, "attempt": reply.usage.retries, "error": None})

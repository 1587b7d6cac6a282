"""The one layer that repeats requests to backends. (Embedders repeat by themselves: only they know quotas.)"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.contract import Event

if TYPE_CHECKING:
    from nestvec.contract import BackendRequest, Encode, Encoded
    from nestvec.errors import NestvecError


#: Seconds for which a handle trusts the alias it resolved. Readers follow a switch within one lease.
LEASE = 30.0
#: Attempts at a backend that has not answered yet: that is a wrong address rather than a restart.
_HOPELESS = 4


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How requests to backends are repeated: with exponential back-off and jitter.

    Every request that a rule sends to a backend may be repeated: ids are computed, and creating, setting an alias and
    removing twice is the same as once.

    So a server that restarts ends no ingestion, if it is back within the deadline. `attempts` and `deadline` in a
    backend's block of the configuration take the place of these.

    Attributes:
        attempts: How often a request is tried at most, the first time included. None: as often as the deadline allows,
            but four times where a backend has not answered yet.
        deadline: Seconds after the first attempt, after which none is begun.
        first_wait: Seconds before the second attempt; each further wait is twice as long.
        longest_wait: Seconds that a wait lasts at most.

    Example:
        >>> nestvec.Runtime(retry=nestvec.RetryPolicy(attempts=2)).retry.attempts
        2
    """

    attempts: int | None = None
    deadline: float = 60.0
    first_wait: float = 0.2
    longest_wait: float = 5.0

    def pause(self, error: NestvecError, attempt: int, passed: float, *, answered: bool = True) -> float | None:
        """Tell how long to wait after a failed attempt.

        Args:
            error: What it failed with.
            attempt: Its number: 1, 2, …
            passed: Seconds since the first attempt.
            answered: Whether this backend has answered before.

        Returns:
            Seconds, or None: give up.

        Example:
            >>> from nestvec.errors import BackendUnavailable
            >>> nestvec.RetryPolicy(attempts=2).pause(BackendUnavailable("busy"), 2, 0.3) is None
            True
        """
        most = _HOPELESS if self.attempts is None and not answered else self.attempts
        if not error.retryable or (most is not None and attempt >= most):
            return None
        jitter = random.uniform(0, self.first_wait)  # noqa: S311 - no secret  # nosec B311
        pause = min(self.first_wait * 2 ** min(attempt - 1, 60) + jitter, self.longest_wait)
        return pause if passed + pause < self.deadline else None


def repetition(request: BackendRequest, attempt: int, error: NestvecError) -> Event:
    """The event of a request that is sent once more."""
    from nestvec.contract.vendor import method_in_messages

    details = {"request": method_in_messages(request), "attempt": attempt, "error": str(error)}
    return Event("request_retried", None, details)


def retried(request: Encode, reply: Encoded) -> Event:
    """The event of an embedder that repeated requests: it does so by itself, and counts."""
    return Event("request_retried", None, {"request": request.method, "attempt": reply.usage.retries, "error": None})

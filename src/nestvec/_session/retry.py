"""The one layer that retries requests to backends. (Embedders retry by themselves: only they know quotas.)"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tenacity

from nestvec.contract import BackendRequest, Encode, Encoded, Event
from nestvec.errors import BackendUnavailable, NestvecError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `attempts` tries within about `deadline` seconds, with exponential back-off and jitter.

    Every request that a flow sends to a backend may be repeated: ids are computed, and creating, pointing and
    removing twice is the same as once.
    """

    attempts: int = 4
    deadline: float = 30.0
    first_wait: float = 0.2
    longest_wait: float = 5.0

    def controllers(
        self, notify: Callable[[Event], None], request: BackendRequest, clock: Callable[[], float]
    ) -> dict[str, object]:
        """Arguments for `tenacity.Retrying` and `tenacity.AsyncRetrying`."""
        method, until = request.method, getattr(request, "until", None)
        bounded = tenacity.stop_after_attempt(self.attempts) | tenacity.stop_before_delay(self.deadline)

        def report(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            data = {"request": method, "attempt": state.attempt_number, "error": str(error)}
            notify(Event("request_retried", None, data))

        return {
            "retry": tenacity.retry_if_exception(_retryable),
            "stop": lambda state: bounded(state) or (until is not None and clock() >= until),
            "wait": tenacity.wait_exponential_jitter(
                multiplier=self.first_wait, max=self.longest_wait, jitter=self.first_wait
            ),
            "before_sleep": report,
            "reraise": True,
        }


def require_in_time(request: BackendRequest, clock: Callable[[], float]) -> None:
    """Raise `BackendUnavailable` for a write whose lease ended before it is sent. Whoever asked binds anew.

    A process may stand still for long; what it was about to write to may be in use by others then.
    """
    until = getattr(request, "until", None)
    if until is not None and clock() >= until:
        raise BackendUnavailable(
            f"{request.method}: the lease ended before it was sent, for the process stood still; nothing was written"
        )


def retried(request: Encode, reply: Encoded) -> Event:
    """The event of an embedder that repeated requests: it retries by itself, and counts."""
    return Event("request_retried", None, {"request": request.method, "attempt": reply.usage.retries, "error": None})


def _retryable(error: BaseException) -> bool:
    return isinstance(error, NestvecError) and error.retryable

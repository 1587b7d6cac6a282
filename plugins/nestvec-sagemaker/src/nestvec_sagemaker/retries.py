"""The one layer that repeats requests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import tenacity

from nestvec.errors import EmbedderError, EmbedderInvalidReply, EmbedderUnavailable
from nestvec_sagemaker.errors import EndpointTooSlow, EndpointUnreachable
from nestvec_sagemaker.options import SageMakerOptions
from nestvec_sagemaker.wire import EndpointNotFinite, EndpointOtherShape

T = TypeVar("T")
_LONGEST_WAIT = 30.0
#: Attempts at what is probably not a matter of luck: a wrong address, a model that always answers so.
_HOPELESS = 3


class Halted(EmbedderError):
    """Nobody waits for this request any more."""


class Retries:
    """Sends until it succeeds, is refused for good, or attempts or deadline are used up; not after `halt` is set."""

    def __init__(self, options: SageMakerOptions, halt: threading.Event, on_retry: Callable[[], None]) -> None:
        self._options, self._halt, self._on_retry = options, halt, on_retry
        self._answered = False

    def __call__(self, send: Callable[[], T], texts: int) -> T:
        """`send()`, of so many texts. The deadline counts from the first time."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: _repeatable(error, texts)),
            stop=self._stop,
            wait=tenacity.wait_exponential_jitter(
                multiplier=self._options.backoff, max=_LONGEST_WAIT, jitter=self._options.backoff
            ),
            before_sleep=lambda _: self._on_retry(),
            sleep=self._pause,
            reraise=True,
        )
        result: T = retrying(self._once, send)
        return result

    def _pause(self, seconds: float) -> None:
        self._halt.wait(seconds)

    def _once(self, send: Callable[[], T]) -> T:
        if self._halt.is_set():
            raise Halted("stopped: another request failed for good, or the caller was interrupted")
        result = send()
        self._answered = True
        return result

    def _stop(self, state: tenacity.RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        hopeless = isinstance(error, EndpointNotFinite | EndpointOtherShape) or (
            isinstance(error, EndpointUnreachable) and not self._answered
        )
        most = min(self._options.attempts, _HOPELESS) if hopeless else self._options.attempts
        until = (state.seconds_since_start or 0.0) + state.upcoming_sleep
        return state.attempt_number >= most or until >= self._options.deadline


def _repeatable(error: BaseException, texts: int) -> bool:
    """What may go better the next time. A slow request of several texts is not repeated but split."""
    if isinstance(error, EndpointTooSlow):
        return texts == 1
    return isinstance(error, EmbedderUnavailable | EmbedderInvalidReply)

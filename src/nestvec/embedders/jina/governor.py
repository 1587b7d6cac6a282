"""One governor for all requests of this process that use one key: rates, concurrency, batch size, retries.

It lives on one event loop (see `nestvec.embedders.jina.engine`), so it needs no locks.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tenacity

from nestvec.embedders.jina.quota import BatchSize, Quota, Taken, Width
from nestvec.embedders.jina.wire import Busy, NotFinite, OtherShape, Reply, Throttled, TooSlow, Unreachable
from nestvec.errors import EmbedderInvalidReply, EmbedderUnavailable

if TYPE_CHECKING:
    from nestvec.embedders.jina.options import JinaOptions

#: Seconds that a reply may take before requests become smaller.
PATIENCE = 15.0
_LONGEST_WAIT = 30.0
#: Seconds for which everybody pauses after the first refusal that does not say for how long.
_FIRST_PAUSE = 0.5
#: Attempts at what is probably not a matter of luck.
_HOPELESS = 3


@dataclass(slots=True)
class KeyState:
    """What is known of a key. It outlives event loops: a quota is not new because a client was closed."""

    quota: Quota
    width: Width
    batch: BatchSize
    throttled: int = 0
    throttled_at: float = float("-inf")
    answered: bool = False

    @classmethod
    def of(cls, options: JinaOptions) -> KeyState:
        """As configured."""
        return cls(
            Quota(options.requests_per_minute, options.tokens_per_minute),
            Width(options.concurrency),
            BatchSize(options.batch, PATIENCE),
        )

    def tighten(self, options: JinaOptions) -> None:
        """Keep the stricter of the limits so far and those of another embedder with the same key."""
        self.quota.requests = _stricter(self.quota.requests, options.requests_per_minute)
        self.quota.tokens = _stricter(self.quota.tokens, options.tokens_per_minute)
        self.width.most = min(self.width.most, options.concurrency)
        self.width.value = min(self.width.value, self.width.most)
        if options.batch > self.batch.most:  # each embedder keeps to its own: this is what is learned beyond
            self.batch.most = options.batch
            self.batch.value = max(self.batch.value, float(options.batch))


class Governor:
    """Lets requests through, first come, first served."""

    def __init__(self, state: KeyState, clock: Callable[[], float] = time.monotonic) -> None:
        self.state = state
        self.in_flight = 0
        self._clock = clock
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    async def retry(
        self,
        options: JinaOptions,
        send: Callable[[], Awaitable[Reply]],
        texts: int,
        tokens: int,
        on_retry: Retried,
        until: float | None = None,
    ) -> Reply:
        """Send until it succeeds, is refused for good, or attempts or deadline are used up.

        The deadline counts from the first time that the request is really sent: a long queue is no failure. Nothing
        is sent after `until` (on the monotonic clock), nor where the server asks for a pause beyond the deadline.
        """
        sent_at: list[float] = []

        async def once() -> Reply:
            async with self._let_through(tokens, options.deadline, until) as taken:
                sent_at.append(self._clock())
                return await self._observed(send, taken, texts)

        def stop(state: tenacity.RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome else None
            most = min(options.attempts, _HOPELESS) if self._hopeless(error) else options.attempts
            pause = max(state.upcoming_sleep, getattr(error, "wait", None) or 0.0)
            now = self._clock()
            late = not sent_at or now + pause - sent_at[0] >= options.deadline
            return state.attempt_number >= most or late or (until is not None and now >= until)

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(lambda error: _repeatable(error, texts)),
            stop=stop,
            wait=_waiting(options),
            before_sleep=lambda _: on_retry(),
            reraise=True,
        )
        reply: Reply = await retrying(once)
        return reply

    def _hopeless(self, error: BaseException | None) -> bool:
        """Whether it is probably no matter of luck: what never worked is a wrong address, not a broken line."""
        if isinstance(error, Unreachable):
            return not self.state.answered
        return isinstance(error, NotFinite | OtherShape)

    async def _observed(self, send: Callable[[], Awaitable[Reply]], taken: Taken, texts: int) -> Reply:
        """Send once, and learn from how it went."""
        state, started = self.state, self._clock()
        try:
            reply = await send()
        except Throttled as error:
            state.quota.settle(taken, 0)  # refused: nothing of it was used
            self._throttled(error, taken)
            raise
        except (Busy, TooSlow) as error:
            state.width.refused(started, self._clock(), self.in_flight)
            if isinstance(error, TooSlow):
                state.batch.failed(texts)
            raise
        state.throttled, state.answered = 0, True
        if reply.tokens:  # a server that says nothing of them leaves us the estimate
            state.quota.settle(taken, reply.tokens)
        state.quota.hear(reply.remaining_requests, reply.remaining_tokens, self.in_flight - 1)
        state.width.succeeded()
        state.batch.succeeded(texts, self._clock() - started)
        return reply

    def _throttled(self, error: Throttled, taken: Taken) -> None:
        """Everybody waits: as long as the server says, else longer with each refusal in a row. A burst counts once."""
        now = self._clock()
        if error.limit == "concurrency":
            self.state.width.refused(taken.at, now, self.in_flight)
            return
        if taken.at >= self.state.throttled_at:
            self.state.throttled += 1
            self.state.throttled_at = now
        again = min(self.state.throttled - 1, 6)
        pause = error.wait if error.wait is not None else _FIRST_PAUSE * 2**again
        self.state.quota.block(now + pause)

    @asynccontextmanager
    async def _let_through(self, tokens: int, longest: float, until: float | None) -> AsyncIterator[Taken]:
        """Wait for one's turn, first come, first served; hold a place among the requests in flight."""
        async with self._turn:
            while (wait := self._wait(tokens)) > 0:
                self._check_pause(longest)
                await self._pause(wait)
            if until is not None and self._clock() >= until:
                raise TooSlow("the embeddings API was too slow too often; what is left is not tried any more")
            taken = self.state.quota.take(self._clock(), tokens)
            self.in_flight += 1
        try:
            yield taken
        finally:
            self.in_flight -= 1
            self._changed.set()

    def _check_pause(self, longest: float) -> None:
        blocked = self.state.quota.blocked_for(self._clock())
        if blocked > longest:
            raise Throttled(f"the embeddings API asks for a pause of {blocked:.0f} seconds", "requests", blocked)

    def _wait(self, tokens: int) -> float:
        if self.in_flight >= self.state.width.now:
            return _LONGEST_WAIT
        return self.state.quota.delay(self._clock(), tokens)

    async def _pause(self, seconds: float) -> None:
        """Until something changed, or the time has passed."""
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return


Retried = Callable[[], None]


def _repeatable(error: BaseException, texts: int) -> bool:
    """What may go better the next time. A slow request of several texts is not repeated but split."""
    if isinstance(error, TooSlow):
        return texts == 1
    return isinstance(error, EmbedderUnavailable | EmbedderInvalidReply)


def _stricter(one: int, two: int) -> int:
    return min(one, two) if one and two else one or two


def _waiting(options: JinaOptions) -> Callable[[tenacity.RetryCallState], float]:
    backoff = tenacity.wait_exponential_jitter(
        multiplier=options.backoff, max=max(_LONGEST_WAIT, options.backoff), jitter=options.backoff
    )

    def seconds(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = getattr(error, "wait", None)
        if isinstance(error, Throttled) and error.limit != "concurrency":
            return 0.0  # the quota is blocked: everybody waits, not this request alone
        return max(backoff(state), asked or 0.0)

    return seconds


_STATES: dict[tuple[str, bytes], KeyState] = {}
_GOVERNORS: dict[tuple[asyncio.AbstractEventLoop, str, bytes], Governor] = {}


def governor_for(options: JinaOptions, key: str) -> Governor:
    """The governor of everybody who uses this key at this address. Only its digest is kept. Call it on the loop."""
    identity = (options.base_url, hashlib.sha256(key.encode()).digest())
    if identity in _STATES:
        _STATES[identity].tighten(options)
    else:
        _STATES[identity] = KeyState.of(options)
    return _GOVERNORS.setdefault((asyncio.get_running_loop(), *identity), Governor(_STATES[identity]))


def forget_governors(loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Those of an event loop that has ended, or all. What is known of the quotas stays."""
    for place in [place for place in _GOVERNORS if loop is None or place[0] is loop]:
        del _GOVERNORS[place]

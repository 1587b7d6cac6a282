"""Quotas, from what really was served: sliding windows for each key and each address."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable

from nestvec_testing.emulators.jina.errors import JinaRefusal
from nestvec_testing.emulators.jina.settings import JinaSettings


class RateWindow:
    """What one client was served within the last minute: (time, tokens) of each request."""

    def __init__(self) -> None:
        self._served: deque[tuple[float, int]] = deque()

    def forget(self, until: float) -> None:
        """Whatever is so old."""
        while self._served and self._served[0][0] <= until:
            self._served.popleft()

    def add(self, now: float, tokens: int) -> None:
        """One more."""
        self._served.append((now, tokens))

    @property
    def requests(self) -> int:
        """How many."""
        return len(self._served)

    @property
    def tokens(self) -> int:
        """How many, in all."""
        return sum(tokens for _, tokens in self._served)

    def room_for_request(self, limit: int) -> float | None:
        """The time of the request that must grow old before there is room for another; None: never."""
        surplus = len(self._served) - limit
        return self._served[surplus][0] if 0 <= surplus < len(self._served) else None

    def room_for_tokens(self, limit: int, tokens: int) -> float | None:
        """The same for so many tokens."""
        left = self.tokens
        for at, each in self._served:
            left -= each
            if left + tokens <= limit:
                return at
        return None


class Rates:
    """Admits or refuses. Not safe for threads: the server's loop calls it."""

    def __init__(self, settings: Callable[[], JinaSettings], clock: Callable[[], float]) -> None:
        self._settings, self._clock = settings, clock
        self._keys: dict[str, RateWindow] = defaultdict(RateWindow)
        self._addresses: dict[str, RateWindow] = defaultdict(RateWindow)

    def clear(self) -> None:
        """As if nobody had been served."""
        self._keys.clear()
        self._addresses.clear()

    def check_request(self, key: str, address: str) -> None:
        """Whether there is room for another request. Raises `JinaRefusal`."""
        settings = self._settings()
        limit, window = settings.ip_requests_per_minute, self._current(self._addresses[address])
        if limit is not None and window.requests >= limit:
            detail = "IP rate limit exceeded. Too many requests from this IP address. Reduce request frequency."
            raise self._refusal(detail, "IP", window.room_for_request(limit))
        limit, window = settings.requests_per_minute, self._current(self._keys[key])
        if limit is not None and window.requests >= limit:
            detail = f"Request rate limit exceeded: {window.requests}/{limit} requests per minute."
            raise self._refusal(detail, "REQUEST", window.room_for_request(limit))

    def check_tokens(self, key: str, tokens: int) -> None:
        """Whether there is room for so many. Raises `JinaRefusal`."""
        limit, window = self._settings().tokens_per_minute, self._current(self._keys[key])
        if limit is not None and window.tokens + tokens > limit:
            detail = f"Token rate limit exceeded: {window.tokens + tokens:,}/{limit:,} tokens per minute."
            raise self._refusal(detail, "TOKEN", window.room_for_tokens(limit, tokens))

    def serve(self, key: str, address: str, tokens: int) -> None:
        """A request is carried out, and counts."""
        self._keys[key].add(self._clock(), tokens)
        self._addresses[address].add(self._clock(), tokens)

    def headers(self, key: str) -> dict[str, str]:
        """What is left of the key's quotas."""
        settings, window = self._settings(), self._current(self._keys[key])
        left = {
            "x-ratelimit-remaining-requests": (settings.requests_per_minute, window.requests),
            "x-ratelimit-remaining-tokens": (settings.tokens_per_minute, window.tokens),
        }
        return {name: str(max(0, limit - used)) for name, (limit, used) in left.items() if limit is not None}

    def _current(self, window: RateWindow) -> RateWindow:
        window.forget(self._clock() - self._settings().minute)
        return window

    def _refusal(self, detail: str, kind: str, room: float | None) -> JinaRefusal:
        minute = self._settings().minute
        wait = minute if room is None else room + minute - self._clock()
        return JinaRefusal(429, detail, f"RATE_{kind}_LIMIT_EXCEEDED", wait=wait)

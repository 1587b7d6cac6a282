"""What went over the wire, both ways, for tests to assert on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

if TYPE_CHECKING:
    from starlette.requests import Request

#: Headers whose values are never kept: a failing assertion prints what is kept.
SECRETS: Final = frozenset(
    {"api-key", "authorization", "cookie", "proxy-authorization", "x-amz-security-token", "x-api-key"}
)
HIDDEN: Final = "<secret>"


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One request and its reply.

    `query` has the pairs of the query string; header names are in lower case, secret values replaced. `started` and
    `ended` are seconds of the journal's clock: when the request had arrived in full, and when its reply began to go
    out (None: not yet). `in_flight` counts the requests between these two points when this one arrived, with it:
    never more than the client had under way. `status` is 0 while there is no reply, and where the connection was
    closed instead; `reply` is what went out of its body.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    raw: bytes
    started: float = 0.0
    ended: float | None = None
    in_flight: int = 0
    status: int = 0
    reply: bytes = b""

    @classmethod
    def of(cls, request: Request, raw: bytes, **more: Any) -> Self:
        """A request as it arrived; `more` are the fields of subclasses, or another `path`."""
        headers = {name: HIDDEN if name in SECRETS else value for name, value in request.headers.items()}
        given = {"path": request.url.path, **more}
        query = tuple(request.query_params.multi_items())
        return cls(method=request.method, query=query, headers=headers, raw=raw, **given)

    @property
    def body(self) -> Any:
        """The parsed JSON body of the request, or None."""
        return parsed(self.raw)

    @property
    def answer(self) -> Any:
        """The parsed JSON body of the reply, or None."""
        return parsed(self.reply)


def parsed(raw: bytes) -> Any:
    """JSON, or None for anything else."""
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None


ExchangeT = TypeVar("ExchangeT", bound=Exchange)


class Journal(Generic[ExchangeT]):
    """The exchanges so far: all, or the latest `keep` of them. Safe to use from several threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, keep: int | None = None) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self.keep = keep
        self._exchanges: dict[int, ExchangeT] = {}
        self._tickets = self._in_flight = self._peak = 0

    def begin(self, exchange: ExchangeT) -> int:
        """A request arrived; returns the ticket for `end`."""
        with self._lock:
            self._tickets += 1
            self._in_flight += 1
            self._peak = max(self._peak, self._in_flight)
            self._exchanges[self._tickets] = replace(exchange, started=self._clock(), in_flight=self._in_flight)
            while self.keep is not None and len(self._exchanges) > self.keep:
                del self._exchanges[next(iter(self._exchanges))]
            return self._tickets

    def end(self, ticket: int, status: int, reply: bytes) -> None:
        """Its reply is about to go out."""
        with self._lock:
            self._in_flight -= 1
            if ticket in self._exchanges:  # not forgotten meanwhile
                found = self._exchanges[ticket]
                self._exchanges[ticket] = replace(found, ended=self._clock(), status=status, reply=reply)

    @property
    def requests(self) -> tuple[ExchangeT, ...]:
        """All, in order of arrival."""
        with self._lock:
            return tuple(self._exchanges.values())

    @property
    def answered(self) -> tuple[ExchangeT, ...]:
        """Those that are over, in the order of their ends."""
        done = [(each.ended, each) for each in self.requests if each.ended is not None]
        return tuple(each for _, each in sorted(done, key=lambda pair: pair[0]))

    @property
    def in_flight(self) -> int:
        """Requests without a reply, now."""
        with self._lock:
            return self._in_flight

    @property
    def peak(self) -> int:
        """The most that were in flight at once, since the start or `clear`."""
        with self._lock:
            return self._peak

    def clear(self) -> None:
        """Forget the exchanges."""
        with self._lock:
            self._exchanges.clear()
            self._peak = self._in_flight

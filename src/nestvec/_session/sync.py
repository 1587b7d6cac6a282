"""The synchronous driver."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import tenacity

from nestvec._collections.following import Via
from nestvec._collections.opening import Alone, Emit, Request, Splitting, T, Wait
from nestvec._migration.copy import At
from nestvec._session.retry import RetryPolicy, require_in_time, retried
from nestvec.capabilities import ModelCapabilities
from nestvec.contract import Adapter, Embedder, Encode, Encoded, Event
from nestvec.encoding.encoder import finish, widen
from nestvec.errors import NestvecError

if TYPE_CHECKING:
    from nestvec._chunking import Splitter

R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)


class Cancelled(Exception):
    """Raised inside a flow whose ingestion was interrupted; never seen by users."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where requests go: openers, called when the first request needs them."""

    embedder: Callable[[], Embedder]
    adapter: Callable[[], Adapter]
    model: ModelCapabilities
    notify: Callable[[Event], None]
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    clock: Callable[[], float] = time.monotonic
    cancelled: threading.Event | None = None
    #: Held while a flow computes and not while it waits: of several that run in threads, one at a time comes to its
    #: next request as soon as it can, instead of all of them late.
    turn: AbstractContextManager[object] = field(default_factory=nullcontext)
    #: Held while a flow runs `Alone`. One for each handle.
    alone: AbstractContextManager[object] = field(default_factory=threading.Lock)
    #: Called with the seconds of a `Wait`, for tests: instead of letting them pass.
    pause: Callable[[float], object] | None = None
    #: What splits documents, for flows that ask for it.
    splitter: Callable[[], Splitter] | None = None

    def answer(self, request: Request) -> Any:
        """Perform one request."""
        if self.cancelled is not None and self.cancelled.is_set():
            raise Cancelled
        if isinstance(request, Emit):
            return self.notify(request.event)
        if isinstance(request, Alone):
            with self.alone:
                return run(request.flow(), self)
        if isinstance(request, Wait):
            return self._wait(request.seconds)
        if isinstance(request, Splitting):
            assert self.splitter is not None  # noqa: S101 - whoever runs such a flow gives one
            return self.splitter()
        if isinstance(request, Encode):
            return self._encode(request)
        method = getattr(self.adapter(), request.method)
        require_in_time(request, self.clock)
        retrying = tenacity.Retrying(**self.retry.controllers(self.notify, request, self.clock))  # type: ignore[arg-type]
        return retrying(method, request)

    def _wait(self, seconds: float) -> None:
        if self.pause is not None:
            self.pause(seconds)
        elif self.cancelled is None:
            time.sleep(seconds)
        elif self.cancelled.wait(seconds):
            raise Cancelled

    def _encode(self, request: Encode) -> Encoded:
        stop = self.cancelled.is_set if self.cancelled is not None else None
        asked = replace(widen(request, self.model), cancelled=stop)
        embedder = self.embedder()
        reply = embedder.encode(asked)
        if reply.usage.retries:
            self.notify(retried(request, reply))
        return finish(request, reply, self.model, embedder.rotation())


@dataclass(frozen=True, slots=True)
class PairPorts:
    """Two places, for flows that say with each request where it goes."""

    source: Ports
    target: Ports
    turn: AbstractContextManager[object] = field(default_factory=nullcontext)

    def answer(self, request: At) -> Any:
        """Perform one request where it belongs."""
        return (self.source if request.side == "source" else self.target).answer(request.request)


@dataclass(frozen=True, slots=True)
class ManyPorts:
    """The places where a collection may be, for flows that follow it."""

    places: Sequence[Ports]
    turn: AbstractContextManager[object] = field(default_factory=nullcontext)

    def answer(self, request: Via) -> Any:
        """Perform one request where it belongs."""
        return self.places[request.place].answer(request.request)


class Answers(Protocol[R_contra]):
    """Where a flow's requests go: `Ports`, `PairPorts`, or whoever else answers its kind of requests."""

    @property
    def turn(self) -> AbstractContextManager[object]:
        """Held while the flow computes."""

    def answer(self, request: R_contra) -> Any:
        """Perform one request."""


def run(flow: Generator[R, Any, T], ports: Answers[R]) -> T:
    """Drive a flow to its result."""
    try:
        with ports.turn:
            request = next(flow)
        while True:
            try:
                answer = ports.answer(request)
            except NestvecError as error:
                with ports.turn:
                    request = flow.throw(error)
            else:
                with ports.turn:
                    request = flow.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()

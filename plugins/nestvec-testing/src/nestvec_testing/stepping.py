"""Driving a flow by hand: look at each request it makes, and answer as the test likes. No plugin, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, cast

from nestvec._collections.opening import Alone, Emit, Flow, Request, T, through

_UNFINISHED: Any = object()


class Stepper(Generic[T]):
    """One flow, stopped at its current request.

        step = Stepper(count(binding))
        assert step.request == ResolveAlias("docs")
        step.answer("docs_1")

    `request` is None once the flow has ended; then `result` is what it returned. Events (`Emit`) are gathered in
    `events` and answered at once, unless `emits=True` asks to see them as requests. A flow that this one runs `Alone`
    is stepped as a part of it. Not for several threads.
    """

    def __init__(self, flow: Flow[T], *, emits: bool = False) -> None:
        self.request: Request | None = None
        self.events: list[Any] = []
        self.requests: list[Request] = []
        self._flow = _inlined(flow)
        self._emits = emits
        self._result: Any = _UNFINISHED
        self._advance(lambda: next(self._flow))

    @property
    def done(self) -> bool:
        """Whether the flow has returned."""
        return self._result is not _UNFINISHED

    @property
    def result(self) -> T:
        """What the flow returned. Raises `AssertionError` while it still waits for an answer."""
        if not self.done:
            raise AssertionError(f"the flow has not ended; it waits for the answer to {self.request!r}")
        return cast(T, self._result)

    def answer(self, value: object = None) -> Request | None:
        """Answer the current request; returns the next one, or None at the end."""
        self._must_wait()
        return self._advance(lambda: self._flow.send(value))

    def fail(self, error: BaseException) -> Request | None:
        """Let the current request fail; returns the next one. Raises what the flow does not handle."""
        self._must_wait()
        return self._advance(lambda: self._flow.throw(error))

    def close(self) -> None:
        """Abandon the flow, as an interrupted driver does."""
        self._flow.close()
        self.request = None

    def _must_wait(self) -> None:
        if self.request is None:
            raise AssertionError("the flow waits for no answer: it has ended, failed or was closed")

    def _advance(self, move: Callable[[], Request]) -> Request | None:
        self.request = None
        try:
            request = move()
            while isinstance(request, Emit) and not self._emits:
                self.events.append(request.event)
                request = self._flow.send(None)
        except StopIteration as stop:
            self._result = stop.value
            return None
        self.request = request
        self.requests.append(request)
        return request


def _inlined(flow: Flow[T]) -> Flow[T]:
    """The same flow, with the requests of those that it runs `Alone` as its own."""
    return through(flow, _asked)


def _asked(request: Request) -> Flow[Any]:
    return (yield from _inlined(request.flow())) if isinstance(request, Alone) else (yield request)


@dataclass(frozen=True, slots=True)
class Trace(Generic[T]):
    """A flow's whole course: the requests in order, the events, and the result."""

    requests: tuple[Request, ...]
    events: tuple[Any, ...]
    result: T

    @property
    def methods(self) -> list[str]:
        """The requests' method names, in order."""
        return [getattr(request, "method", type(request).__name__.lower()) for request in self.requests]


def trace(flow: Flow[T], answers: Iterable[object] | Mapping[type, object] | Callable[[Any], object]) -> Trace[T]:
    """Run a flow to its end on given answers.

    `answers` is a sequence of answers in order; or a mapping from request types to answers; or a function of the
    request. An answer that is an exception is raised inside the flow; in a mapping, one that is callable is called
    with the request. Raises `AssertionError` if answers are missing or left over.
    """
    step = Stepper(flow)
    left: Any = None
    if callable(answers):
        choose = answers
    elif isinstance(answers, Mapping):
        choose = _from_mapping(answers)
    else:
        left = iter(answers)
        choose = _from_sequence(left)
    while step.request is not None:
        value = choose(step.request)
        if isinstance(value, BaseException):
            step.fail(value)
        else:
            step.answer(value)
    unused = list(left) if left is not None else []
    if unused:
        raise AssertionError(f"the flow ended and left answers unused: {unused!r}")
    return Trace(tuple(step.requests), tuple(step.events), step.result)


def _from_mapping(answers: Mapping[type, object]) -> Callable[[Any], object]:
    def choose(request: Any) -> object:
        if type(request) not in answers:
            raise AssertionError(f"no answer was given for {request!r}")
        value = answers[type(request)]
        return value(request) if callable(value) else value

    return choose


def _from_sequence(left: Any) -> Callable[[Any], object]:
    def choose(request: Any) -> object:
        try:
            return next(left)
        except StopIteration:
            raise AssertionError(f"the answers are used up, but the flow asks {request!r}") from None

    return choose

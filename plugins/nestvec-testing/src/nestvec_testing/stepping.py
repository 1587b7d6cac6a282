"""Driving a rule by hand: look at each request it makes, and answer as the test likes. No plugin, no I/O."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from nestvec._session.session import Blocking, Component, Session, complete, finished
from nestvec.contract import Encode, Event
from nestvec_testing.recording import RecordingOptions, capabilities
from nestvec_testing.requests import SideRequest, Splitting, Wait, Within, addressed, bare, view_of

if TYPE_CHECKING:
    from nestvec._chunking import Splitter
    from nestvec.capabilities import ModelCapabilities
    from nestvec.contract import Encoded, ForeignLayout

T = TypeVar("T")
_UNFINISHED: Any = object()
#: The stepper whose rule runs now: events are told to it.
_RUNNING: ContextVar[Stepper[Any] | None] = ContextVar("running", default=None)


@dataclass(frozen=True, slots=True)
class Repeated:
    """An answer to a repetition: the first attempt failed, and may yet take effect."""

    value: object = None


class _Hand:
    """Hands a request to whoever steps the rule; awaiting it gives the answer."""

    def __init__(self, request: object) -> None:
        self._request = request

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self._request)


class Asking(Session):
    """A session that does nothing by itself: a rule that asks it is stopped, and whoever steps the rule answers.

    Requests to the backend are handed out as they are, and `Within` a tenant or layout where they go to such a view;
    requests to the embedder as `Encode`, waiting as `Wait`, what splits documents as `Splitting`. Nothing is repeated,
    no lease is looked at, and no turn is taken. A rule runs what it does `alone` without a lock.

    With a `side`, everything is handed out as `SideRequest(side, request)`: for rules that ask two of these. Events are
    gathered in `events`, of all rules that tell them here. `clock` gives seconds, as a session's does.
    """

    def __init__(
        self,
        side: str | None = None,
        *,
        model: ModelCapabilities | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.side = side
        self.events: list[Event] = []
        known = model or capabilities(RecordingOptions())
        super().__init__(Component(_nothing), Component(_nothing), known, self._tell, Blocking(), clock=clock)

    async def send(
        self,
        view: Callable[[Any], Any] | None,
        request: Any,
        failed: Callable[[], None] | None = None,
    ) -> Any:
        """Hand out a request to the backend, or to a view of it. It is repeated where the answer is `Repeated`."""
        seen = _View() if view is None else view(_View())
        answer = await self._hand(addressed(request, seen.tenant, seen.layout))
        if not isinstance(answer, Repeated):
            return answer
        if failed is not None:
            failed()
        return answer.value

    async def encode(self, request: Encode) -> Encoded:
        """Hand it out. The answer is taken as it is: of the length asked for."""
        answer: Encoded = await self._hand(request)
        return answer

    async def wait(self, seconds: float) -> None:
        """Hand out a `Wait`."""
        await self._hand(Wait(seconds))

    async def splitter(self) -> Splitter:
        """Hand out a `Splitting`."""
        answer: Splitter = await self._hand(Splitting())
        return answer

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """No second rule is kept out: whoever steps several decides what comes first."""
        yield

    def _hand(self, request: Any) -> _Hand:
        return _Hand(request if self.side is None else SideRequest(self.side, request))

    def _tell(self, event: Event) -> None:
        self.events.append(event)
        running = _RUNNING.get()
        if running is not None:
            running.course.append(event)


class _View:
    """What a view of an adapter is made of, when there is no adapter."""

    def __init__(self, tenant: str | None = None, layout: ForeignLayout | None = None) -> None:
        self.tenant, self.layout = tenant, layout

    def of_tenant(self, tenant: str) -> _View:
        return _View(tenant, self.layout)

    def reading(self, layout: ForeignLayout) -> _View:
        return _View(self.tenant, layout)


async def _nothing() -> Any:
    raise AssertionError("a rule that is stepped opens nothing")


class Stepper(Generic[T]):
    """One rule, stopped at its current request.

        asking = Asking()
        step = Stepper(count(OpenCollection(state, asking, None)))
        assert step.request == ResolveAlias("docs")
        step.answer("docs_1")

    `request` is None once the rule has ended; then `result` is what it returned. `requests` are those made so far,
    `events` what it told, and `course` both in order. Several may be stepped in turn. Not for several threads.
    """

    def __init__(self, rule: Coroutine[Any, Any, T]) -> None:
        self.request: Any = None
        self.course: list[Any] = []
        self._rule = rule
        self._result: Any = _UNFINISHED
        self._advance(lambda: rule.send(None))

    @property
    def requests(self) -> list[Any]:
        """What was asked so far, the current request included."""
        return [each for each in self.course if not isinstance(each, Event)]

    @property
    def events(self) -> list[Event]:
        """What the rule told so far."""
        return [each for each in self.course if isinstance(each, Event)]

    @property
    def done(self) -> bool:
        """Whether the rule has returned."""
        return self._result is not _UNFINISHED

    @property
    def result(self) -> T:
        """What the rule returned. Raises `AssertionError` while it still waits for an answer."""
        if not self.done:
            raise AssertionError(f"the rule has not ended; it waits for the answer to {self.request!r}")
        return cast(T, self._result)

    def answer(self, value: object = None) -> Any:
        """Answer the current request; returns the next one, or None at the end."""
        self._must_wait()
        return self._advance(lambda: self._rule.send(value))

    def fail(self, error: BaseException) -> Any:
        """Let the current request fail; returns the next one. Raises what the rule does not handle."""
        self._must_wait()
        return self._advance(lambda: self._rule.throw(error))

    def close(self) -> None:
        """Abandon the rule, as a process does that is killed: what it still asks for is never answered."""
        self.request = None
        while _still_asks(self._rule):
            pass

    def _must_wait(self) -> None:
        if self.request is None:
            raise AssertionError("the rule waits for no answer: it has ended, failed or was closed")

    def _advance(self, move: Callable[[], Any]) -> Any:
        self.request = None
        token = _RUNNING.set(self)
        try:
            self.request = move()
        except StopIteration as stop:
            self._result = stop.value
            return None
        finally:
            _RUNNING.reset(token)
        self.course.append(self.request)
        return self.request


def _still_asks(rule: Coroutine[Any, Any, Any]) -> bool:
    """Close a rule; whether it asked for something else instead of ending."""
    try:
        rule.close()
    except RuntimeError as error:
        if "ignored GeneratorExit" not in str(error):
            raise
        return True
    return False


@dataclass(frozen=True, slots=True)
class Trace(Generic[T]):
    """A rule's whole course: the requests in order, the events, and the result."""

    requests: tuple[Any, ...]
    events: tuple[Event, ...]
    result: T

    @property
    def methods(self) -> list[str]:
        """The requests' method names, in order."""
        return [getattr(request, "method", type(request).__name__.lower()) for request in self.requests]


def trace(
    rule: Coroutine[Any, Any, T], answers: Iterable[object] | Mapping[type, object] | Callable[[Any], object]
) -> Trace[T]:
    """Run a rule to its end on given answers.

    `answers` is a sequence of answers in order; or a mapping from request types to answers; or a function of the
    request. An answer that is an exception is raised inside the rule; in a mapping, one that is callable is called
    with the request, and types are those of bare requests. Raises `AssertionError` if answers are missing or left over.
    """
    step = Stepper(rule)
    left: Any = None
    if isinstance(answers, Mapping):
        choose = _from_mapping(answers)
    elif callable(answers):
        choose = answers
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
        raise AssertionError(f"the rule ended and left answers unused: {unused!r}")
    return Trace(tuple(step.requests), tuple(step.events), step.result)


def _from_mapping(answers: Mapping[type, object]) -> Callable[[Any], object]:
    def choose(request: Any) -> object:
        kind = type(bare(request))
        if kind not in answers:
            raise AssertionError(f"no answer was given for {request!r}")
        value = answers[kind]
        return value(bare(request)) if callable(value) else value

    return choose


def _from_sequence(left: Any) -> Callable[[Any], object]:
    def choose(request: Any) -> object:
        try:
            return next(left)
        except StopIteration:
            raise AssertionError(f"the answers are used up, but the rule asks {request!r}") from None

    return choose


def perform(adapter: Any, request: Any) -> Any:
    """Let an adapter (or its blocking form) answer a request that was handed out, whatever view it goes to."""
    asked: Any = request.request if isinstance(request, SideRequest) else request
    return finished(getattr(view_of(adapter, asked), asked.method), bare(asked))


def answered(session: Session, request: Any) -> Any:
    """Let a session of blocking parts answer whatever was handed out: by its backend or embedder, by waiting."""
    asked: Any = request.request if isinstance(request, SideRequest) else request
    if isinstance(asked, Encode):
        return complete(session.encode(asked))
    if isinstance(asked, Wait):
        return complete(session.wait(asked.seconds))
    if isinstance(asked, Splitting):
        return complete(session.splitter())
    view = (lambda adapter: view_of(adapter, asked)) if isinstance(asked, Within) else None
    return complete(session.send(view, bare(asked)))

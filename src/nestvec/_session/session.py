"""Where rules ask: a backend and an embedder, with retries, leases and waiting around them.

Rules are coroutines over these objects, and one code serves both clients. The asynchronous client awaits a rule; the
synchronous one gives it blocking parts, which never suspend, and `complete` runs it to its end. All waiting is done
here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from copy import copy
from dataclasses import dataclass, field, replace
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from nestvec._session.retry import RetryPolicy, repetition, retried
from nestvec.errors import BackendUnavailable, NestvecError

if TYPE_CHECKING:
    import asyncio

    from nestvec._chunking import Splitter
    from nestvec._session.loops import TaskLock
    from nestvec.capabilities import ModelCapabilities
    from nestvec.contract import (
        Adapter,
        Adopt,
        BackendRequest,
        Batch,
        CollectionInfo,
        Count,
        Create,
        Describe,
        Drop,
        DropAlias,
        Embedder,
        Encode,
        Encoded,
        Event,
        Fetch,
        ForeignLayout,
        Found,
        FullAdapter,
        ListCollections,
        ListTenants,
        Query,
        ReadNote,
        Remove,
        ResolveAlias,
        Scroll,
        SetAlias,
        Settle,
        Update,
        Write,
        WriteNote,
    )

T = TypeVar("T")


class Cancelled(BaseException):
    """Raised inside a rule whose ingestion was interrupted; never seen by users, and never caught by rules."""


def complete(rule: Coroutine[Any, Any, T]) -> T:
    """Run a rule over blocking parts to its end. Raises `RuntimeError` with its name if it suspends."""
    try:
        rule.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    rule.close()
    name = getattr(rule, "__qualname__", repr(rule))
    raise RuntimeError(f"{name} suspended where nothing may: something that `open` returned awaits")


def finished(method: Callable[..., Any], *arguments: Any) -> Any:
    """Call a blocking method, plain or `async def`, and give its answer."""
    answer = method(*arguments)
    return complete(answer) if type(answer) is CoroutineType else answer


class Component(Generic[T]):
    """An adapter or an embedder of a client: opened when it is first needed, gone when the client is closed.

    `native` says that its methods are awaited in the client's event loop, `answered` that it has answered a request.
    `lease` is what it has of an engine that others may use, too; `close` closes what was opened, or ends that.
    """

    __slots__ = ("__weakref__", "answered", "close", "lease", "native", "open", "opened")

    def __init__(self, open_it: Callable[[], Awaitable[T]]) -> None:
        self.open = open_it
        self.opened: T | None = None
        self.lease: Any = None
        self.close: Callable[[], Any] | None = None
        self.native = False
        self.answered = False


@dataclass(frozen=True, slots=True)
class Blocking:
    """For the synchronous client. `pause` is for tests: called instead of letting time pass."""

    pause: Callable[[float], object] | None = None
    cancelled: threading.Event | None = None

    async def call(self, native: bool, method: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ARG002
        """Here and now."""
        answer = method(*arguments)
        return await answer if type(answer) is CoroutineType else answer

    async def outside(self, work: Callable[..., T], *arguments: Any) -> T:
        """Here and now."""
        return work(*arguments)

    async def to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Here and now."""
        return await work

    async def sleep(self, seconds: float) -> None:
        """Raises `Cancelled` at once where the ingestion is interrupted."""
        if self.pause is not None:
            self.pause(seconds)
        elif self.cancelled is None:
            time.sleep(seconds)  # noqa: ASYNC251 - no event loop here
        elif self.cancelled.wait(seconds):
            raise Cancelled

    def lock(self) -> threading.RLock:
        """For threads. What a signal or a listener calls meanwhile, in the same thread, passes."""
        return threading.RLock()

    async def acquire(self, lock: Any) -> None:
        """Blocks."""
        lock.acquire()


@dataclass(frozen=True, slots=True)
class Suspending:
    """For the asynchronous client: native components are awaited, blocking ones called in worker threads.

    What only it needs is imported here: the synchronous client starts without `asyncio`.
    """

    pause: Callable[[float], object] | None = None

    async def call(self, native: bool, method: Callable[..., Any], *arguments: Any) -> Any:
        """A cancelled task waits for its thread's call to end: a request in flight cannot be left behind."""
        if native:
            answer = method(*arguments)
            return await answer if type(answer) is CoroutineType else answer
        import asyncio

        work = asyncio.ensure_future(asyncio.to_thread(finished, method, *arguments))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            raise

    async def outside(self, work: Callable[..., T], *arguments: Any) -> T:
        """In a worker thread, which a cancelled task does not wait for: what is computed is then thrown away."""
        import asyncio

        return await asyncio.to_thread(work, *arguments)

    async def to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Goes on when the task that waits for it is cancelled: others may want what comes of it."""
        import asyncio

        return await asyncio.shield(work)

    async def sleep(self, seconds: float) -> None:
        """Lets others run."""
        import asyncio

        if self.pause is None:
            await asyncio.sleep(seconds)
            return
        self.pause(seconds)
        await asyncio.sleep(0)

    def lock(self) -> TaskLock:
        """For tasks."""
        from nestvec._session.loops import TaskLock

        return TaskLock()

    async def acquire(self, lock: Any) -> None:
        """Suspends."""
        await lock.acquire()


class ComputeLock:
    """Of several rules that run in threads, one computes at a time; it lets go wherever it waits.

    So each comes to its next request as soon as it can, instead of all of them late. `with lock.held():` runs a rule,
    `with lock.released:` stands around waiting. Raises `Cancelled` before waiting where the ingestion is interrupted.
    """

    __slots__ = ("_lock", "released")

    def __init__(self, cancelled: threading.Event) -> None:
        self._lock = threading.Lock()
        self.released: AbstractContextManager[object] = _Released(self._lock, cancelled)

    def held(self) -> AbstractContextManager[object]:
        """While a rule computes."""
        return self._lock


class _Released:
    __slots__ = ("_cancelled", "_lock")

    def __init__(self, lock: threading.Lock, cancelled: threading.Event) -> None:
        self._lock, self._cancelled = lock, cancelled

    def __enter__(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled
        self._lock.release()

    def __exit__(self, *exception: object) -> None:
        self._lock.acquire()


@dataclass(slots=True)
class Session:
    """One backend and one embedder, as the rules of one call see them. Made for a handle, copied for an ingestion."""

    adapter: Component[FullAdapter]
    embedder: Component[Embedder]
    model: ModelCapabilities
    notify: Callable[[Event], None]
    waiting: Blocking | Suspending
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    clock: Callable[[], float] = time.monotonic
    #: What splits documents, for rules that ask for it; and what it gave.
    make_splitter: Callable[[], Awaitable[Splitter]] | None = None
    known_splitter: Splitter | None = None
    #: Around whatever may take long.
    released: AbstractContextManager[object] = field(default_factory=nullcontext)
    #: What limits how many batches of an ingestion are with the embedder; None: nothing does.
    embedding: Any = None
    #: Held by rules that run `alone`. One for each handle.
    lock: Any = None
    backend: Backend = field(init=False)

    def __post_init__(self) -> None:
        self.backend = Backend(self)
        if self.lock is None:
            self.lock = self.waiting.lock()

    async def send(
        self, view: Callable[[FullAdapter], Any] | None, request: Any, failed: Callable[[], None] | None = None
    ) -> Any:
        """Ask the backend: the one layer that repeats requests. `view` is of the adapter, for one tenant or layout.

        As often and as long as `retry` says; a write neither begins nor is repeated once its lease has passed.
        `failed` is called after each attempt that may yet take effect.
        """
        with self.released:
            adapter = self.adapter.opened or await self.adapter.open()
            method = getattr(adapter if view is None else view(adapter), request.method)
            until = getattr(request, "until", None)
            if until is not None:
                require_in_time(request, until, self.clock())
            attempt, begun = 1, self.clock()
            while True:
                try:
                    reply = await self.waiting.call(self.adapter.native, method, request)
                except NestvecError as error:
                    if failed is not None and error.retryable:
                        failed()
                    answered = self.adapter.answered
                    pause = self.retry.pause(error, attempt, self.clock() - begun, answered=answered)
                    if pause is None or (until is not None and self.clock() >= until):
                        raise
                    self.notify(repetition(request, attempt, error))
                else:
                    self.adapter.answered = True
                    return reply
                attempt += 1
                await self.waiting.sleep(pause)
                if until is not None:
                    require_in_time(request, until, self.clock())

    async def encode(self, request: Encode) -> Encoded:
        """Ask the embedder, check its reply, nest and cut it. Raises what the embedder raises; it repeats by itself."""
        from nestvec.encoding.vectors import finish, widen  # with numpy, which a client that was only opened needs not

        with self.released:
            embedder = self.embedder.opened or await self.embedder.open()
            asked = widen(request, self.model)
            cancelled = getattr(self.waiting, "cancelled", None)
            if cancelled is not None:
                asked = replace(asked, cancelled=cancelled.is_set)
            reply = await self._embedded(embedder, asked)
            if reply.usage.retries:
                self.notify(retried(request, reply))
            return finish(request, reply, self.model, embedder.rotation())

    async def _embedded(self, embedder: Embedder, asked: Encode) -> Encoded:
        """Ask the embedder in turn: more batches may be under way than it takes at once."""
        if self.embedding is None:
            reply: Encoded = await self.waiting.call(self.embedder.native, embedder.encode, asked)
            return reply
        await self.waiting.acquire(self.embedding)
        try:
            if asked.cancelled is not None and asked.cancelled():
                raise Cancelled  # while it was waited for
            reply = await self.waiting.call(self.embedder.native, embedder.encode, asked)
        finally:
            self.embedding.release()
        return reply

    async def wait(self, seconds: float) -> None:
        """Let seconds pass; an ingestion that is interrupted does not wait on."""
        with self.released:
            await self.waiting.sleep(seconds)

    async def splitter(self) -> Splitter:
        """What splits the documents of the collection."""
        if self.known_splitter is None:
            assert self.make_splitter is not None  # noqa: S101 - whoever runs such a rule gives one
            with self.released:
                self.known_splitter = await self.make_splitter()
        return self.known_splitter

    def notifying(self, notify: Callable[[Event], None]) -> Session:
        """The same, with another listener."""
        other = copy(self)
        other.notify, other.backend = notify, Backend(other)
        return other

    def emit(self, *events: Event) -> None:
        """Tell listeners."""
        with self.released:
            for event in events:
                self.notify(event)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """While no second rule of the same handle runs so. Of several that need a thing done first, one does it."""
        with self.released:
            await self.waiting.acquire(self.lock)
        try:
            yield
        finally:
            self.lock.release()


class Backend:
    """Sends requests through a session, which repeats them where that makes sense.

    What a request is answered with stands at the request. Raises what adapters raise: `BackendError`,
    `CollectionNotFound`, `Unsupported`.
    """

    __slots__ = ("_session", "_view")

    def __init__(self, session: Session, view: Callable[[FullAdapter], Adapter] | None = None) -> None:
        self._session, self._view = session, view

    def of_tenant(self, tenant: str) -> Self:
        """The same backend, seen by one tenant."""
        return type(self)(self._session, lambda adapter: adapter.of_tenant(tenant))

    def reading(self, layout: ForeignLayout) -> Backend:
        """The same backend, for reading a collection that somebody else made."""
        return Backend(self._session, lambda adapter: adapter.reading(layout))

    def describe(self, request: Describe) -> Coroutine[Any, Any, CollectionInfo | None]:
        """A physical collection as the backend describes it, or None."""
        return self._session.send(self._view, request)

    def create(self, request: Create) -> Coroutine[Any, Any, None]:
        """Create a collection, with what optional powers it needs (`CreateExtended`)."""
        return self._session.send(self._view, request)

    def drop(self, request: Drop) -> Coroutine[Any, Any, None]:
        """Delete a collection."""
        return self._session.send(self._view, request)

    def list_collections(self, request: ListCollections) -> Coroutine[Any, Any, list[str]]:
        """The names of all physical collections."""
        return self._session.send(self._view, request)

    def write(self, request: Write, failed: Callable[[], None] | None = None) -> Coroutine[Any, Any, None]:
        """Insert or replace records. `failed` is called after each attempt that may yet take effect."""
        return self._session.send(self._view, request, failed)

    def remove(self, request: Remove, failed: Callable[[], None] | None = None) -> Coroutine[Any, Any, None]:
        """Delete records by id. `failed` is called after each attempt that may yet take effect."""
        return self._session.send(self._view, request, failed)

    def fetch(self, request: Fetch) -> Coroutine[Any, Any, Batch]:
        """Read records by id."""
        return self._session.send(self._view, request)

    def scroll(self, request: Scroll) -> Coroutine[Any, Any, Batch]:
        """Read a page of all records that match."""
        return self._session.send(self._view, request)

    def count(self, request: Count) -> Coroutine[Any, Any, int]:
        """How many records match."""
        return self._session.send(self._view, request)

    def query(self, request: Query) -> Coroutine[Any, Any, list[list[Found]]]:
        """Search, in steps if the query has them (`QueryStaged`)."""
        return self._session.send(self._view, request)

    def resolve_alias(self, request: ResolveAlias) -> Coroutine[Any, Any, str | None]:
        """The physical collection that an alias leads to, or None."""
        return self._session.send(self._view, request)

    def set_alias(self, request: SetAlias) -> Coroutine[Any, Any, None]:
        """Let an alias lead to a collection."""
        return self._session.send(self._view, request)

    def drop_alias(self, request: DropAlias) -> Coroutine[Any, Any, None]:
        """Delete an alias."""
        return self._session.send(self._view, request)

    def write_note(self, request: WriteNote) -> Coroutine[Any, Any, None]:
        """Keep or remove a note."""
        return self._session.send(self._view, request)

    def read_note(self, request: ReadNote) -> Coroutine[Any, Any, str | None]:
        """The text of a note, or None."""
        return self._session.send(self._view, request)

    def update(self, request: Update) -> Coroutine[Any, Any, None]:
        """Change a collection in place."""
        return self._session.send(self._view, request)

    def list_tenants(self, request: ListTenants) -> Coroutine[Any, Any, list[str]]:
        """The tenants that have records."""
        return self._session.send(self._view, request)

    def settle(self, request: Settle) -> Coroutine[Any, Any, str | None]:
        """Let searches find what was written; a sentence about what they may still miss, or None."""
        return self._session.send(self._view, request)

    def adopt(self, request: Adopt) -> Coroutine[Any, Any, None]:
        """Keep nestvec's record of somebody else's collection."""
        return self._session.send(self._view, request)


def require_in_time(request: BackendRequest, until: float, now: float) -> None:
    """Raise `BackendUnavailable` for a write whose lease ended before it is sent. Whoever asked looks anew.

    A process may stand still for long; what it was about to write to may be in use by others then.
    """
    if now >= until:
        raise BackendUnavailable(
            f"{request.method}: the lease ended before it was sent, for the process stood still; nothing was written"
        )


def for_ingestion(
    session: Session, cancelled: threading.Event, lock: ComputeLock, embedding: threading.Semaphore | None = None
) -> Session:
    """A copy for the threads of one ingestion: one computes at a time; cancelled, they stop where they wait next.

    So many of them as `embedding` allows have the embedder at a time.
    """
    assert isinstance(session.waiting, Blocking)  # noqa: S101 - tasks are cancelled by their event loop
    waiting = replace(session.waiting, cancelled=cancelled)
    return replace(session, waiting=waiting, released=lock.released, embedding=embedding)


def embedding_within(session: Session, embedding: asyncio.Semaphore) -> Session:
    """The same for the tasks of one ingestion."""
    return replace(session, embedding=embedding)

"""Documents on their way in: counted, gathered into batches, and stored a few batches at a time.

While one batch is written, the next is embedded. At most `window` batches are in memory, and reports come as batches
become durable, in order.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Sequence,
)
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar, get_args

from nestvec._documents.upsert import IncomingDocument, OnExisting
from nestvec._session.loops import wake
from nestvec.errors import IngestFailed, InvalidInput, NestvecError
from nestvec.types import Document, FailedDocument, Report

if TYPE_CHECKING:
    from nestvec._documents.vouching import Vouching
    from nestvec._specs import CollectionSpec

B = TypeVar("B")
R = TypeVar("R")

OnFailure: TypeAlias = Literal["raise", "report"]
Duplicates: TypeAlias = Literal["first", "last", "fail"]
DocumentKey: TypeAlias = tuple[str, str | None, str]
_CHARACTERS_A_CHUNK = 1000
_ROWS = 256


def check_choices(on_failure: str, on_existing: str = "replace", duplicates: str = "fail") -> None:
    """Raise `InvalidInput` unless these say what to do with failures, with what is there, and with equal ids."""
    chosen = {"on_failure": (on_failure, OnFailure), "on_existing": (on_existing, OnExisting)}
    chosen |= {"duplicates": (duplicates, Duplicates)}
    for name, (value, choices) in chosen.items():
        if value not in get_args(choices):
            *most, last = map(repr, get_args(choices))
            raise InvalidInput(f"{name} is {', '.join(most)} or {last}, not {value!r}")


def vouching_for(vectors_from: object, documents: object) -> Vouching | None:
    """What is said of the vectors that documents bring; None where nothing is."""
    if vectors_from is None:
        return None
    from nestvec._documents.vouching import Vouching

    return Vouching.of(vectors_from, documents)


class Intake:
    """Documents on their way into batches: counts them, and keeps the first of each id, or the last."""

    def __init__(
        self,
        spec: CollectionSpec,
        vouching: Vouching | None = None,
        duplicates: Duplicates = "fail",
        in_flight: int = 1,
    ) -> None:
        #: Batches that are with the embedder at a time: as many as it takes, and one more meanwhile.
        self.embedding = max(1, spec.model.concurrency) + 1
        #: Batches in memory at a time: as many as the embedder or the backend (`in_flight`) wants.
        self.window = max(self.embedding, in_flight + 1)
        self.failed: list[FailedDocument] = []
        self.skipped = 0
        self._duplicates = duplicates
        self._spec = spec
        self._vouched = vouching is not None or spec.without_embedder
        self._seen: set[bytes] = set()
        self._started = time.perf_counter()

    def admit(self, document: Document | IncomingDocument) -> IncomingDocument | None:
        """The document, or None — and a failure noted, or one counted — if its id came before."""
        item = document if isinstance(document, IncomingDocument) else IncomingDocument(document)
        if not isinstance(item.document, Document):
            raise InvalidInput(f"upsert takes nestvec.Document objects, not {type(document).__name__}")
        if not self._vouched and (item.document.vector is not None or item.document.chunks is not None):
            from nestvec._documents.vouching import require_vouched

            require_vouched(item.document, self._spec.name)
        digest = hashlib.blake2b(repr(item.document.id).encode(errors="backslashreplace"), digest_size=16).digest()
        if digest in self._seen and self._duplicates == "first":
            self.skipped += 1
            return None
        if digest in self._seen:
            reason = f"document {item.document.id!r:.80} came before in this input; the first one is kept"
            self.failed.append(item.failed(reason))
            return None
        self._seen.add(digest)
        return item

    def batches(self, documents: Iterable[Document | IncomingDocument] | Document) -> Iterator[list[IncomingDocument]]:
        """Batches of about as many chunks as make a good request."""
        batcher = self._batcher()
        for document in self._ordered([documents] if isinstance(documents, Document) else documents):
            item = self.admit(document)
            if item is not None and (batch := batcher.add(item)):
                yield batch
        if rest := batcher.flush():
            yield rest

    async def batches_async(
        self, documents: Iterable[Document | IncomingDocument] | AsyncIterable[Document | IncomingDocument] | Document
    ) -> AsyncIterator[list[IncomingDocument]]:
        """The same, also for documents that arrive asynchronously."""
        if not isinstance(documents, AsyncIterable):
            for batch in self.batches(documents):
                yield batch
            return
        if self._duplicates == "last":
            for batch in self.batches([document async for document in documents]):
                yield batch
            return
        batcher = self._batcher()
        async for document in documents:
            item = self.admit(document)
            if item is not None and (full := batcher.add(item)):
                yield full
        if rest := batcher.flush():
            yield rest

    def _ordered(self, documents: Iterable[Document | IncomingDocument]) -> Iterable[Document | IncomingDocument]:
        """The documents; where the last of an id counts, without those before it: that takes a look at all of them."""
        if self._duplicates != "last":
            return documents
        gathered = documents if isinstance(documents, Sequence) else list(documents)
        last = {_identity(document): place for place, document in enumerate(gathered)}
        self.skipped += len(gathered) - len(last)
        return (gathered[place] for place in sorted(last.values()))

    def _batcher(self) -> Batcher[IncomingDocument]:
        most = self._spec.model.batch
        if self._vouched:  # little or nothing is to be embedded
            most = max(most, _ROWS)
        return Batcher(most, _characters, most * _CHARACTERS_A_CHUNK)

    def finish(self, report: Report, on_failure: OnFailure) -> Report:
        """The whole report; raises `IngestFailed` if documents failed and that is wanted."""
        seconds = time.perf_counter() - self._started
        failed, skipped = (*report.failed, *self.failed), report.skipped + self.skipped
        whole = replace(report, failed=failed, seconds=seconds, skipped=skipped)
        return reported(self._spec.name, whole, on_failure)


def reported(collection: str, report: Report, on_failure: OnFailure) -> Report:
    """The report; raises `IngestFailed` if documents failed and that is wanted."""
    if report.failed and on_failure == "raise":
        raise IngestFailed(_failure_message(collection, report), report)
    return report


def _identity(document: object) -> object:
    """By what two documents are the same; whatever is no document stays for the checks."""
    inner = getattr(document, "document", document)
    return ("", repr(inner.id)) if isinstance(inner, Document) else (id(document), "")


def _characters(item: IncomingDocument) -> int:
    document = item.document
    if document.text is None and isinstance(document.chunks, tuple):
        return sum(len(chunk.text) for chunk in document.chunks if isinstance(getattr(chunk, "text", None), str))
    return len(document.text) if isinstance(document.text, str) else 0


def _failure_message(collection: str, report: Report) -> str:
    shown = "".join(f"\n  {failure.error}" for failure in report.failed[:5])
    more = f"\n  … and {len(report.failed) - 5} more" if len(report.failed) > 5 else ""
    count = len(report.failed)
    told = "1 document was" if count == 1 else f"{count} documents were"
    return f"collection {collection!r}: {told} not stored ({report.documents} stored):{shown}{more}"


def document_keys(spec: CollectionSpec, tenant: str | None, batch: Iterable[IncomingDocument]) -> set[DocumentKey]:
    """What a batch takes of `DocumentTurns`."""
    return {(spec.name, tenant, str(item.document.id)) for item in batch}


class DocumentTurns:
    """Documents that are being written, each by one thread or task, of whatever event loop, at a time.

    Two writers that replace one document at the same moment would tear it. A batch takes all of its documents or waits
    for all of them, so two batches cannot wait for each other. What tasks of a loop that was closed hold is free again.
    """

    __slots__ = ("__weakref__", "_holders", "_lock", "_waiting")

    def __init__(self) -> None:
        self._lock = threading.RLock()  # what a signal or the garbage collector calls meanwhile passes
        self._holders: dict[DocumentKey, asyncio.AbstractEventLoop | None] = {}
        self._waiting: set[Callable[[], object]] = set()

    @contextmanager
    def held(self, keys: set[DocumentKey], caller: asyncio.AbstractEventLoop | None = None) -> Iterator[None]:
        """While a thread writes them. Raises `NestvecError` where it would wait for a task of the caller's loop."""
        woken = threading.Event()
        while not self._take(keys, None, woken.set):
            self._require_others(keys, caller)
            woken.wait()
            woken.clear()
        try:
            yield
        finally:
            self.give(keys, None)

    @asynccontextmanager
    async def held_by_task(self, keys: set[DocumentKey]) -> AsyncIterator[None]:
        """While a task writes them."""
        loop = await self.take(keys)
        try:
            yield
        finally:
            self.give(keys, loop)

    async def take(self, keys: set[DocumentKey]) -> asyncio.AbstractEventLoop:
        """Suspend until they are had; gives the loop that has them then."""
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        awaken = partial(wake, loop, woken)
        while not self._take(keys, loop, awaken):
            await woken.wait()
            woken.clear()
        return loop

    def give(self, keys: set[DocumentKey], loop: asyncio.AbstractEventLoop | None) -> None:
        """Give back what that loop, or a thread, holds of them."""
        with self._lock:
            for key in keys:
                if key in self._holders and self._holders[key] is loop:
                    del self._holders[key]
            waiting, self._waiting = self._waiting, set()
        for awaken in waiting:
            awaken()

    def _require_others(self, keys: set[DocumentKey], caller: asyncio.AbstractEventLoop | None) -> None:
        if caller is not None and any(self._holders.get(key) is caller for key in keys):
            raise NestvecError(
                "a task of this event loop is writing the same documents, and would be waited for without end: in a "
                "coroutine, await collection.aio.upsert(…) instead of calling collection.upsert(…)"
            )

    def _take(
        self, keys: set[DocumentKey], loop: asyncio.AbstractEventLoop | None, awaken: Callable[[], object]
    ) -> bool:
        with self._lock:
            for key in keys & self._holders.keys():
                holder = self._holders[key]
                if holder is None or not holder.is_closed():
                    self._waiting.add(awaken)
                    return False
            self._waiting.discard(awaken)
            self._holders.update(dict.fromkeys(keys, loop))
            return True


@contextmanager
def writing(
    places: Iterable[DocumentTurns], keys: set[DocumentKey], caller: asyncio.AbstractEventLoop | None
) -> Iterator[None]:
    """While nobody else in this process writes these documents at any of these places.

    `caller` is the loop that stands still until they are written, where a coroutine called what blocks.
    """
    with ExitStack() as stack:
        for place in places:
            stack.enter_context(place.held(keys, caller))
        yield


@asynccontextmanager
async def writing_task(places: Iterable[DocumentTurns], keys: set[DocumentKey]) -> AsyncIterator[None]:
    """The same for a task."""
    async with AsyncExitStack() as stack:
        for place in places:
            await stack.enter_async_context(place.held_by_task(keys))
        yield


def running_loop() -> asyncio.AbstractEventLoop | None:
    """That which runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def run_all(batches: Iterable[B], work: Callable[[B], R], *, window: int, cancelled: threading.Event) -> Generator[R]:
    """Run `work` on every batch in up to `window` threads.

    On an error, Ctrl-C included, no further batch starts, those under way stop before their next request, and
    the error is raised when they have.
    """
    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(window, thread_name_prefix="nestvec") as pool:
        try:
            for batch in batches:
                pending.append(pool.submit(work, batch))
                if len(pending) >= window:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BaseException:
            cancelled.set()
            # The first error is the one that is raised; a rerun mends whatever the others left.
            wait([future for future in pending if not future.cancel()])
            raise


async def run_all_async(
    batches: Iterable[B] | AsyncIterator[B], work: Callable[[B], Awaitable[R]], *, window: int
) -> AsyncGenerator[R]:
    """The asynchronous form: up to `window` tasks; cancelling it cancels them and waits for their end."""
    pending: deque[asyncio.Future[R]] = deque()
    try:
        async for batch in _each(batches):
            pending.append(asyncio.ensure_future(work(batch)))
            if len(pending) >= window:
                yield await pending[0]
                pending.popleft()
        while pending:
            yield await pending[0]
            pending.popleft()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def _each(batches: Iterable[B] | AsyncIterator[B]) -> AsyncIterator[B]:
    if isinstance(batches, AsyncIterator):
        async for batch in batches:
            yield batch
    else:
        for batch in batches:
            yield batch


class Batcher(Generic[B]):
    """Groups items: at most `size` of them, and at most `heaviest` in weight unless one alone is heavier."""

    def __init__(self, size: int, weight: Callable[[B], int], heaviest: int) -> None:
        self._size, self._weight, self._heaviest = size, weight, heaviest
        self._batch: list[B] = []
        self._load = 0

    def add(self, item: B) -> list[B] | None:
        """Take an item; returns the batch that it completes, if any."""
        weight = self._weight(item)
        full = len(self._batch) >= self._size or self._load + weight > self._heaviest
        done = self.flush() if self._batch and full else None
        self._batch.append(item)
        self._load += weight
        return done

    def flush(self) -> list[B]:
        """What has gathered; may be empty."""
        batch, self._batch, self._load = self._batch, [], 0
        return batch

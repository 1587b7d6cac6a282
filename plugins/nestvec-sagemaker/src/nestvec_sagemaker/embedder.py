"""The embedder: texts packed into requests, several of them at once, each repeated while that may help."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

from nestvec.contract import Embedder, Encode, Encoded
from nestvec.encoding.estimate import SPECIALS, TokenEstimate, counter
from nestvec.encoding.packing import GROWTH, REPACKS, EncodeProgress, Item, items_of, named, underestimated, windows
from nestvec.errors import EmbedderDenied, EmbedderError, EmbedderInvalidReply, EmbedderRefused, EmbedderUnavailable
from nestvec_sagemaker.errors import EndpointTooSlow
from nestvec_sagemaker.options import SageMakerOptions
from nestvec_sagemaker.retries import Halted, Retries
from nestvec_sagemaker.session import RuntimeClient
from nestvec_sagemaker.wire import (
    ENVELOPE,
    MOST_BYTES,
    EndpointNotFinite,
    EndpointReply,
    body,
    decode,
    most_texts,
    piece,
)

if TYPE_CHECKING:
    from nestvec.encoding.windows import Window

T = TypeVar("T")
_WORDS = re.compile(r"[^ \t\r\n]+")
#: Seconds between looks at whether the caller was interrupted.
_LOOK = 0.05
_HINT = "; if it is too long: set a smaller chunking.size"


class SageMakerEmbedder(Embedder):
    """Safe for threads. After a fork, connect again."""

    def __init__(self, options: SageMakerOptions) -> None:
        self._options = options
        self._count = counter(options.tokenizer)
        self._estimate = TokenEstimate(self._count)
        self._runtime = RuntimeClient(options)
        self._pool = ThreadPoolExecutor(options.concurrency, thread_name_prefix="nestvec-sagemaker")
        self._process = os.getpid()
        self._open = True

    def __repr__(self) -> str:
        return f"<{self._options.model} at {self._runtime.place}>"

    def encode(self, request: Encode) -> Encoded:
        """See `Embedder.encode`. Interrupted, it ends when the requests that are under way have their replies."""
        if not self._open or os.getpid() != self._process:
            raise EmbedderError(f"the embedder {self!r} is closed, or its process was forked; connect again")
        run = _Run(request, self._options, self._runtime, self._pool, self._estimate)
        (run.late if request.late else run.plain)()
        return run.encoded()

    def count_tokens(self) -> Callable[[str], int] | None:
        """The model's own tokens, where `tokenizer` names its file."""
        return self._count

    def close(self) -> None:
        """Close connections, after the requests under way."""
        if self._open and os.getpid() == self._process:
            self._pool.shutdown()
            self._runtime.close()
        self._open = False


class _Run:
    """One `encode`. Requests are sent from the pool's threads, which share `progress` under `lock`."""

    def __init__(
        self,
        request: Encode,
        options: SageMakerOptions,
        runtime: RuntimeClient,
        pool: ThreadPoolExecutor,
        estimate: TokenEstimate,
    ) -> None:
        self._request, self._options, self._runtime = request, options, runtime
        self._pool, self._estimate = pool, estimate
        self._progress, self._lock = EncodeProgress.of(request), threading.Lock()
        self._halt = threading.Event()
        self._retries = Retries(options, self._halt, self._repeated)
        self._least: dict[int, float] = {}
        self._most = min(options.batch, most_texts(request.dimensions))

    def encoded(self) -> Encoded:
        """See `EncodeProgress.encoded`."""
        return self._progress.encoded()

    # ------------------------------------------------------------ texts that do not know each other

    def plain(self) -> None:
        """Every text on its own, many in a request."""
        items = [item for i, group in enumerate(self._request.groups) for item in items_of(i, group, self._estimate)]
        self._all([_call(self._batch, batch) for batch in self._batches(items)])

    def _batches(self, items: Sequence[Item]) -> Iterator[list[tuple[Item, bytes]]]:
        """At most so many texts, and so many bytes, in a request. What cannot be sent fails its document."""
        batch: list[tuple[Item, bytes]] = []
        size = ENVELOPE
        for item in items:
            try:
                packed = self._packed(item)
            except EmbedderRefused as error:
                self._fail(item, error)
                continue
            if batch and (len(batch) >= self._most or size + len(packed) + 1 > MOST_BYTES):
                yield batch
                batch, size = [], ENVELOPE
            batch.append((item, packed))
            size += len(packed) + 1
        if batch:
            yield batch

    def _packed(self, item: Item) -> bytes:
        """The text as it is sent. Raises `EmbedderRefused` over a limit: the endpoint may cut it in silence."""
        limit = self._options.row.max_tokens
        # Without a tokenizer only what is certainly too long is refused here: no token spans two words.
        least = item.tokens if self._estimate.exact else sum(1 for _ in _WORDS.finditer(item.text))
        if least + SPECIALS > limit:
            raise EmbedderRefused(
                f"the text has {'' if self._estimate.exact else 'at least '}{least + SPECIALS:,} tokens; "
                f"{self._options.model} takes {limit:,}; set a smaller chunking.size"
            )
        return piece(item.text)

    def _batch(self, batch: Sequence[tuple[Item, bytes]]) -> None:
        """What is refused is halved until the guilty text is alone."""
        items = [item for item, _ in batch]
        try:
            reply = self._post([packed for _, packed in batch], items)
        except EmbedderDenied:
            raise
        except (EmbedderRefused, EndpointNotFinite, EndpointTooSlow) as error:
            if len(batch) == 1:
                self._fail(items[0], error)
                return
            self._repeated()
            middle = len(batch) // 2
            self._batch(batch[:middle])
            self._batch(batch[middle:])
        except (EmbedderUnavailable, EmbedderInvalidReply) as error:
            for item in items:
                self._fail(item, error)
        else:
            with self._lock:
                self._progress.keep(items, reply.rows)

    # ------------------------------------------------------------ late chunking

    def late(self) -> None:
        """Each document for itself, in windows; packed anew where tokens were underestimated."""
        todo = list(range(len(self._request.groups)))
        for _ in range(REPACKS):
            todo = self._round(todo)
            if not todo:
                return
        for number in todo:
            self._fail(Item(number, 0, "", 0), underestimated())

    def _round(self, numbers: Sequence[int]) -> list[int]:
        """All windows of these documents. Returns the documents of which a window was cut off."""
        jobs, owners = [], []
        for number in numbers:
            items, planned = self._planned(number)
            owners += [number] * len(planned)
            jobs += [_call(self._window, items, window) for window in planned]
        factor = self._estimate.factor
        cut = {owner for owner, whole in zip(owners, self._all(jobs), strict=True) if not whole}
        for number in cut:  # for this document alone, and once however many windows were cut off
            self._least[number] = max(factor, self._least.get(number, 0.0)) * GROWTH
        self._progress.windows += sum(1 for owner in owners if owner not in cut)
        return sorted(cut - set(self._progress.failures))

    def _planned(self, number: int) -> tuple[list[Item], list[Window]]:
        group, limit = self._request.groups[number], self._options.row.late_tokens
        items = items_of(number, group, self._estimate, self._least.get(number, 0.0))
        # Tiny chunks count as larger ones, so that no reply of a window is over SageMaker's limit.
        least = -(-limit // most_texts(self._request.dimensions))
        weights = [Item(item.group, item.span, item.text, max(item.tokens, least)) for item in items]
        try:
            return items, windows(group, weights, limit)
        except EmbedderRefused as error:
            self._fail(Item(number, 0, "", 0), error, whole=True)
            return items, []

    def _window(self, items: Sequence[Item], window: Window) -> bool:
        """Embed it, and keep its rows. False if it was cut off at the model's limit."""
        part, kept = items[window.first : window.end], items[window.keep_first : window.keep_end]
        try:
            reply = self._post([piece(item.text) for item in part], part)
        except (EmbedderDenied, Halted):
            raise
        except EmbedderError as error:
            self._fail(kept[0], error)
            return True
        if not reply.tokens and not self._estimate.exact and self._may_be_cut(part):
            told = "the endpoint does not say how many tokens it used, and the document may have been cut off"
            self._fail(kept[0], EmbedderInvalidReply(f"{told}; set tokenizer to the model's file"))
            return True
        if reply.tokens >= self._options.row.late_tokens:
            return False
        first = window.keep_first - window.first
        with self._lock:
            self._progress.keep(kept, reply.rows[first : first + len(kept)])
        return True

    def _may_be_cut(self, items: Sequence[Item]) -> bool:
        """No text has more tokens than bytes."""
        return sum(len(item.text.encode()) + SPECIALS for item in items) >= self._options.row.late_tokens

    # ------------------------------------------------------------ requests

    def _post(self, pieces: Sequence[bytes], items: Sequence[Item]) -> EndpointReply:
        request = self._request
        content = body(self._options.row, pieces, request.task, request.dimensions, late=request.late)

        def send() -> EndpointReply:
            with self._lock:
                self._progress.sent += 1
            return decode(self._runtime.invoke(content), len(pieces), request.dimensions, self._runtime.place)

        reply = self._retries(send, len(pieces))
        with self._lock:
            self._progress.tokens += reply.tokens
        if not (request.late and reply.tokens >= self._options.row.late_tokens):
            self._estimate.learn([item.text for item in items], reply.tokens)  # what was cut off says nothing
        return reply

    def _repeated(self) -> None:
        with self._lock:
            self._progress.retries += 1

    def _fail(self, item: Item, error: EmbedderError, *, whole: bool = False) -> None:
        """`whole`: the error names the document already."""
        hint = _HINT if isinstance(error, EmbedderRefused) and "chunking.size" not in str(error) else ""
        failed = error if whole else named(self._request.groups[item.group], error, hint)
        with self._lock:
            self._progress.fail(item, failed)

    def _all(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """Every job, on the pool's threads. The first error stops the rest; it is raised when nothing runs any more."""
        futures: list[Future[T]] = []
        try:
            # One by one: those submitted are waited for, whatever happens to the next.
            futures.extend(map(self._submitted, jobs))
            self._watch(futures)
        finally:
            if any(not each.done() or each.exception() for each in futures):
                self._halt.set()
            for each in futures:
                each.cancel()
            wait(futures)
        return [each.result() for each in futures]

    def _submitted(self, job: Callable[[], T]) -> Future[T]:
        try:
            return self._pool.submit(job)
        except RuntimeError as error:
            raise EmbedderError("this embedder was closed meanwhile; connect again") from error

    def _watch(self, futures: Sequence[Future[T]]) -> None:
        cancelled = self._request.cancelled
        pending = set(futures)
        while pending:
            done, pending = wait(pending, None if cancelled is None else _LOOK, FIRST_EXCEPTION)
            for each in done:
                each.result()
            if cancelled is not None and cancelled():
                raise EmbedderError("embedding was interrupted; run it again to go on")


def _call(function: Callable[..., T], *arguments: object) -> Callable[[], T]:
    return lambda: function(*arguments)

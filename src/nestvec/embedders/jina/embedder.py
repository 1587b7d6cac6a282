"""The Jina embeddings API as an embedder: blocking and asynchronous, over one engine and one governor."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from nestvec.contract import Embedder, Encode, Encoded, Group, misdirected, perhaps_encrypted
from nestvec.contract.replies import ReplyTooLarge, limit_replies
from nestvec.embedders.jina.engine import ENGINE
from nestvec.embedders.jina.governor import Governor, governor_for
from nestvec.embedders.jina.options import JinaOptions, is_header_value
from nestvec.embedders.jina.wire import (
    Failed,
    NotFinite,
    Refused,
    Reply,
    TooSlow,
    Unreachable,
    body,
    decode,
    refusal,
    remaining,
)
from nestvec.encoding.estimate import TokenEstimate, counter
from nestvec.encoding.packing import (
    GROWTH,
    REPACKS,
    EncodeProgress,
    Item,
    batches,
    items_of,
    named,
    underestimated,
    windows,
)
from nestvec.errors import (
    ConfigError,
    EmbedderDenied,
    EmbedderError,
    EmbedderInvalidReply,
    EmbedderRefused,
    EmbedderUnavailable,
    NestvecError,
    SecretError,
)
from nestvec.masking import presentable
from nestvec.options import Secret, read_certificates

if TYPE_CHECKING:
    from nestvec.encoding.windows import Window

#: Tokens in a request, where the quota allows more: larger ones only take longer.
_REQUEST_TOKENS = 100_000


class _Session:
    """What serves both forms. All of it but `__init__` and `close` runs on the engine's loop."""

    def __init__(self, options: JinaOptions) -> None:
        self.options = options
        self._key = _revealed("embedder api_key", options.key) if options.key is not None else ""
        headers = {name: _revealed(f"header {name}", value) for name, value in options.headers.items()}
        if self._key:
            headers.setdefault("Authorization", f"Bearer {self._key}")
        self._headers = {**headers, "Content-Type": "application/json", "Accept": "application/json"}
        self._tls = _tls(options)
        self.count = counter(options.tokenizer)
        self.estimate = TokenEstimate(self.count)
        self._client: httpx.AsyncClient | None = None
        self._governor: Governor | None = None
        self._running: set[asyncio.Task[Any]] = set()
        self._open = True
        self.home = ENGINE.enter()

    def __repr__(self) -> str:
        return f"<Jina {self.options.model} at {self.options.base_url}>"

    async def encode(self, request: Encode) -> Encoded:
        """All groups, through the governor. Raises where nothing can be served; names single failures."""
        if not self._open:
            raise EmbedderError(f"the embedder {self!r} is closed; connect again")
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine on a loop
        self._running.add(task)
        try:
            return await self._encode(request)
        finally:
            self._running.discard(task)

    async def _encode(self, request: Encode) -> Encoded:
        progress = EncodeProgress.of(request)
        work = self._late(request, progress) if request.late else self._plain(request, progress)
        await _all(work)
        return progress.encoded()

    async def aclose(self) -> None:
        """Cancel what runs, then close connections."""
        running = list(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    # ------------------------------------------------------------ what travels together

    def _plain(self, request: Encode, progress: EncodeProgress) -> list[Any]:
        items = [item for i, group in enumerate(request.groups) for item in items_of(i, group, self.estimate)]
        most = min(self.options.batch, self.governor.state.batch.now)
        cut = batches(items, most, self._budget())
        return [self._batch(request, progress, batch) for batch in cut]

    def _late(self, request: Encode, progress: EncodeProgress) -> list[Any]:
        return [self._document(request, progress, i, group) for i, group in enumerate(request.groups)]

    def _budget(self) -> int:
        return min(_REQUEST_TOKENS, self.options.tokens_per_minute or _REQUEST_TOKENS)

    async def _batch(
        self, request: Encode, progress: EncodeProgress, items: Sequence[Item], until: float | None = None
    ) -> None:
        """Texts that do not know each other. What is refused is halved until the guilty text is alone.

        What is too slow is halved within one deadline (`until`): a server that never answers is not asked for ever.
        """
        try:
            reply = await self._post(request, progress, items, until)
        except EmbedderDenied:
            raise
        except (EmbedderRefused, NotFinite, TooSlow) as error:
            if until is None and isinstance(error, TooSlow):
                until = time.monotonic() + self.options.deadline
            if len(items) == 1 or (until is not None and time.monotonic() >= until):
                self._fail(request, progress, items, error)
                return
            progress.retries += 1
            middle = len(items) // 2
            await _all([self._batch(request, progress, half, until) for half in (items[:middle], items[middle:])])
        except (EmbedderUnavailable, EmbedderInvalidReply) as error:
            self._fail(request, progress, items, error)
        else:
            progress.keep(items, reply.rows)

    def _fail(self, request: Encode, progress: EncodeProgress, items: Sequence[Item], error: EmbedderError) -> None:
        for item in items:
            progress.fail(item, self._named(request.groups[item.group], error))

    async def _document(self, request: Encode, progress: EncodeProgress, number: int, group: Group) -> None:
        """One late-chunked document: packed into windows, and packed anew where tokens were underestimated."""
        try:
            least = 0.0
            for _ in range(REPACKS):
                factor = max(self.estimate.factor, least)
                items = items_of(number, group, self.estimate, least)
                planned = windows(group, items, self.options.row.late_tokens)
                kept = await self._windows(request, progress, items, planned)
                if kept is not None:
                    progress.windows += len(planned)
                    for window, rows in zip(planned, kept, strict=True):
                        progress.keep(items[window.keep_first : window.keep_end], rows)
                    return
                least = factor * GROWTH  # for this document alone, and once however many windows were cut off
            raise underestimated()
        except EmbedderDenied:
            raise
        except EmbedderError as error:
            progress.fail(Item(number, 0, "", 0), self._named(group, error))

    async def _windows(
        self, request: Encode, progress: EncodeProgress, items: Sequence[Item], planned: Sequence[Window]
    ) -> list[Any] | None:
        """The rows that each window keeps — or None if one was cut off at the model's limit."""

        async def one(window: Window) -> Any:
            part = items[window.first : window.end]
            reply = await self._post(request, progress, part)
            if not reply.tokens and self.count is None:
                raise EmbedderInvalidReply(
                    "the embeddings API does not say how many tokens it used, so nobody can tell whether the document "
                    "was cut off; set tokenizer to the model's file"
                )
            if reply.tokens >= self.options.row.late_tokens:
                return None
            return reply.rows[window.keep_first - window.first : window.keep_end - window.first]

        rows = await _all([one(window) for window in planned])
        return None if any(each is None for each in rows) else rows

    def _named(self, group: Group, error: NestvecError) -> NestvecError:
        """The same error with the document's name, and what to do about a text that is too long."""
        refused = isinstance(error, Refused) and not self.options.truncate
        hint = "; if it is too long: set a smaller chunking.size, or truncate = true" if refused else ""
        return named(group, error, hint)

    # ------------------------------------------------------------ requests

    @property
    def governor(self) -> Governor:
        """The one that everybody with this key shares."""
        if self._governor is None:
            self._governor = governor_for(self.options, self._key)
        return self._governor

    async def _post(
        self, request: Encode, progress: EncodeProgress, items: Sequence[Item], until: float | None = None
    ) -> Reply:
        texts = [item.text for item in items]
        content = body(self.options, texts, request.task, request.dimensions, late=request.late)

        async def send() -> Reply:
            progress.sent += 1
            return await self._send(content, len(texts), request.dimensions)

        def again() -> None:
            progress.retries += 1

        tokens = sum(item.tokens for item in items)
        reply = await self.governor.retry(self.options, send, len(texts), tokens, again, until)
        progress.tokens += reply.tokens
        if not (request.late and reply.tokens >= self.options.row.late_tokens):
            self.estimate.learn(texts, reply.tokens)  # what was cut off says nothing
        return reply

    async def _send(self, content: bytes, inputs: int, dimensions: int) -> Reply:
        try:
            async with asyncio.timeout(self.options.timeout):  # httpx's holds for each read: a drip has no end
                answer = await self._http().post(self.options.url, content=content, headers=self._headers)
        except TimeoutError as error:
            raise self._too_slow() from error
        except httpx.InvalidURL as error:
            raise EmbedderDenied(f"base_url {self.options.base_url!r} is no usable address: {error}") from error
        except httpx.HTTPError as error:
            raise self._unreachable(error) from presentable(error)
        if answer.status_code != 200:
            raise refusal(answer.status_code, answer.content, answer.headers, self.options)
        rows, tokens = decode(answer.content, inputs, dimensions)
        return Reply(rows, tokens, remaining(answer.headers, "requests"), remaining(answer.headers, "tokens"))

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            most = self.options.concurrency
            try:
                self._client = httpx.AsyncClient(
                    timeout=httpx.Timeout(self.options.timeout, connect=min(10.0, self.options.timeout), pool=None),
                    limits=httpx.Limits(max_connections=most, max_keepalive_connections=most),
                    verify=self._tls,
                    proxy=self.options.proxy,
                )
                limit_replies(self._client, self.options.max_reply)
            except httpx.InvalidURL:
                raise EmbedderDenied(
                    "no connection can be opened: the environment names a proxy whose address is none; check "
                    "HTTP_PROXY, HTTPS_PROXY and ALL_PROXY"
                ) from None  # the cause may repeat a password
            except (ImportError, ValueError, OSError) as error:
                # A proxy or a file of certificates that the environment names: HTTP_PROXY, ALL_PROXY, SSL_CERT_FILE.
                raise EmbedderDenied(
                    f"no connection can be opened: {error}; check proxy, and the environment's proxies and certificates"
                ) from error
        return self._client

    def _too_slow(self) -> TooSlow:
        return TooSlow(
            f"the embeddings API at {self.options.base_url} did not answer within {self.options.timeout:g} seconds"
        )

    def _unreachable(self, error: httpx.HTTPError) -> EmbedderError:
        place = f"the embeddings API at {self.options.base_url}"
        reason = str(error) or type(error).__name__
        if isinstance(error, ReplyTooLarge):
            return EmbedderDenied(f"{place}: {reason}")  # its next replies would be no smaller
        wrong = misdirected(reason)
        if wrong is not None:
            return EmbedderDenied(f"{place} cannot be asked: {wrong} ({reason}); check base_url")
        if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError | httpx.ProxyError):
            return Unreachable(f"{place} cannot be reached ({reason}); check base_url, the network and proxy")
        if isinstance(error, httpx.TimeoutException):
            return self._too_slow()
        return Failed(f"the connection to {place} broke ({reason}){perhaps_encrypted(reason, place)}")

    def begin_closing(self) -> bool:
        """Whether there is something to close: once, and not what a parent process opened."""
        opened, self._open = self._open, False
        return opened and ENGINE.serves(self.home)


async def _all(work: Sequence[Any]) -> list[Any]:
    """Everything at once; the first error cancels the rest, waits for its end, and is raised itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from several
    return [task.result() for task in tasks]


def _revealed(what: str, value: str | Secret) -> str:
    if isinstance(value, str):
        return value
    secret = value.reveal(what)
    if not is_header_value(secret):
        # Not left to the HTTP library: its error would print the secret.
        raise SecretError(f"{what}: the secret holds a line break or a character that is not ASCII; repair its source")
    return secret


def _tls(options: JinaOptions) -> ssl.SSLContext | bool:
    if options.ca is None:
        # Nothing to verify where nothing is encrypted; loading the authorities takes a tenth of a second.
        return any(urlsplit(address).scheme != "http" for address in (options.base_url, options.proxy) if address)
    try:
        read_certificates(options.ca)  # a pipe that nobody writes would be waited for
        return ssl.create_default_context(cafile=str(options.ca))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"ca: the file {options.ca} cannot be used: {error}; give a PEM file") from error


class JinaEmbedder(Embedder):
    """Safe for threads; after a fork, connect again. Requests run on a loop of this process's own.

    With `native`, `encode` and `close` are awaited, in whatever event loop.
    """

    def __init__(self, options: JinaOptions, *, native: bool = False) -> None:
        self._session = _Session(options)
        self._native = native

    def __repr__(self) -> str:
        return repr(self._session)

    def encode(self, request: Encode) -> Encoded | Awaitable[Encoded]:
        """See `Embedder.encode`. Interrupting or cancelling it leaves no request behind."""
        if self._native:
            return self._encode(request)
        return ENGINE.run(self._session.home, self._session.encode(request), request.cancelled)

    def count_tokens(self) -> Callable[[str], int] | None:
        """The model's own tokens, where `tokenizer` names its file."""
        return self._session.count

    def close(self) -> Awaitable[None] | None:
        """Close connections."""
        if self._native:
            return self._close()
        self._close_now()
        return None

    async def _encode(self, request: Encode) -> Encoded:
        return await ENGINE.await_(self._session.home, self._session.encode(request))

    def _close_now(self) -> None:
        session = self._session
        if session.begin_closing():
            try:
                ENGINE.run(session.home, session.aclose())
            finally:
                ENGINE.leave(session.home)

    async def _close(self) -> None:
        session = self._session
        if session.begin_closing():
            try:
                await ENGINE.await_(session.home, session.aclose())
            finally:
                await asyncio.to_thread(ENGINE.leave, session.home)

"""What the synchronous and the asynchronous client share: everything but the waiting."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from nestvec._collections.describing import alternatives as make_alternatives  # noqa: F401 - used through this module
from nestvec._collections.describing import (  # noqa: F401 - used through this module
    counts_tokens,
    embedder_named,
    make_splitter,
    spec_named,
)
from nestvec._documents.search import check_texts
from nestvec._documents.upsert import Incoming
from nestvec._session.pipeline import Batcher
from nestvec._specs import CollectionSpec
from nestvec.config import Config, Connection, load_config, parse_config
from nestvec.contract import Embedder, Encode, Encoded, Group
from nestvec.encoding.matryoshka import check_dimensions
from nestvec.encoding.tasks import check_task
from nestvec.errors import ConfigError, IngestFailed, InvalidInput, NestvecError, PluginBroken, PluginError
from nestvec.nesting.embedder import NestedEmbedder
from nestvec.registry import BACKENDS, EMBEDDERS, Registry
from nestvec.runtime import Runtime
from nestvec.types import Document, FailedDocument, Report

if TYPE_CHECKING:
    from nestvec._caching.cache import Cache

OnFailure = Literal["raise", "report"]
_CHARACTERS_A_CHUNK = 1000


def window(spec: CollectionSpec) -> int:
    """Batches in memory at a time: as many as the embedder takes at once, and one that is written meanwhile."""
    return max(1, spec.model.concurrency) + 1


def as_config(source: str | Path | Mapping[str, Any] | Config, registry: Registry) -> Config:
    """A configuration from a file, plain values, or one that was read before."""
    if isinstance(source, Config):
        return source
    if isinstance(source, Mapping):
        return parse_config(source, registry)
    if not isinstance(source, str | Path):
        raise ConfigError(f"a configuration is a path, a mapping or a Config, not {type(source).__name__}")
    return load_config(source, registry)


class Wrap(Protocol):
    """Puts what the core adds around a component; `native` says that its methods are awaited in an event loop."""

    def __call__(self, component: Any, *, native: bool) -> Any: ...


def wrapping(connection: Connection[Any], runtime: Runtime) -> Wrap:
    """What the core puts around a component when it is opened: its cache, and around that the user's own rotation.

    Made before it is opened, so that nothing is loaded in vain. Raises `ConfigError` where something that the block
    asks for is missing or damaged.
    """
    cache = _open_cache(connection, runtime)
    rotation = connection.nesting.artifact.load() if connection.nesting is not None else None

    def wrap(component: Any, *, native: bool) -> Any:
        if cache is not None:
            component = _behind_cache(component, connection, cache, native=native)
        return component if rotation is None else NestedEmbedder(component, rotation)

    return wrap


def _open_cache(connection: Connection[Any], runtime: Runtime) -> Cache | None:
    """The cache that an embedder's block asks for; nothing is touched yet. Raises `ConfigError` without its library."""
    if connection.cache is None:
        return None
    from nestvec._caching.cache import Cache

    return Cache(connection.cache.path, connection.cache.size, runtime.notify)


def _behind_cache(component: Embedder, connection: Connection[Any], cache: Cache, *, native: bool) -> Embedder:
    from nestvec._caching.embedder import CachedEmbedder

    return CachedEmbedder(component, connection.capabilities, cache, native=native)


@contextmanager
def importing(plugin: str) -> Iterator[None]:
    """Say which plugin's library is missing, where one is."""
    try:
        yield
    except ImportError as error:
        raise PluginBroken(
            f"plugin {plugin!r} can not be used: its library can not be imported ({error}); reinstall the plugin"
        ) from error


def embed(
    model: Any, texts: Sequence[str], task: str | None, dimensions: int | None, *, fresh: bool = False
) -> Flow[Any]:
    """Embed texts outside any collection: shape (texts, dimensions)."""
    import numpy as np

    check_task(model, task)
    size = model.dimensions if dimensions is None else check_dimensions(model, dimensions)
    check_texts(texts)
    groups = tuple(Group(f"text {i}", text, ((0, len(text)),)) for i, text in enumerate(texts))
    if not groups:
        return np.zeros((0, size), np.float32)
    reply: Encoded = yield Encode(groups, task, size, fresh=fresh)
    if reply.failures:
        raise reply.failures[0].error
    return np.concatenate([rows for rows in reply.vectors if rows is not None])


def check_on_failure(value: str) -> None:
    """Raise `InvalidInput` unless this says what to do with failures."""
    if value not in ("raise", "report"):
        raise InvalidInput(f'on_failure is "raise" or "report", not {value!r}')


def closed() -> NestvecError:
    """The error of whoever uses a client after closing it."""
    return NestvecError("this client is closed; connect again")


class InFlight:
    """Documents that are being written by this client: nobody else may write them meanwhile.

    Two writers that replace one document at the same moment would tear it. A batch takes all of its documents or
    waits for all of them, so two batches can not wait for each other.
    """

    def __init__(self) -> None:
        self._keys: set[tuple[str, str | None, str]] = set()

    def take(self, keys: set[tuple[str, str | None, str]]) -> bool:
        """Take all keys, if none is taken. Call it under a lock."""
        if self._keys & keys:
            return False
        self._keys |= keys
        return True

    def give(self, keys: set[tuple[str, str | None, str]]) -> None:
        """Give keys back. Call it under a lock."""
        self._keys -= keys


def document_keys(
    spec: CollectionSpec, tenant: str | None, batch: Iterable[Incoming]
) -> set[tuple[str, str | None, str]]:
    """What a batch takes of `InFlight`."""
    return {(spec.name, tenant, str(item.document.id)) for item in batch}


class Intake:
    """Documents on their way into batches: counts them, and keeps the first of each id."""

    def __init__(self, spec: CollectionSpec) -> None:
        self.failed: list[FailedDocument] = []
        self._spec = spec
        self._seen: set[bytes] = set()
        self._started = time.perf_counter()

    def admit(self, document: Document | Incoming) -> Incoming | None:
        """The document, or None — and a failure noted — if its id came before."""
        item = document if isinstance(document, Incoming) else Incoming(document)
        if not isinstance(item.document, Document):
            raise InvalidInput(f"upsert takes nestvec.Document objects, not {type(document).__name__}")
        digest = hashlib.blake2b(repr(item.document.id).encode(errors="backslashreplace"), digest_size=16).digest()
        if digest in self._seen:
            reason = f"document {item.document.id!r:.80} came before in this input; the first one is kept"
            self.failed.append(item.failed(reason))
            return None
        self._seen.add(digest)
        return item

    def batches(self, documents: Iterable[Document | Incoming] | Document) -> Iterator[list[Incoming]]:
        """Batches of about as many chunks as make a good request."""
        batcher = self._batcher()
        for document in [documents] if isinstance(documents, Document) else documents:
            item = self.admit(document)
            if item is not None and (batch := batcher.add(item)):
                yield batch
        if rest := batcher.flush():
            yield rest

    async def batches_async(
        self, documents: Iterable[Document | Incoming] | AsyncIterable[Document | Incoming] | Document
    ) -> AsyncIterator[list[Incoming]]:
        """The same, also for documents that arrive asynchronously."""
        if not isinstance(documents, AsyncIterable):
            for batch in self.batches(documents):
                yield batch
            return
        batcher = self._batcher()
        async for document in documents:
            item = self.admit(document)
            if item is not None and (full := batcher.add(item)):
                yield full
        if rest := batcher.flush():
            yield rest

    def _batcher(self) -> Batcher[Incoming]:
        most = self._spec.model.batch
        return Batcher(most, _characters, most * _CHARACTERS_A_CHUNK)

    def finish(self, report: Report, on_failure: OnFailure) -> Report:
        """The whole report; raises `IngestFailed` if documents failed and that is wanted."""
        seconds = time.perf_counter() - self._started
        whole = Report(
            report.documents,
            report.embedded,
            report.unchanged,
            report.deleted,
            (*report.failed, *self.failed),
            seconds,
            report.usage,
        )
        if whole.failed and on_failure == "raise":
            raise IngestFailed(_failure_message(self._spec.name, whole), whole)
        return whole


def _characters(item: Incoming) -> int:
    return len(item.document.text) if isinstance(item.document.text, str) else 0


def _failure_message(collection: str, report: Report) -> str:
    shown = "".join(f"\n  {failure.error}" for failure in report.failed[:5])
    more = f"\n  … and {len(report.failed) - 5} more" if len(report.failed) > 5 else ""
    return (
        f"collection {collection!r}: {len(report.failed)} documents were not stored "
        f"({report.documents} were):{shown}{more}"
    )


def default_plugins(registry: Registry) -> tuple[Any, Any]:
    """The backend and the embedder that offer themselves as the embedded default. Raises `ConfigError`."""
    backend = _default(registry.names(BACKENDS), registry.backend, "backend")
    embedder = _default(registry.names(EMBEDDERS), registry.embedder, "embedder")
    return backend, embedder


def default_values(
    registry: Registry, name: str, path: str | Path | None, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Configuration values for one collection on the embedded default stack that is installed."""
    backend, embedder = default_plugins(registry)
    place = Path(path) if path is not None else None
    return {
        "backends": {backend.name: {"use": backend.name, **backend.embedded(place)}},
        "embedders": {embedder.name: {"use": embedder.name, **embedder.embedded}},
        "collections": {name: {key: value for key, value in settings.items() if value is not None}},
    }


def _default(names: Sequence[str], load: Callable[[str], Any], kind: str) -> Any:
    offers, broken = [], []
    for name in names:
        try:
            plugin = load(name)
        except PluginError as error:  # it may not have been the one; if none is left, it is named
            broken.append(str(error))
            continue
        if plugin.embedded is not None and plugin.default:
            offers.append(plugin)
    if len(offers) == 1:
        return offers[0]
    if offers:
        found = ", ".join(plugin.name for plugin in offers)
        raise ConfigError(f"several {kind}s offer themselves as the default ({found}); write a configuration file")
    raise ConfigError(
        f"no {kind} offers itself as the embedded default; install one with pip install 'nestvec[default]' "
        f"(in a checkout of nestvec: the first command of its README)",
        broken,
    )

"""The asynchronous client: the same methods, awaited. Use one in one event loop only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nestvec._client.async_collection import AsyncCollection
from nestvec._client.configuring import as_config, default_values
from nestvec._client.connections import Connections
from nestvec._client.ingestion import AsyncDocumentLocks
from nestvec._collections import pending
from nestvec._collections.apply import Change, Status
from nestvec._collections.describing import embedder_named, spec_named
from nestvec._documents.search import embed_texts
from nestvec._session.session import Suspending
from nestvec.config import Config, parse_config
from nestvec.contract import Embedder, FullAdapter
from nestvec.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from nestvec._evaluation.options import DimensionsOptions
    from nestvec._evaluation.report import DimensionsReport
    from nestvec._migration.copy import CopyProgress, CopyReport
    from nestvec._migration.lifecycle import Lifecycle
    from nestvec._migration.report import MigrationPlan, MigrationReport, ProgressCallback
    from nestvec._migration.tidy import GenerationStatus, Removal
    from nestvec._questions import Question
    from nestvec.nesting.fitting import NestReport
    from nestvec.types import Document, FloatArray


__all__ = ["AsyncCollection", "AsyncNestvec", "acollection", "aconnect"]


def aconnect(source: str | Path | Mapping[str, Any] | Config, runtime: Runtime | None = None) -> AsyncNestvec:
    """Open a configuration for asynchronous use; see `nestvec.connect`. Use it in an `async with` statement."""
    runtime = runtime or Runtime()
    return AsyncNestvec(as_config(source, runtime.registry), runtime)


class AsyncNestvec:
    """The collections, backends and embedders of one configuration.

    For the tasks of one event loop; neither for other threads nor across a fork.
    """

    def __init__(self, config: Config, runtime: Runtime | None = None) -> None:
        self.config = config
        self._runtime = runtime or Runtime()
        self._connections = Connections(config, self._runtime, Suspending(self._runtime.pause))
        self._collections: dict[str, AsyncCollection] = {}
        self._locks = AsyncDocumentLocks()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncNestvec {self.config.path or ''} collections={list(self.config.collections)}>"

    def __getitem__(self, name: str) -> AsyncCollection:
        """The handle of a collection. Raises `InvalidName` if the configuration does not have it."""
        if name not in self._collections:
            self._collections[name] = AsyncCollection(self, spec_named(self.config, name))
        return self._collections[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.config.collections)

    async def plan(self, *names: str) -> list[Change]:
        """What `apply` would do to each collection (or the named ones). Needs no embedder."""
        return [await pending.plan(self[name]._among, self[name]._sessions) for name in names or self]

    async def apply(self, *names: str) -> list[Change]:
        """Create and update collections. Raises `CollectionConflict` before anything is changed.

        A collection that is still what `previous` says is left alone: `Change.action` is "migrate".
        """
        chosen = [self[name] for name in names or self]
        for change, collection in zip(await self.plan(*names), chosen, strict=True):
            if change.action == "conflict":
                await pending.apply(collection._among, collection._sessions)
        return [await pending.apply(collection._among, collection._sessions) for collection in chosen]

    async def status(self, *names: str) -> list[Status]:
        """What is there, counted."""
        return [await pending.status(self[name]._among, self[name]._sessions) for name in names or self]

    async def copy(
        self,
        source: str,
        target: str,
        *,
        namespace: str | None = None,
        page: int = 256,
        progress: Callable[[CopyProgress], object] | None = None,
    ) -> CopyReport:
        """Copy a collection into another of the same space, on any backend: vectors, texts, metadata; no embedding.

        The target is created if it is not there; records that it has already are left alone, so an interrupted
        copy goes on. Counts and a sample are compared at the end. Copy while nobody writes to the source. Of a
        collection with namespaces one is copied, or without `namespace` all, one after the other.
        """
        from nestvec._migration.copy import copy

        await self.apply(target)
        origin = await self[source]._located()
        place = await self[target]._located()
        return await copy(origin.of_tenant(namespace), place, page=page, progress=progress)

    async def embed(
        self,
        texts: Sequence[str],
        *,
        task: str | None = None,
        dimensions: int | None = None,
        embedder: str | None = None,
        fresh: bool = False,
    ) -> FloatArray:
        """Embed texts outside any collection: float32 of shape (texts, dimensions). `fresh`: whatever is cached."""
        name = embedder_named(self.config, embedder)
        return await embed_texts(self._connections.embedding(name), texts, task, dimensions, fresh=fresh)

    async def nest(
        self,
        collection: str | None = None,
        *,
        texts: Iterable[str] | None = None,
        embedder: str | None = None,
        task: str | None = None,
        sample: int = 20_000,
        seed: int = 0,
        progress: Callable[[int, int], object] | None = None,
    ) -> NestReport:
        """Fit a rotation that gives Matryoshka prefixes to a model that was not trained for them, and keep it.

        On vectors that a full-size `collection` holds (nothing is embedded), or on `texts`, which are embedded at full
        size with `task` (default: that of stored texts in retrieval). At most `sample` of them are taken, the same for
        the same `seed`. The rotation is written into the artifacts' folder of the configuration; nothing uses it before
        the configuration says so (see `NestReport.config`). `progress` hears how many vectors there are, and will be.

        Raises `Unsupported` for a model that was trained for prefixes and for a collection that is truncated already,
        and `InvalidInput` where the vectors do not suffice.
        """
        from nestvec.nesting.nest import NestRequest, nest

        request = NestRequest.of(self.config, collection, texts, embedder, task)
        return await nest(request, self._connections, sample, seed, progress)

    async def plan_migration(self, name: str, *, documents: Iterable[Document] = ()) -> MigrationPlan:
        """What a migration would do and cost; nothing is changed: see `Nestvec.plan_migration`."""
        from nestvec._migration.lifecycle import Lifecycle

        return await Lifecycle(self._connections, name).plan(documents)

    async def generations(self, *names: str) -> list[GenerationStatus]:
        """All generations of the collections (or the named ones): on their backends, and on those where they were."""
        from nestvec._migration.lifecycle import Lifecycle

        return await Lifecycle.all_generations(self._connections, names)

    async def cleanup(
        self,
        name: str,
        *,
        generation: int | None = None,
        among: Iterable[GenerationStatus] | None = None,
        dry: bool = False,
    ) -> list[Removal]:
        """Remove what migrations left of a collection: see `Nestvec.cleanup`."""
        from nestvec._migration.lifecycle import Lifecycle

        return await Lifecycle(self._connections, name).cleanup(generation=generation, among=among, dry=dry)

    async def migrate(
        self,
        name: str,
        *,
        questions: Sequence[str] = (),
        documents: Iterable[Document] = (),
        progress: ProgressCallback | None = None,
    ) -> MigrationReport:
        """Bring a collection from what it is to what the configuration says: see `Nestvec.migrate`."""
        return await self._take(name, progress, lambda it: it.migrate(questions, documents))

    async def shrink(
        self, name: str, dimensions: int, *, questions: Sequence[str] = (), progress: ProgressCallback | None = None
    ) -> MigrationReport:
        """Bring a collection to fewer dimensions, from the stored vectors alone: see `Nestvec.shrink`."""
        return await self._take(name, progress, lambda it: it.shrink(dimensions, questions))

    async def rollback(
        self, name: str, *, discard: bool = False, progress: ProgressCallback | None = None
    ) -> MigrationReport:
        """Go back to the generation that the collection was migrated or shrunk from: see `Nestvec.rollback`."""
        return await self._take(name, progress, lambda it: it.rollback(discard=discard))

    async def dimensions(
        self,
        collection: str | None = None,
        *,
        texts: Iterable[str | Document] | None = None,
        embedder: str | None = None,
        backend: str | None = None,
        queries: Iterable[str | Question] | None = None,
        options: DimensionsOptions | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> DimensionsReport:
        """Measure which size suffices, on data of one's own: see `Nestvec.dimensions`."""
        from nestvec._evaluation.dimensions import dimensions_report
        from nestvec._evaluation.request import DimensionsRequest

        request = DimensionsRequest.of(self.config, collection, texts, embedder, backend, queries, options)
        return await dimensions_report(request, self._connections, progress)

    async def adapter(self, backend: str) -> FullAdapter:
        """The opened adapter of a backend block, with the core's defaults for powers that it lacks."""
        return await self._connections.adapter(backend)

    async def embedder(self, name: str) -> Embedder:
        """The opened embedder of an embedder block."""
        return await self._connections.embedder(name)

    async def close(self) -> None:
        """Close everything that was opened; afterwards the client cannot be used. Safe to call twice."""
        await self._connections.close()

    async def _take(
        self,
        name: str,
        progress: ProgressCallback | None,
        step: Callable[[Lifecycle], Coroutine[Any, Any, MigrationReport]],
    ) -> MigrationReport:
        """Take a collection through its lifecycle; afterwards, this client's handles look again where it is."""
        from nestvec._migration.lifecycle import Lifecycle

        try:
            return await step(Lifecycle(self._connections, name, progress))
        finally:
            if name in self._collections:
                self._collections[name]._among.forget()


async def acollection(
    name: str,
    *,
    path: str | Path | None = None,
    dimensions: int | None = None,
    purpose: str | None = None,
    fields: Mapping[str, str] | None = None,
    runtime: Runtime | None = None,
    **settings: Any,
) -> AsyncCollection:
    """The asynchronous form of `nestvec.collection`: `async with await nestvec.acollection("docs") as docs`."""
    runtime = runtime or Runtime()
    block = {"dimensions": dimensions, "purpose": purpose, "fields": fields, **settings}
    config = parse_config(default_values(runtime.registry, name, path, block), runtime.registry)
    owner = AsyncNestvec(config, runtime)
    try:
        await owner.apply()
    except BaseException:
        await owner.close()
        raise
    return AsyncCollection(owner, config.collections[name], owns=True)

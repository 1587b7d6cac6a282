"""The asynchronous client: the same methods, awaited. Connections to servers belong to one event loop at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nestvec._client.configuring import as_config, default_values, handed_over
from nestvec._client.connections import Connections
from nestvec._client.traveling import TravelingClient
from nestvec._session.session import Suspending
from nestvec.config import parse_config
from nestvec.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from nestvec._client.async_collection import AsyncCollection
    from nestvec._client.places import Family
    from nestvec._client.sync import Nestvec
    from nestvec._collections.apply import Change, Status
    from nestvec._collections.looking import ForeignLook
    from nestvec._evaluation.options import DimensionsOptions
    from nestvec._evaluation.report import DimensionsReport
    from nestvec._migration.copy import CopyProgress, CopyReport
    from nestvec._migration.dropping import DropReport
    from nestvec._migration.lifecycle import Lifecycle
    from nestvec._migration.report import MigrationPlan, MigrationReport, ProgressCallback
    from nestvec._migration.tidy import GenerationStatus, Removal
    from nestvec._questions import Question
    from nestvec.config import Config
    from nestvec.contract import Embedder, FullAdapter
    from nestvec.nesting.fitting import NestReport
    from nestvec.types import Document, FloatArray


def aconnect(
    source: str | Path | Mapping[str, Any] | Config,
    runtime: Runtime | None = None,
    *,
    embedders: Mapping[str, object] | None = None,
) -> AsyncNestvec:
    """See `nestvec.connect`; nothing is awaited, and the client is used in an `async with` statement."""
    runtime = runtime or Runtime()
    return AsyncNestvec(as_config(source, runtime.registry, embedders), runtime)


class AsyncNestvec(TravelingClient):
    """See `Nestvec`: the same for tasks of one event loop, then the next; side by side where no server is connected."""

    def __init__(
        self,
        config: Config,
        runtime: Runtime | None = None,
        *,
        family: Family | None = None,
        face_of: Nestvec | None = None,
    ) -> None:
        self.config = config
        self._runtime = runtime or Runtime()
        first = face_of._connections if face_of is not None else None
        self._connections: Connections = Connections(
            config, self._runtime, Suspending(self._runtime.pause), family, first
        )
        self._collections: dict[str, AsyncCollection] = {}
        self._face = face_of

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncNestvec {self.config.path or ''} collections={list(self.config.collections)}>"

    def __getitem__(self, name: str) -> AsyncCollection:
        """See `Nestvec.__getitem__`."""
        if name not in self._collections:
            from nestvec._client.async_collection import AsyncCollection
            from nestvec._collections.describing import spec_named

            self._collections.setdefault(name, AsyncCollection(self, spec_named(self.config, name)))
        return self._collections[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.config.collections)

    @property
    def sync(self) -> Nestvec:
        """The synchronous face of this client: the same object each time, over the same stores and local models.

        It is closed with the client. Calls of it block: in a coroutine, await the methods here.
        """
        if self._face is None:
            from nestvec._client.sync import Nestvec

            face = Nestvec(self.config, self._runtime, family=self._connections.family, face_of=self)
            with self._connections.family.lock:
                self._face = self._face or face
        return self._face

    async def plan(self, *names: str) -> list[Change]:
        """See `Nestvec.plan`."""
        from nestvec._collections import pending

        return [await pending.plan(self[name]._among, self[name]._sessions) for name in names or self]

    async def apply(self, *names: str) -> list[Change]:
        """See `Nestvec.apply`."""
        from nestvec._collections import pending

        chosen = [self[name] for name in names or self]
        for change, collection in zip(await self.plan(*names), chosen, strict=True):
            if change.action == "conflict":
                await pending.apply(collection._among, collection._sessions)
        return [await pending.apply(collection._among, collection._sessions) for collection in chosen]

    async def status(self, *names: str) -> list[Status]:
        """See `Nestvec.status`."""
        from nestvec._collections import pending

        return [await pending.status(self[name]._among, self[name]._sessions) for name in names or self]

    async def look(
        self,
        collection: str,
        *,
        backend: str | None = None,
        vector: str | None = None,
        namespace: str | None = None,
    ) -> ForeignLook:
        """See `Nestvec.look`."""
        from nestvec._collections.looking import look

        return await look(self._connections.looking(collection, backend, vector, namespace))

    async def copy(
        self,
        source: str,
        target: str,
        *,
        namespace: str | None = None,
        page: int = 256,
        progress: Callable[[CopyProgress], object] | None = None,
    ) -> CopyReport:
        """See `Nestvec.copy`."""
        from nestvec._documents.settling import TIMEOUT, settle_ingested, warn_unsettled
        from nestvec._migration.copy import copy

        await self.apply(target)
        origin = await self[source]._located()
        place = await self[target]._located()
        report = await copy(origin.of_tenant(namespace), place, page=page, progress=progress)
        warn_unsettled(target, await settle_ingested(place, TIMEOUT), TIMEOUT)
        return report

    async def embed(
        self,
        texts: Sequence[str],
        *,
        task: str | None = None,
        dimensions: int | None = None,
        embedder: str | None = None,
        fresh: bool = False,
    ) -> FloatArray:
        """See `Nestvec.embed`."""
        from nestvec._collections.describing import embedder_named
        from nestvec._documents.search import embed_texts

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
        """See `Nestvec.nest`."""
        from nestvec.nesting.nest import NestRequest, nest

        request = NestRequest.of(self.config, collection, texts, embedder, task)
        return await nest(request, self._connections, sample, seed, progress)

    async def plan_migration(self, name: str, *, documents: Iterable[Document] = ()) -> MigrationPlan:
        """See `Nestvec.plan_migration`."""
        from nestvec._migration.lifecycle import Lifecycle

        return await Lifecycle(self._connections, name).plan(documents)

    async def generations(self, *names: str) -> list[GenerationStatus]:
        """See `Nestvec.generations`."""
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
        """See `Nestvec.cleanup`."""
        from nestvec._migration.lifecycle import Lifecycle

        return await Lifecycle(self._connections, name).cleanup(generation=generation, among=among, dry=dry)

    async def drop(
        self, name: str, *, among: Iterable[GenerationStatus] | None = None, dry: bool = False
    ) -> DropReport:
        """See `Nestvec.drop`."""
        from nestvec._migration.lifecycle import Lifecycle

        try:
            return await Lifecycle(self._connections, name).drop(among=among, dry=dry)
        finally:
            if name in self._collections:
                self._collections[name]._among.forget()

    async def migrate(
        self,
        name: str,
        *,
        questions: Sequence[str] = (),
        documents: Iterable[Document] = (),
        progress: ProgressCallback | None = None,
    ) -> MigrationReport:
        """See `Nestvec.migrate`."""
        return await self._take(name, progress, lambda it: it.migrate(questions, documents))

    async def shrink(
        self, name: str, dimensions: int, *, questions: Sequence[str] = (), progress: ProgressCallback | None = None
    ) -> MigrationReport:
        """See `Nestvec.shrink`."""
        return await self._take(name, progress, lambda it: it.shrink(dimensions, questions))

    async def rollback(
        self, name: str, *, discard: bool = False, progress: ProgressCallback | None = None
    ) -> MigrationReport:
        """See `Nestvec.rollback`."""
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
        """See `Nestvec.dimensions`."""
        from nestvec._evaluation.dimensions import dimensions_report
        from nestvec._evaluation.request import DimensionsRequest

        request = DimensionsRequest.of(self.config, collection, texts, embedder, backend, queries, options)
        return await dimensions_report(request, self._connections, progress)

    async def adapter(self, backend: str) -> FullAdapter:
        """See `Nestvec.adapter`."""
        return await self._connections.adapter(backend)

    async def embedder(self, name: str) -> Embedder:
        """See `Nestvec.embedder`."""
        return await self._connections.embedder(name)

    async def close(self) -> None:
        """See `Nestvec.close`."""
        if not self._opened:
            self._close_unopened()
            return
        try:
            await self._connections.close()
        finally:
            if self._face is not None and self._connections.first is None:
                from nestvec._client.faces import close_face

                await self._connections.outside(close_face, self._face._connections)

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
    embedder: object = None,
    model: str | None = None,
    runtime: Runtime | None = None,
    **settings: Any,
) -> AsyncCollection:
    """See `nestvec.collection`: `async with await nestvec.acollection("docs") as docs`."""
    runtime = runtime or Runtime()
    block = {"dimensions": dimensions, "purpose": purpose, "fields": fields, **settings}
    given = handed_over(embedder, model)
    if isinstance(embedder, str):
        block["model"] = model
    values = default_values(runtime.registry, name, path, block, embedder)
    config = parse_config(values, runtime.registry, embedders=given)
    owner = AsyncNestvec(config, runtime)
    try:
        await owner.apply()
    except BaseException:
        await owner.close()
        raise
    return owner[name]._owning()

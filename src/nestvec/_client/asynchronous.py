"""The asynchronous client: the same methods, awaited. Use one in one event loop only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nestvec._client.async_collection import AsyncCollection
from nestvec._client.base import (
    InFlight,
    Nest,
    Runtime,
    as_config,
    closed,
    default_values,
    embed,
    embedder_named,
    importing,
    spec_named,
    wrapping,
)
from nestvec._client.steps import AsyncSteps
from nestvec._collections import pending
from nestvec._collections.apply import Change, Status
from nestvec._evaluation.request import Request
from nestvec._evaluation.sampling import choose_texts, embedded_sample, require_full
from nestvec._migration.asking import asked_of, at_hand, backends_of, own_names, sides_of
from nestvec._migration.copy import CopyProgress, CopyReport, copy
from nestvec._migration.estimate import estimate
from nestvec._migration.lifecycle import Lifecycle, Steps
from nestvec._migration.report import MigrationPlan, MigrationReport, ProgressCallback
from nestvec._migration.scenes import Sides
from nestvec._migration.tidy import GenerationStatus, Removal, cleanup, statuses
from nestvec._session.asynchronous import AsyncPairPorts, AsyncPorts, call, run
from nestvec.config import Config, Connection, parse_config
from nestvec.contract import Adapter, AsyncAdapter, AsyncEmbedder, Embedder
from nestvec.nesting.embedder import own_rotation
from nestvec.nesting.fitting import SAMPLE, NestReport, sample_to_fit

if TYPE_CHECKING:
    from nestvec._evaluation.options import DimensionsOptions, Question
    from nestvec._evaluation.report import DimensionsReport
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
        self._lock = asyncio.Lock()
        self._adapters: dict[str, AsyncAdapter | Adapter] = {}
        self._embedders: dict[str, AsyncEmbedder | Embedder] = {}
        self._collections: dict[str, AsyncCollection] = {}
        self._closed = False
        self._in_flight = InFlight()
        self._given_back = asyncio.Condition()

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
        return [await self[name]._across(pending.plan(self[name]._among)) for name in names or self]

    async def apply(self, *names: str) -> list[Change]:
        """Create and update collections. Raises `CollectionConflict` before anything is changed.

        A collection that is still what `previous` says is left alone: `Change.action` is "migrate".
        """
        chosen = [self[name] for name in names or self]
        for change, collection in zip(await self.plan(*names), chosen, strict=True):
            if change.action == "conflict":
                await collection._across(pending.apply(collection._among))
        return [await collection._across(pending.apply(collection._among)) for collection in chosen]

    async def status(self, *names: str) -> list[Status]:
        """What is there, counted."""
        return [await self[name]._across(pending.status(self[name]._among)) for name in names or self]

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
        await self.apply(target)
        origin, here = await self[source]._live()
        place, there = await self[target]._live()
        flow = copy(origin, place, namespace, page=page, progress=progress)
        return await run(flow, AsyncPairPorts(here, there))

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
        model = self.config.embedders[name].capabilities
        return await run(embed(model, texts, task, dimensions, fresh=fresh), self._ports(None, name))

    async def nest(
        self,
        collection: str | None = None,
        *,
        texts: Iterable[str] | None = None,
        embedder: str | None = None,
        task: str | None = None,
        sample: int = SAMPLE,
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
        wanted = Nest.of(self.config, collection, texts, embedder, task)
        stored_under = None
        if collection is not None:
            handle = self[collection]
            require_full((await handle._live())[0], "fit a rotation", "nest")  # says so of one that was shrunk
            rows = await handle._run(sample_to_fit(handle._binding, sample, seed, progress))
            stored_under = await self._rotation(wanted.connection)
        else:
            chosen = await asyncio.to_thread(choose_texts, texts or (), sample, seed)
            ports = replace(self._ports(None, wanted.connection.name), model=wanted.raw)
            rows = await run(embedded_sample(wanted.raw, chosen, wanted.task, progress), ports)
        return await asyncio.to_thread(wanted.keep, rows, stored_under)

    async def plan_migration(self, name: str, *, documents: Iterable[Document] = ()) -> MigrationPlan:
        """What a migration would do and cost; nothing is changed: see `Nestvec.plan_migration`."""
        sides = sides_of(self.config, name, self._runtime)
        embedder = sides.wanted.spec.embedder
        opened = await self.embedder(embedder) if at_hand(self.config.embedders[embedder]) else None
        asked = await asyncio.to_thread(asked_of, self.config, sides, opened, documents)
        return await run(estimate(asked), self._pair(sides))

    async def generations(self, *names: str) -> list[GenerationStatus]:
        """All generations of the collections (or the named ones): on their backends, and on those where they were."""
        every = [sides_of(self.config, name, self._runtime) for name in own_names(self.config, names)]
        return [each for sides in every for each in await run(statuses(sides), self._pair(sides))]

    async def cleanup(
        self,
        name: str,
        *,
        generation: int | None = None,
        among: Iterable[GenerationStatus] | None = None,
        dry: bool = False,
    ) -> list[Removal]:
        """Remove what migrations left of a collection: see `Nestvec.cleanup`."""
        sides = sides_of(self.config, name, self._runtime)
        flow = cleanup(sides, self._runtime.wall, number=generation, among=among, dry=dry)
        return await run(flow, self._pair(sides))

    async def migrate(
        self,
        name: str,
        *,
        questions: Sequence[str] = (),
        documents: Iterable[Document] = (),
        progress: ProgressCallback | None = None,
    ) -> MigrationReport:
        """Bring a collection from what it is to what the configuration says: see `Nestvec.migrate`."""
        lifecycle = Lifecycle(self.config, self._runtime, name, progress)
        return await self._take(name, lifecycle.migrate(questions, documents))

    async def shrink(
        self, name: str, dimensions: int, *, questions: Sequence[str] = (), progress: ProgressCallback | None = None
    ) -> MigrationReport:
        """Bring a collection to fewer dimensions, from the stored vectors alone: see `Nestvec.shrink`."""
        lifecycle = Lifecycle(self.config, self._runtime, name, progress)
        return await self._take(name, lifecycle.shrink(dimensions, questions))

    async def rollback(
        self, name: str, *, discard: bool = False, progress: ProgressCallback | None = None
    ) -> MigrationReport:
        """Go back to the generation that the collection was migrated or shrunk from: see `Nestvec.rollback`."""
        lifecycle = Lifecycle(self.config, self._runtime, name, progress)
        return await self._take(name, lifecycle.rollback(discard=discard))

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
        wanted = Request.of(self.config, collection, texts, embedder, backend, queries, options)
        binding, ports = None, self._ports(wanted.spec.backend, wanted.spec.embedder)
        if collection is not None:
            binding, ports = await self[collection]._live()
        wanted = wanted.at(self.config, binding)
        chosen = await asyncio.to_thread(wanted.choose)
        gathered = await run(wanted.gather(binding, chosen, progress), ports)
        measured = await asyncio.to_thread(wanted.measure, gathered, await self._rotation(wanted.connection))
        bench = measured.bench(self.config, self._runtime)
        for probe in bench.probes:
            try:
                bench.note(probe, await run(bench.flow(probe), ports))
            finally:
                bench.warn(await run(probe.drop(), ports))
        return measured.report(bench)

    async def adapter(self, backend: str) -> AsyncAdapter | Adapter:
        """The opened adapter of a backend block: native, or the synchronous one."""
        opened: AsyncAdapter | Adapter = await self._opened(self._adapters, self.config.backends, backend)
        return opened

    async def embedder(self, name: str) -> AsyncEmbedder | Embedder:
        """The opened embedder of an embedder block: native, or the synchronous one."""
        opened: AsyncEmbedder | Embedder = await self._opened(self._embedders, self.config.embedders, name)
        return opened

    async def close(self) -> None:
        """Close everything that was opened; afterwards the client can not be used. Safe to call twice."""
        self._closed = True
        opened: list[object] = [*self._adapters.values(), *self._embedders.values()]
        self._adapters.clear()
        self._embedders.clear()
        for component in opened:
            await call(component, "close")

    async def _opened(self, opened: dict[str, Any], connections: Mapping[str, Any], name: str) -> Any:
        async with self._lock:
            if self._closed:
                raise closed()
            if name not in opened:
                plugin, options = connections[name].plugin, connections[name].options
                wrap = await asyncio.to_thread(wrapping, connections[name], self._runtime)
                with importing(plugin.name):
                    native = plugin.open_async(options) if plugin.open_async is not None else None
                    component = native or await asyncio.to_thread(plugin.open, options)
                opened[name] = wrap(component)
            return opened[name]

    @asynccontextmanager
    async def _writing(self, keys: set[tuple[str, str | None, str]]) -> AsyncIterator[None]:
        async with self._given_back:
            await self._given_back.wait_for(lambda: self._in_flight.take(keys))
        try:
            yield
        finally:
            async with self._given_back:
                self._in_flight.give(keys)
                self._given_back.notify_all()

    async def _take(self, name: str, steps: Steps) -> MigrationReport:
        """Take the steps of a migration; afterwards, this client's handles look again where their collections are."""
        try:
            return await run(steps, AsyncSteps(self))
        finally:
            if name in self._collections:
                self._collections[name]._among.forget()

    async def _rotation(self, connection: Connection[Any]) -> FloatArray | None:
        """What an embedder's stored vectors are turned by. It is opened only if the rotation is its plugin's own."""
        if connection.nesting is not None:
            return await asyncio.to_thread(connection.nesting.artifact.load)
        return own_rotation(await self.embedder(connection.name)) if connection.declared.rotation else None

    def _pair(self, sides: Sides) -> AsyncPairPorts:
        source, target = (self._ports(backend, sides.wanted.spec.embedder) for backend in backends_of(sides))
        return AsyncPairPorts(source, target)

    def _ports(self, backend: str | None, embedder: str) -> AsyncPorts:
        return AsyncPorts(
            embedder=partial(self.embedder, embedder),
            adapter=partial(self.adapter, backend or ""),
            model=self.config.embedders[embedder].capabilities,
            notify=self._runtime.notify,
            retry=self._runtime.retry,
            clock=self._runtime.clock,
            pause=self._runtime.pause,
        )


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

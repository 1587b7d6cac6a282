"""The asynchronous client: the same methods, awaited. Use one in one event loop only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nestvec.chunking import Splitter
from nestvec.client.base import (
    InFlight,
    Intake,
    Nest,
    OnFailure,
    Runtime,
    as_config,
    check_on_failure,
    closed,
    default_values,
    document_keys,
    embed,
    embedder_named,
    importing,
    make_binding,
    spec_named,
    window,
    wrapping,
)
from nestvec.client.dimensions import Request
from nestvec.config import Config, Connection, parse_config
from nestvec.contract import Adapter, AsyncAdapter, AsyncEmbedder, Embedder
from nestvec.drivers.asynchronous import AsyncPairPorts, AsyncPorts, call, run
from nestvec.drivers.pipeline import run_all_async
from nestvec.filters import FilterLike
from nestvec.flows import apply as apply_flows
from nestvec.flows import documents as document_flows
from nestvec.flows import parity as parity_flows
from nestvec.flows import scroll as scroll_flows
from nestvec.flows import search as search_flows
from nestvec.flows.apply import Change, Status
from nestvec.flows.base import Flow, T
from nestvec.flows.copy import CopyProgress, CopyReport, copy
from nestvec.flows.nest import SAMPLE, NestReport, sample_to_fit
from nestvec.flows.sampling import choose_texts, embedded_sample
from nestvec.flows.scroll import Cursor, Matrix, Page
from nestvec.flows.search import SearchOptions
from nestvec.flows.upsert import Incoming, upsert
from nestvec.specs import CollectionSpec
from nestvec.types import Document, Hit, Report, merge

if TYPE_CHECKING:
    from nestvec.dimensions.options import DimensionsOptions, Question
    from nestvec.dimensions.report import DimensionsReport
    from nestvec.parity.agreement import Agreement
    from nestvec.types import FloatArray


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
        return [await self[name]._run(apply_flows.plan(self[name]._binding)) for name in names or self]

    async def apply(self, *names: str) -> list[Change]:
        """Create and update collections. Raises `CollectionConflict` before anything is changed."""
        chosen = [self[name] for name in names or self]
        for change, collection in zip(await self.plan(*names), chosen, strict=True):
            if change.action == "conflict":
                await collection._run(apply_flows.apply(collection._binding))
        return [await collection._run(apply_flows.apply(collection._binding)) for collection in chosen]

    async def status(self, *names: str) -> list[Status]:
        """What is there, counted."""
        return [await self[name]._run(apply_flows.status(self[name]._binding)) for name in names or self]

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
        origin, place = self[source], self[target]
        flow = copy(origin._binding, place._binding, namespace, page=page, progress=progress)
        return await run(flow, AsyncPairPorts(origin._ports, place._ports))

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
            rows = await handle._run(sample_to_fit(handle._binding, sample, seed, progress))
            stored_under = await self._rotation(wanted.connection)
        else:
            chosen = await asyncio.to_thread(choose_texts, texts or (), sample, seed)
            ports = replace(self._ports(None, wanted.connection.name), model=wanted.raw)
            rows = await run(embedded_sample(wanted.raw, chosen, wanted.task, progress), ports)
        return await asyncio.to_thread(wanted.keep, rows, stored_under)

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
        handle = self[collection] if collection is not None else None
        ports = handle._ports if handle is not None else self._ports(wanted.spec.backend, wanted.spec.embedder)
        binding = handle._binding if handle is not None else None
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

    async def _rotation(self, connection: Connection[Any]) -> FloatArray | None:
        """What an embedder's stored vectors are turned by. It is opened only if the rotation is its plugin's own."""
        if connection.nesting is not None:
            return await asyncio.to_thread(connection.nesting.artifact.load)
        return (await self.embedder(connection.name)).rotation() if connection.declared.rotation else None

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


class AsyncCollection:
    """A handle of one collection (and, with `namespace`, of one tenant in it).

    For the tasks of one event loop; two tasks that write one document do so one after the other.
    """

    def __init__(self, owner: AsyncNestvec, spec: CollectionSpec, *, owns: bool = False) -> None:
        self.spec = spec
        self.tenant: str | None = None
        self._owner = owner
        self._owns = owns
        self._binding = make_binding(owner.config, spec, owner._runtime)
        self._ports = owner._ports(spec.backend, spec.embedder)

    def __repr__(self) -> str:
        tenant = f" namespace={self.tenant!r}" if self.tenant is not None else ""
        return f"<AsyncCollection {self.spec.name!r}{tenant} space={self.spec.space.fingerprint}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close what this handle opened for itself (see `nestvec.acollection`)."""
        if self._owns:
            await self._owner.close()

    def namespace(self, tenant: str) -> AsyncCollection:
        """The same collection, seen by one tenant."""
        view = AsyncCollection.__new__(AsyncCollection)
        view.__dict__.update(self.__dict__)
        view.tenant = tenant
        return view

    async def upsert(
        self,
        documents: Iterable[Document | Incoming] | AsyncIterable[Document] | Document,
        *,
        on_failure: OnFailure = "raise",
        progress: Callable[[Report], object] | None = None,
    ) -> Report:
        """Store documents: new and changed ones are embedded, unchanged ones left alone.

        `progress` hears a report of each batch when it is durable. Documents that can not be stored do not
        stop the others; afterwards `IngestFailed` carries the report, unless `on_failure="report"`.
        """
        intake = Intake(self.spec)
        check_on_failure(on_failure)
        reports: list[Report] = []
        splitter = await self._splitter()

        async def store(batch: list[Incoming]) -> Report:
            async with self._owner._writing(document_keys(self.spec, self.tenant, batch)):
                return await run(upsert(self._binding, splitter, batch, self.tenant), self._ports)

        async for report in run_all_async(intake.batches_async(documents), store, window=window(self.spec)):
            reports.append(report)
            if progress is not None:
                progress(report)
        return intake.finish(merge(reports), on_failure)

    async def search(
        self,
        question: str,
        *,
        limit: int = 10,
        offset: int = 0,
        threshold: float | None = None,
        where: FilterLike | None = None,
        group_by_document: bool = False,
    ) -> list[Hit]:
        """The chunks that answer a question best, best first."""
        options = SearchOptions(limit, offset, threshold, where, group_by_document)
        return (await self._run(search_flows.search(self._binding, [question], options, self.tenant)))[0]

    async def search_many(
        self,
        questions: Sequence[str],
        *,
        limit: int = 10,
        offset: int = 0,
        threshold: float | None = None,
        where: FilterLike | None = None,
        group_by_document: bool = False,
    ) -> list[list[Hit]]:
        """Search for several questions in one request: one list of hits for each."""
        options = SearchOptions(limit, offset, threshold, where, group_by_document)
        return await self._run(search_flows.search(self._binding, questions, options, self.tenant))

    async def search_vector(
        self,
        vector: FloatArray,
        *,
        limit: int = 10,
        offset: int = 0,
        threshold: float | None = None,
        where: FilterLike | None = None,
        group_by_document: bool = False,
    ) -> list[Hit]:
        """Search with a query vector of this collection's space: shape (dimensions,)."""
        options = SearchOptions(limit, offset, threshold, where, group_by_document)
        return (await self._run(search_flows.search_vectors(self._binding, [vector], options, self.tenant)))[0]

    async def search_vectors(
        self,
        vectors: FloatArray,
        *,
        limit: int = 10,
        offset: int = 0,
        threshold: float | None = None,
        where: FilterLike | None = None,
        group_by_document: bool = False,
    ) -> list[list[Hit]]:
        """Search with several such vectors, such as a page's, in one request: shape (vectors, dimensions)."""
        options = SearchOptions(limit, offset, threshold, where, group_by_document)
        return await self._run(search_flows.search_vectors(self._binding, vectors, options, self.tenant))

    async def embed(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of texts in this collection's space, not stored: float32 of shape (texts, dimensions).

        They are embedded as questions. For matching, clustering and classification that is how documents are embedded,
        too: so such vectors may be compared with those of `matrix`, or given to a classifier that learned from them.
        """
        return await self._run(search_flows.embed(self._binding, texts))

    async def get(self, document_id: str | int) -> Document | None:
        """A stored document, or None. Its text is rebuilt from its chunks (empty if texts are not stored)."""
        return next(iter(await self.get_many([document_id])), None)

    async def get_many(self, document_ids: Sequence[str | int]) -> list[Document]:
        """Stored documents, in the order asked for; those that are not there are left out."""
        return await self._run(document_flows.get(self._binding, document_ids, self.tenant))

    async def delete(
        self,
        document_ids: Sequence[str | int] | str | int = (),
        *,
        where: FilterLike | None = None,
        everything: bool = False,
    ) -> int:
        """Delete documents by id, by filter, or all of them; returns how many there were."""
        return await self._run(
            document_flows.delete_any(self._binding, document_ids, where, self.tenant, everything=everything)
        )

    async def hosts(self) -> dict[str, Agreement | None]:
        """The hosts that may embed for it: the first one (None), and those that agreed with it, and how well."""
        return await self._run(parity_flows.hosts(self._binding))

    async def forget_canaries(self) -> None:
        """Remove the vectors by which other hosts of the model are told apart: the next ingestion makes them anew.

        Only for whoever knows that the embedder gives the vectors that are stored.
        """
        await self._run(parity_flows.forget_canaries(self._binding))

    async def count(self, where: FilterLike | None = None, *, chunks: bool = False) -> int:
        """How many documents (or chunks) there are, or match."""
        return await self._run(document_flows.count(self._binding, where, self.tenant, chunks=chunks))

    async def tenants(self) -> list[str]:
        """The names of all namespaces that hold documents, sorted."""
        return await self._run(document_flows.tenants(self._binding, self.tenant))

    async def scroll(
        self,
        where: FilterLike | None = None,
        *,
        page: int = 256,
        vectors: bool = False,
        group_by_document: bool = False,
    ) -> AsyncIterator[Page]:
        """All records that match, page by page: see `Collection.scroll`. Read it with `async for`."""
        cursor: Cursor | None = None
        while True:
            found = await self._run(
                scroll_flows.scroll(
                    self._binding,
                    where,
                    self.tenant,
                    limit=page,
                    cursor=cursor,
                    vectors=vectors,
                    group_by_document=group_by_document,
                )
            )
            if found.records:
                yield found
            cursor = found.cursor
            if cursor is None:
                return

    async def matrix(self, where: FilterLike | None = None, *, group_by_document: bool = False) -> Matrix:
        """All records that match, and their vectors as one array: see `Collection.matrix`."""
        return await self._run(
            scroll_flows.matrix(self._binding, where, self.tenant, group_by_document=group_by_document)
        )

    async def _run(self, flow: Flow[T]) -> T:
        return await run(flow, self._ports)

    async def _splitter(self) -> Splitter:
        chunking = self.spec.chunking
        tokens = chunking.unit == "tokens" and chunking.tokenizer is None
        count = (await self._owner.embedder(self.spec.embedder)).count_tokens() if tokens else None
        path = self._owner.config.path
        return Splitter(chunking, count, path.parent if path else None)


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

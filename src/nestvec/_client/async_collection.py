"""The handle of a collection, for the asynchronous client."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from nestvec._client.handle import Handle
from nestvec._collections.following import WANTED, follow
from nestvec._collections.opening import OpenCollection, T
from nestvec._documents import settling
from nestvec._documents.settling import TIMEOUT, check_timeout, warn_unsettled
from nestvec._metadata import NOTHING
from nestvec.capabilities import Freshness
from nestvec.types import Document, Hit, Report, merge

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from nestvec._archives.exporting import ExportReport
    from nestvec._client.asynchronous import AsyncNestvec
    from nestvec._client.ingestion import Duplicates, OnFailure
    from nestvec._client.sync_collection import Collection
    from nestvec._documents.facets import ValueCount
    from nestvec._documents.repair import RepairProgress, RepairReport
    from nestvec._documents.scroll import Cursor, Matrix, Page
    from nestvec._documents.search import Side
    from nestvec._documents.upsert import IncomingDocument, OnExisting
    from nestvec._hosts.agreement import Agreement
    from nestvec._specs import CollectionSpec
    from nestvec.filters import FilterLike
    from nestvec.types import FloatArray, Metadata, Scalar


class AsyncCollection(Handle):
    """See `Collection`: the same for the tasks of one event loop."""

    _owner: AsyncNestvec

    def __init__(self, owner: AsyncNestvec, spec: CollectionSpec) -> None:
        super().__init__(owner._connections, spec)
        self._owner = owner

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """See `Collection.close`."""
        if self._owns:
            await self._owner.close()

    @property
    def sync(self) -> Collection:
        """The synchronous face of this handle: the same object each time. See `AsyncNestvec.sync`."""
        face: Collection = self._in_face(lambda: self._owner.sync)
        return face

    async def upsert(
        self,
        documents: Iterable[Document | IncomingDocument] | AsyncIterable[Document] | Document,
        *,
        on_existing: OnExisting = "replace",
        duplicates: Duplicates = "fail",
        on_failure: OnFailure = "raise",
        progress: Callable[[Report], object] | None = None,
        settle: float = TIMEOUT,
        vectors_from: object = None,
    ) -> Report:
        """See `Collection.upsert`."""
        import asyncio

        from nestvec._client import ingestion
        from nestvec._documents.upsert import upsert
        from nestvec._session.session import embedding_within

        vouching = ingestion.vouching_for(vectors_from, documents)
        ingestion.check_choices(on_failure, on_existing, duplicates)
        can = self._among.live.state.capabilities
        intake = ingestion.Intake(self.spec, vouching, duplicates, can.in_flight)
        if settle is not TIMEOUT:
            check_timeout(settle)
        reports: list[Report] = []
        if len(self._sessions) == 1:  # a mistake in how documents are split is told before any is read
            await self._sessions[WANTED].splitter()

        embedding = asyncio.Semaphore(intake.embedding)
        sessions = [embedding_within(each, embedding) for each in self._sessions]

        async def store(batch: list[IncomingDocument]) -> Report:
            async with ingestion.writing_task(
                self._turns or self._find_turns(), ingestion.document_keys(self.spec, self.tenant, batch)
            ):
                rule = partial(upsert, incoming=batch, vouching=vouching, on_existing=on_existing)
                return await follow(self._among, sessions, rule, self.tenant)

        done = ingestion.run_all_async(intake.batches_async(documents), store, window=intake.window)
        async with aclosing(done):  # what `progress` raises ends what is under way before it is raised here
            async for report in done:
                reports.append(report)
                if progress is not None:
                    progress(report)
        report = merge(reports)
        if reports and self._among.live.state.capabilities.fresh is Freshness.WHEN_SETTLED:
            missing = await self._follow(partial(settling.settle_ingested, seconds=settle))
            warn_unsettled(self.spec.name, missing, settle)
            report = replace(report, unsettled=missing)
        return intake.finish(report, on_failure)

    async def upsert_records(
        self,
        ids: Sequence[str | int],
        texts: Sequence[str],
        vectors: FloatArray,
        metadata: Sequence[Metadata] | None = None,
        *,
        vectors_from: object = None,
        on_existing: OnExisting = "replace",
        duplicates: Duplicates = "fail",
        on_failure: OnFailure = "raise",
        progress: Callable[[Report], object] | None = None,
        settle: float = TIMEOUT,
    ) -> Report:
        """See `Collection.upsert_records`."""
        from nestvec._documents.given import document_rows

        rows = document_rows(ids, texts, vectors, metadata)
        return await self.upsert(
            rows,
            on_existing=on_existing,
            duplicates=duplicates,
            on_failure=on_failure,
            progress=progress,
            settle=settle,
            vectors_from=vectors_from,
        )

    async def settle(self, timeout: float = TIMEOUT) -> None:  # noqa: ASYNC109 - the backend's, as everywhere
        """See `Collection.settle`."""
        await self._follow(partial(settling.settle, seconds=timeout))

    async def search(
        self,
        question: str | None = None,
        *,
        vector: FloatArray | None = None,
        limit: int = 10,
        offset: int = 0,
        threshold: float | None = None,
        where: FilterLike | None = None,
        group_by_document: bool = False,
        vectors: bool = False,
        documents: bool = False,
    ) -> list[Hit]:
        """See `Collection.search`."""
        from nestvec._documents import search as searching

        options = searching.SearchOptions(limit, offset, threshold, where, group_by_document, vectors, documents)
        return (await self._follow(searching.rule_for(question, vector, options)))[0]

    async def search_many(
        self,
        questions: Sequence[str],
        *,
        limit: int = 10,
        offset: int = 0,
        threshold: float | None = None,
        where: FilterLike | None = None,
        group_by_document: bool = False,
        vectors: bool = False,
        documents: bool = False,
    ) -> list[list[Hit]]:
        """See `Collection.search_many`."""
        from nestvec._documents import search as searching

        options = searching.SearchOptions(limit, offset, threshold, where, group_by_document, vectors, documents)
        return await self._follow(partial(searching.search, questions=questions, options=options))

    async def search_vector(
        self,
        vector: FloatArray,
        *,
        limit: int = 10,
        offset: int = 0,
        threshold: float | None = None,
        where: FilterLike | None = None,
        group_by_document: bool = False,
        vectors: bool = False,
        documents: bool = False,
    ) -> list[Hit]:
        """See `Collection.search_vector`."""
        from nestvec._documents import search as searching

        options = searching.SearchOptions(limit, offset, threshold, where, group_by_document, vectors, documents)
        return (await self._follow(partial(searching.search_vectors, vectors=[vector], options=options)))[0]

    async def search_vectors(
        self,
        vectors: FloatArray,
        *,
        limit: int = 10,
        offset: int = 0,
        threshold: float | None = None,
        where: FilterLike | None = None,
        group_by_document: bool = False,
        documents: bool = False,
    ) -> list[list[Hit]]:
        """See `Collection.search_vectors`."""
        from nestvec._documents import search as searching

        options = searching.SearchOptions(limit, offset, threshold, where, group_by_document, documents=documents)
        return await self._follow(partial(searching.search_vectors, vectors=vectors, options=options))

    async def distinct(
        self, field: str, where: FilterLike | None = None, *, limit: int | None = None
    ) -> tuple[ValueCount, ...]:
        """See `Collection.distinct`."""
        from nestvec._documents import facets

        return await self._follow(partial(facets.distinct, field=field, where=where, limit=limit))

    async def value_range(self, field: str, where: FilterLike | None = None) -> tuple[Scalar, Scalar] | None:
        """See `Collection.value_range`."""
        from nestvec._documents import facets

        return await self._follow(partial(facets.value_range, field=field, where=where))

    async def documents(
        self, where: FilterLike | None = None, *, after: str | None = None, vectors: bool = False
    ) -> AsyncIterator[Document]:
        """See `Collection.documents`."""
        from nestvec._documents import reading

        ids = await self._follow(partial(reading.ids, where=where, after=after))
        for block in reading.blocks(ids):
            for document in await self.get_many(block, vectors=vectors):
                yield document

    async def embed(self, texts: Sequence[str], side: Side = "query") -> FloatArray:
        """See `Collection.embed`."""
        from nestvec._documents import search as searching

        return await self._follow(partial(searching.embed, texts=texts, side=side))

    async def get(self, document_id: str | int, *, vectors: bool = False) -> Document | None:
        """See `Collection.get`."""
        return next(iter(await self.get_many([document_id], vectors=vectors)), None)

    async def get_many(self, document_ids: Sequence[str | int], *, vectors: bool = False) -> list[Document]:
        """See `Collection.get_many`."""
        from nestvec._documents import reading

        return await self._follow(partial(reading.get, ids=document_ids, vectors=vectors))

    async def update_metadata(
        self,
        document_ids: Sequence[str | int] | str | int | None = None,
        changes: Metadata = NOTHING,
        *,
        where: FilterLike | None = None,
        remove: Sequence[str] = (),
        replace: bool = False,
        on_failure: OnFailure = "raise",
    ) -> Report:
        """See `Collection.update_metadata`."""
        from nestvec._client import ingestion
        from nestvec._documents import reading, updating

        change = updating.MetadataChange(changes, remove, replace)
        change.check()
        ingestion.check_choices(on_failure)
        ids = await self._follow(partial(updating.chosen, ids=document_ids, where=where))
        reports = []
        for block in reading.blocks(ids):
            keys = {(self.spec.name, self.tenant, key) for key in block}
            async with ingestion.writing_task(self._turns or self._find_turns(), keys):
                reports.append(await self._follow(partial(updating.update_metadata, ids=block, change=change)))
        return ingestion.reported(self.spec.name, merge(reports), on_failure)

    async def delete(
        self,
        document_ids: Sequence[str | int] | str | int = (),
        *,
        where: FilterLike | None = None,
        everything: bool = False,
    ) -> int:
        """See `Collection.delete`."""
        from nestvec._documents import deleting

        delete = partial(
            deleting.delete_any,
            ids=document_ids,
            where=where,
            everything=everything,
            deletion=deleting.Deletion(),
        )
        return await self._follow(delete)

    async def export_to(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> ExportReport:
        """See `Collection.export_to`."""
        from nestvec._archives.exporting import export

        return await self._follow(partial(export, path=Path(path), overwrite=overwrite, progress=progress))

    async def import_from(
        self,
        path: str | Path,
        *,
        on_failure: OnFailure = "raise",
        progress: Callable[[Report], object] | None = None,
        settle: float = TIMEOUT,
    ) -> Report:
        """See `Collection.import_from`."""
        from nestvec._archives import importing
        from nestvec._archives.files import Archive
        from nestvec._client import ingestion

        ingestion.check_choices(on_failure)
        reports, outside = list[Report](), self._owner._connections.outside
        archive = await outside(Archive, Path(path), self._owner.config.limits)
        await self._follow(partial(importing.check, header=archive.header))
        await outside(archive.verify)
        await self._follow(partial(importing.accept, header=archive.header))
        batches = archive.batches()
        while batch := await outside(next, batches, None):
            keys = {(self.spec.name, self.tenant, each.id) for each in batch.documents}
            async with ingestion.writing_task(self._turns or self._find_turns(), keys):
                reports.append(await self._follow(partial(importing.write, batch=batch)))
            if progress is not None:
                progress(reports[-1])
        report = merge(reports)
        missing = await self._follow(partial(settling.settle_ingested, seconds=settle)) if report.given else None
        warn_unsettled(self.spec.name, missing, settle)
        return ingestion.reported(self.spec.name, replace(report, unsettled=missing), on_failure)

    async def repair(
        self, *, dry_run: bool = False, progress: Callable[[RepairProgress], object] | None = None
    ) -> RepairReport:
        """See `Collection.repair`."""
        from nestvec._client import ingestion
        from nestvec._documents import repair as repairing

        surveys = await self._follow(partial(repairing.survey, progress=progress))
        removed = 0
        for found in () if dry_run else surveys:
            for block in found.blocks():
                async with ingestion.writing_task(
                    self._turns or self._find_turns(), {(self.spec.name, found.tenant, key) for key in block}
                ):
                    removed += await self._follow(partial(repairing.mend, found=found, block=block))
        tenants = [each.tenant for each in surveys]
        notes = await self._follow(partial(repairing.finish, tenants=tenants, dry_run=dry_run))
        return repairing.report_of(surveys, None if dry_run else removed, notes, dry_run=dry_run)

    async def hosts(self) -> dict[str, Agreement | None]:
        """See `Collection.hosts`."""
        from nestvec._hosts import admission

        return await self._follow(admission.hosts)

    async def forget_canaries(self) -> None:
        """See `Collection.forget_canaries`."""
        from nestvec._hosts import admission

        await self._follow(admission.forget_canaries)

    async def count(self, where: FilterLike | None = None, *, chunks: bool = False) -> int:
        """See `Collection.count`."""
        from nestvec._documents import reading

        return await self._follow(partial(reading.count, where=where, chunks=chunks))

    async def tenants(self) -> list[str]:
        """See `Collection.tenants`."""
        from nestvec._documents import reading

        return await self._follow(reading.tenants)

    async def scroll(
        self,
        where: FilterLike | None = None,
        *,
        page: int = 256,
        vectors: bool = False,
        group_by_document: bool = False,
    ) -> AsyncIterator[Page]:
        """See `Collection.scroll`; pages are read with `async for`."""
        from nestvec._documents import scroll as scrolling

        read = partial(
            scrolling.scroll,
            where=where,
            limit=page,
            vectors=vectors,
            group_by_document=group_by_document,
        )
        cursor: Cursor | None = None
        while True:
            found = await self._follow(partial(read, cursor=cursor))
            if found.records:
                yield found
            cursor = found.cursor
            if cursor is None:
                return

    async def matrix(self, where: FilterLike | None = None, *, group_by_document: bool = False) -> Matrix:
        """See `Collection.matrix`."""
        from nestvec._documents import scroll as scrolling

        return await self._follow(partial(scrolling.matrix, where=where, group_by_document=group_by_document))

    async def _follow(self, work: Callable[[OpenCollection], Awaitable[T]]) -> T:
        """Run a rule where the collection is."""
        return await follow(self._among, self._sessions, work, self.tenant)

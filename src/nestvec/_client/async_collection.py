"""The handle of a collection, for the asynchronous client."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Self

from nestvec._client.handle import Handle
from nestvec._client.ingestion import Intake, OnFailure, check_on_failure, document_keys, run_all_async, window
from nestvec._collections.following import WANTED, follow
from nestvec._collections.opening import OpenCollection, T
from nestvec._documents import deleting, reading
from nestvec._documents import scroll as scrolling
from nestvec._documents import search as searching
from nestvec._documents.search import SearchOptions
from nestvec._documents.upsert import IncomingDocument, upsert
from nestvec._hosts import admission
from nestvec.types import Document, Hit, Report, merge

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from nestvec._client.asynchronous import AsyncNestvec
    from nestvec._documents.scroll import Cursor, Matrix, Page
    from nestvec._hosts.agreement import Agreement
    from nestvec._specs import CollectionSpec
    from nestvec.filters import FilterLike
    from nestvec.types import FloatArray


class AsyncCollection(Handle):
    """A handle of one collection (and, with `namespace`, of one tenant in it).

    For the tasks of one event loop; two tasks that write one document do so one after the other. `spec` is what the
    configuration wants the collection to be; while it is still what `previous` says, or was shrunk, the handle serves
    what there is, and follows a migration within one lease. Each call is answered wholly by one generation, in one
    space (`space`), on one backend.
    """

    def __init__(self, owner: AsyncNestvec, spec: CollectionSpec, *, owns: bool = False) -> None:
        super().__init__(owner._connections, spec)
        self._owner = owner
        self._owns = owns

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close what this handle opened for itself (see `nestvec.acollection`)."""
        if self._owns:
            await self._owner.close()

    async def upsert(
        self,
        documents: Iterable[Document | IncomingDocument] | AsyncIterable[Document] | Document,
        *,
        on_failure: OnFailure = "raise",
        progress: Callable[[Report], object] | None = None,
    ) -> Report:
        """Store documents: new and changed ones are embedded, unchanged ones left alone.

        `progress` hears a report of each batch when it is durable. Documents that cannot be stored do not
        stop the others; afterwards `IngestFailed` carries the report, unless `on_failure="report"`.
        """
        intake = Intake(self.spec)
        check_on_failure(on_failure)
        reports: list[Report] = []
        if len(self._sessions) == 1:  # a mistake in how documents are split is told before any is read
            await self._sessions[WANTED].splitter()

        async def store(batch: list[IncomingDocument]) -> Report:
            async with self._owner._locks.held(document_keys(self.spec, self.tenant, batch)):
                return await self._follow(partial(upsert, incoming=batch))

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
        return (await self._follow(partial(searching.search, questions=[question], options=options)))[0]

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
    ) -> list[Hit]:
        """Search with a query vector of this collection's space: shape (dimensions,)."""
        options = SearchOptions(limit, offset, threshold, where, group_by_document)
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
    ) -> list[list[Hit]]:
        """Search with several such vectors, such as a page's, in one request: shape (vectors, dimensions)."""
        options = SearchOptions(limit, offset, threshold, where, group_by_document)
        return await self._follow(partial(searching.search_vectors, vectors=vectors, options=options))

    async def embed(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of texts in this collection's space, not stored: float32 of shape (texts, dimensions).

        They are embedded as questions. For matching, clustering and classification that is how documents are embedded,
        too: so such vectors may be compared with those of `matrix`, or given to a classifier that learned from them.
        """
        return await self._follow(partial(searching.embed, texts=texts))

    async def get(self, document_id: str | int) -> Document | None:
        """A stored document, or None. Its text is rebuilt from its chunks (empty if texts are not stored)."""
        return next(iter(await self.get_many([document_id])), None)

    async def get_many(self, document_ids: Sequence[str | int]) -> list[Document]:
        """Stored documents, in the order asked for; those that are not there are left out."""
        return await self._follow(partial(reading.get, ids=document_ids))

    async def delete(
        self,
        document_ids: Sequence[str | int] | str | int = (),
        *,
        where: FilterLike | None = None,
        everything: bool = False,
    ) -> int:
        """Delete documents by id, by filter, or all of them; returns how many there were."""
        delete = partial(
            deleting.delete_any,
            ids=document_ids,
            where=where,
            everything=everything,
            deletion=deleting.Deletion(),
        )
        return await self._follow(delete)

    async def hosts(self) -> dict[str, Agreement | None]:
        """The hosts that may embed for it: the first one (None), and those that agreed with it, and how well."""
        return await self._follow(admission.hosts)

    async def forget_canaries(self) -> None:
        """Remove the vectors by which other hosts of the model are told apart: the next ingestion makes them anew.

        Only for whoever knows that the embedder gives the vectors that are stored.
        """
        await self._follow(admission.forget_canaries)

    async def count(self, where: FilterLike | None = None, *, chunks: bool = False) -> int:
        """How many documents (or chunks) there are, or match."""
        return await self._follow(partial(reading.count, where=where, chunks=chunks))

    async def tenants(self) -> list[str]:
        """The names of all namespaces that hold documents, sorted."""
        return await self._follow(reading.tenants)

    async def scroll(
        self,
        where: FilterLike | None = None,
        *,
        page: int = 256,
        vectors: bool = False,
        group_by_document: bool = False,
    ) -> AsyncIterator[Page]:
        """All records that match, page by page: see `Collection.scroll`. Read it with `async for`."""
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
        """All records that match, and their vectors as one array: see `Collection.matrix`."""
        return await self._follow(partial(scrolling.matrix, where=where, group_by_document=group_by_document))

    async def _follow(self, work: Callable[[OpenCollection], Awaitable[T]]) -> T:
        """Run a rule where the collection is."""
        return await follow(self._among, self._sessions, work, self.tenant)

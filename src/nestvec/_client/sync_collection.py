"""The handle of a collection, for the synchronous client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Self

from nestvec._client.handle import Handle
from nestvec._client.ingestion import Intake, OnFailure, check_on_failure, document_keys, run_all, window
from nestvec._collections.following import WANTED, follow
from nestvec._collections.opening import OpenCollection, T
from nestvec._documents import deleting, reading
from nestvec._documents import scroll as scrolling
from nestvec._documents import search as searching
from nestvec._documents.search import SearchOptions
from nestvec._documents.upsert import IncomingDocument, upsert
from nestvec._hosts import admission
from nestvec._session.session import Turn, complete, for_ingestion
from nestvec.types import Document, Hit, Report, merge

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from nestvec._client.sync import Nestvec
    from nestvec._documents.scroll import Cursor, Matrix, Page
    from nestvec._hosts.agreement import Agreement
    from nestvec._specs import CollectionSpec
    from nestvec.filters import FilterLike
    from nestvec.types import FloatArray


class Collection(Handle):
    """A handle of one collection (and, with `namespace`, of one tenant in it).

    Safe to share between threads; two threads that write one document do so one after the other. Not to be used
    across a fork. `spec` is what the configuration wants the collection to be; while it is still what `previous`
    says, or was shrunk, the handle serves what there is, and follows a migration within one lease. Each call is
    answered wholly by one generation, in one space (`space`), on one backend.
    """

    def __init__(self, owner: Nestvec, spec: CollectionSpec, *, owns: bool = False) -> None:
        super().__init__(owner._connections, spec)
        self._owner = owner
        self._owns = owns

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what this handle opened for itself (see `nestvec.collection`)."""
        if self._owns:
            self._owner.close()

    def upsert(
        self,
        documents: Iterable[Document | IncomingDocument] | Document,
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
            complete(self._sessions[WANTED].splitter())
        cancelled = threading.Event()
        turn = Turn(cancelled)
        sessions = [for_ingestion(each, cancelled, turn) for each in self._sessions]

        def store(batch: list[IncomingDocument]) -> Report:
            with self._owner._locks.held(document_keys(self.spec, self.tenant, batch)), turn.taken():
                return complete(follow(self._among, sessions, partial(upsert, incoming=batch), self.tenant))

        batches = intake.batches(documents)
        for report in run_all(batches, store, window=window(self.spec), cancelled=cancelled):
            reports.append(report)
            if progress is not None:
                progress(report)
        return intake.finish(merge(reports), on_failure)

    def search(
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
        return complete(
            follow(
                self._among,
                self._sessions,
                partial(searching.search, questions=[question], options=options),
                self.tenant,
            )
        )[0]

    def search_many(
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
        return complete(
            follow(
                self._among,
                self._sessions,
                partial(searching.search, questions=questions, options=options),
                self.tenant,
            )
        )

    def search_vector(
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
        return complete(
            follow(
                self._among,
                self._sessions,
                partial(searching.search_vectors, vectors=[vector], options=options),
                self.tenant,
            )
        )[0]

    def search_vectors(
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
        return complete(
            follow(
                self._among,
                self._sessions,
                partial(searching.search_vectors, vectors=vectors, options=options),
                self.tenant,
            )
        )

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of texts in this collection's space, not stored: float32 of shape (texts, dimensions).

        They are embedded as questions. For matching, clustering and classification that is how documents are embedded,
        too: so such vectors may be compared with those of `matrix`, or given to a classifier that learned from them.
        """
        return self._follow(partial(searching.embed, texts=texts))

    def get(self, document_id: str | int) -> Document | None:
        """A stored document, or None. Its text is rebuilt from its chunks (empty if texts are not stored)."""
        return next(iter(self.get_many([document_id])), None)

    def get_many(self, document_ids: Sequence[str | int]) -> list[Document]:
        """Stored documents, in the order asked for; those that are not there are left out."""
        return self._follow(partial(reading.get, ids=document_ids))

    def delete(
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
        return self._follow(delete)

    def hosts(self) -> dict[str, Agreement | None]:
        """The hosts that may embed for it: the first one (None), and those that agreed with it, and how well."""
        return self._follow(admission.hosts)

    def forget_canaries(self) -> None:
        """Remove the vectors by which other hosts of the model are told apart: the next ingestion makes them anew.

        Only for whoever knows that the embedder gives the vectors that are stored.
        """
        self._follow(admission.forget_canaries)

    def count(self, where: FilterLike | None = None, *, chunks: bool = False) -> int:
        """How many documents (or chunks) there are, or match."""
        return complete(
            follow(self._among, self._sessions, partial(reading.count, where=where, chunks=chunks), self.tenant)
        )

    def tenants(self) -> list[str]:
        """The names of all namespaces that hold documents, sorted."""
        return self._follow(reading.tenants)

    def scroll(
        self,
        where: FilterLike | None = None,
        *,
        page: int = 256,
        vectors: bool = False,
        group_by_document: bool = False,
    ) -> Iterator[Page]:
        """All records that match, page by page, for collections of any size.

        A record is a chunk; with `group_by_document` it is a whole document, its text rebuilt, and its vector the mean
        of its chunks', scaled back to length 1. With `vectors`, those of a page are float32 of shape (records,
        dimensions), C-contiguous, in the order of its records, as they are stored: of length 1, unless the model's are
        not. A page holds at most `page` records (some backends give fewer), and one page is all that is in memory;
        grouped by document, so are all chunks of its documents, while it is made.

        The order is the backend's own, not that of ingestion; it stays the same as long as nobody writes. Of what is
        written meanwhile you see some and miss some. Of a document that is replaced meanwhile, chunks of both versions
        may come; grouped by document, one whole version. Do not delete while you scroll: gather the ids first. Raises
        `GenerationMoved` if the collection's name moves to another generation: start again.
        """
        read = partial(
            scrolling.scroll,
            where=where,
            limit=page,
            vectors=vectors,
            group_by_document=group_by_document,
        )
        cursor: Cursor | None = None
        while True:
            found = self._follow(partial(read, cursor=cursor))
            if found.records:
                yield found
            cursor = found.cursor
            if cursor is None:
                return

    def matrix(self, where: FilterLike | None = None, *, group_by_document: bool = False) -> Matrix:
        """All records that match, and their vectors as one array: what scikit-learn calls X.

        They are what `scroll` gives, in its order, in one piece: `vectors` is float32 of shape (records, dimensions),
        C-contiguous; (0, dimensions) where nothing matches. The array is made once, by count, and filled page by page:
        no second copy exists. It takes 4 bytes a record and dimension (1 GB for a million of 256), and the records with
        their texts come on top. Raises `InvalidInput` where there is no room for it. Starts again by itself if the
        collection's name moves to another generation meanwhile.
        """
        return self._follow(partial(scrolling.matrix, where=where, group_by_document=group_by_document))

    def _follow(self, work: Callable[[OpenCollection], Awaitable[T]]) -> T:
        """Run a rule where the collection is."""
        return complete(follow(self._among, self._sessions, work, self.tenant))

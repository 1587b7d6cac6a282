"""The kit's checks on documents: routing, replacing, keeping, deleting, interruptions, concurrency."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from typing import Any, Final

import numpy as np

from nestvec.contract import Event, Remove, Write
from nestvec.encoding.vectors import normalize
from nestvec.errors import BackendError, BackendUnavailable, IngestFailed, InvalidInput
from nestvec.filters import F
from nestvec.types import Document
from nestvec_testing.adapters.base import AdapterKit
from nestvec_testing.bench import Bench
from nestvec_testing.data import document, words
from nestvec_testing.guard import refused

#: Purpose, the task of stored texts, the task of questions.
_ROUTES: Final = (
    ("retrieval", "retrieval.passage", "retrieval.query"),
    ("matching", "text-matching", "text-matching"),
    ("clustering", "separation", "separation"),
    ("classification", "classification", "classification"),
)
_INDEX: Final = "retrieval.passage"
#: Seconds after which a writer that broke off is taken for dead.
_DEAD: Final = 90.0
_SMALL: Final = {"chunking": {"size": 60}}


class Interrupted(BackendError):
    """What the kit raises in the middle of a write."""


class DocumentChecks(AdapterKit):
    """Ingesting, replacing, deleting."""

    def test_tasks_reach_the_embedder(self, bench: Bench) -> None:
        """Documents with the index task, questions with the query task, for every purpose."""
        for purpose, index, query in _ROUTES:
            name = f"{bench.name}{purpose}"
            docs = bench.applied(collections={name: {"purpose": purpose, "dimensions": 32}})[name]
            docs.upsert([document("a"), document("b", seed=2)])
            stored = bench.tasks
            docs.search("river stone")
            asked = bench.tasks[len(stored) :]
            bench.embedders.clear()
            assert set(stored) == {index}, f"{purpose}: documents are embedded as {index}, not {stored}"
            assert asked == [query], f"{purpose}: questions are embedded as {query}, not {asked}"

    def test_unchanged_documents_are_left_alone(self, bench: Bench) -> None:
        """The same input again: nothing embedded, nothing written."""
        docs = bench.applied(_SMALL).docs
        documents = [document(f"d{i}", seed=i, metadata={"year": i}) for i in range(3)]
        first = docs.upsert(documents)
        assert (first.documents, first.unchanged, first.deleted) == (3, 0, 0), (
            f"new documents are all embedded: {first}"
        )
        asked, sent = len(bench.embedded), len(bench.requests)
        again = docs.upsert(documents)
        assert (again.documents, again.embedded) == (3, 0), f"unchanged documents are not embedded: {again}"
        assert again.unchanged == first.embedded == docs.count(chunks=True), f"all chunks are unchanged: {again}"
        assert len(bench.embedded) == asked, "unchanged documents are not sent to the embedder"
        writes = [each for each in bench.requests[sent:] if isinstance(each, Write | Remove)]
        assert not writes, f"unchanged documents are not written again, but {writes[0].method} was sent"

    def test_replacing_a_document(self, bench: Bench) -> None:
        """Shorter, longer, other: afterwards exactly the new version is there."""
        docs = bench.applied(_SMALL).docs
        for number, length in enumerate((40, 8, 90, 40)):
            new = document("a", length, seed=number, metadata={"year": number})
            docs.upsert([new])
            _is_exactly(bench, docs, new)

    def test_kept_chunks_are_not_embedded_again(self, bench: Bench) -> None:
        """In a changed document, chunks with equal text keep their vectors."""
        docs = bench.applied(_SMALL).docs
        body = words(60)
        docs.upsert([Document("a", body)])
        before = _vectors(docs)
        asked = len(bench.embedded)
        report = docs.upsert([Document("a", body + " and one more sentence at the end of it all")])
        new = bench.embedded[asked:]
        assert 0 < len(new) <= 2, f"only chunks whose text changed are embedded, but {len(new)} texts were"
        assert report.unchanged == docs.count(chunks=True) - len(new), (
            f"kept chunks are reported as unchanged: {report}"
        )
        after = _vectors(docs)
        for text in set(before) & set(after):
            off = abs(before[text] - after[text]).max()
            assert off <= 2e-6, f"a chunk whose text did not change keeps its vector, but it is off by {off}"

    def test_metadata_alone_never_embed(self, bench: Bench) -> None:
        """A change of metadata reaches every chunk, without the embedder — late chunking included."""
        for late in (False, True):
            name = f"{bench.name}{'late' if late else 'plain'}"
            docs = bench.applied(
                collections={name: {"late_chunking": late, "fields": {"year": "integer"}, **_SMALL, "dimensions": 16}}
            )[name]
            docs.upsert([document("a", 60, metadata={"year": 1, "gone": "x"})])
            before, asked = _vectors(docs), len(bench.embedded)
            docs.upsert([document("a", 60, metadata={"year": 2})])
            assert len(bench.embedded) == asked, f"a change of metadata alone never embeds (late chunking: {late})"
            found = docs.count({"year": 2}, chunks=True)
            assert found == docs.count(chunks=True) == len(before), (
                f"new metadata reach all {len(before)} chunks: {found}"
            )
            assert docs.get("a").metadata == {"year": 2}, f"metadata are replaced as a whole: {docs.get('a').metadata}"
            after = _vectors(docs)
            off = max(abs(before[text] - after[text]).max() for text in before)
            assert off <= 2e-6, f"a change of metadata keeps the vectors, but one is off by {off}"

    def test_late_chunking_embeds_the_whole_document(self, bench: Bench) -> None:
        """Neighbours matter: a change anywhere embeds all chunks, together."""
        docs = bench.applied({"late_chunking": True, **_SMALL}).docs
        docs.upsert([document("a", 60)])
        bench.embedders[-1].requests.clear()
        docs.upsert([Document("a", words(60) + " and more")])
        (request,) = bench.embedders[-1].requests
        (group,) = request.groups
        chunks = docs.count(chunks=True)
        assert request.late, "late chunking is asked of the embedder"
        assert len(group.spans) == chunks, f"late chunking embeds all {chunks} chunks of a document: {len(group.spans)}"

    def test_deleting_documents(self, bench: Bench) -> None:
        """By id and by filter; counted as documents, with all their chunks."""
        docs = bench.applied(_SMALL).docs
        docs.upsert([document(f"d{i}", 40, seed=i, metadata={"year": i}) for i in range(6)])
        assert docs.delete(["d0", "d1", "missing"]) == 2, "delete counts the documents that were there"
        left = {record.document_id for page in docs.scroll() for record in page.records}
        assert not left & {"d0", "d1"}, "a deleted document is gone with all of its chunks"
        assert docs.delete(["d0"]) == 0, "a deleted document is gone"
        assert docs.get("d0") is None, "a deleted document cannot be got"
        assert docs.delete(where=F.year >= 4) == 2, "delete by filter counts documents"
        assert docs.count() == 2, f"two documents are left, not {docs.count()}"
        left = {each.document_id for page in docs.scroll() for each in page.records}
        assert left == {"d2", "d3"}, f"deleting removes all chunks of those documents only; left are {sorted(left)}"
        hits = {hit.document_id for hit in docs.search("river stone", limit=50)}
        assert hits == {"d2", "d3"}, f"deleted documents are not found; found were {sorted(hits)}"
        with refused(InvalidInput, "deleting with neither ids nor filter"):
            docs.delete()

    def test_bad_documents_do_not_stop_good_ones(self, bench: Bench) -> None:
        """They are reported; everything else is stored; duplicates: the first wins."""
        docs = bench.applied().docs
        bad: list[Any] = [
            Document("empty", "  "),
            Document("typed", "text", {"year": float("nan")}),
            document("a", seed=9),
        ]
        report = docs.upsert([document("a"), *bad, document("b", seed=1)], on_failure="report")
        assert sorted(str(each.document_id) for each in report.failed) == ["a", "empty", "typed"], f"failures: {report}"
        assert report.documents == docs.count() == 2, f"good documents are stored beside bad ones: {report}"
        assert docs.get("a") == document("a"), "of two documents with one id the first is kept"
        with refused(IngestFailed, "bad documents without on_failure='report'"):
            docs.upsert([Document("empty", "")])

    def test_a_big_batch(self, bench: Bench) -> None:
        """Many documents at once, in several batches: each is stored, and got back in the order asked for."""
        session = bench.applied(embedder={"batch": 50})
        documents = [document(f"d{i}", 6, seed=i) for i in range(420)]
        seen: list[Any] = []
        report = session.docs.upsert(iter(documents), progress=seen.append)
        assert report.documents == 420, f"each document of a big batch is stored: 420, not {report.documents}"
        assert len(seen) > 1, "progress is reported batch by batch"
        assert session.docs.count() == 420, f"each document of a big batch is counted: 420, not {session.docs.count()}"
        asked = [each.id for each in documents[::-1]]
        got = [each.id for each in session.docs.get_many(asked)]
        assert got == asked, "get_many gives every document in the order asked for"
        session.docs.delete(asked[:-1])
        assert session.docs.count() == 1, "many documents can be deleted at once"

    def test_a_collection_as_one_matrix(self, bench: Bench) -> None:
        """All vectors with their records, a row for each chunk, or for each document the mean of its chunks."""
        session = bench.applied(_SMALL)
        documents = {f"d{i}": document(f"d{i}", 8 + i % 3 * 20, seed=i, metadata={"year": i % 4}) for i in range(40)}
        session.docs.upsert(documents.values())
        found = session.docs.matrix()
        assert len(set(found.ids)) == len(found) == session.docs.count(chunks=True), "a matrix has one row a record"
        expected = dict(zip(found.texts, session.embed(found.texts, task=_INDEX, dimensions=32), strict=True))
        _is_matrix(found.vectors, np.array([expected[text] for text in found.texts]), "a chunk's own vector")
        some = session.docs.matrix(F.year < 2, group_by_document=True)
        wanted = sorted(f"d{i}" for i in range(40) if i % 4 < 2)
        assert sorted(some.document_ids) == wanted, "grouped by document, each that matches has one row"
        for each in some.records:
            same = (each.text, each.metadata) == (
                documents[each.document_id].text,
                documents[each.document_id].metadata,
            )
            assert same, f"grouped by document, text and metadata are the whole document's, not {each.text!r:.60}"
        owners = np.array(found.document_ids)
        means = [found.vectors[owners == key].mean(axis=0) for key in some.document_ids]
        _is_matrix(some.vectors, normalize(np.array(means)), "the mean of a document's chunks, at length 1")
        assert session.docs.matrix(F.year > 9).vectors.shape == (0, 32), "where nothing matches, a matrix has no rows"


class InterruptionChecks(AdapterKit):
    """Runs that break off, connections that fail for a moment."""

    def test_interrupted_writes_are_mended(self, bench: Bench) -> None:
        """Broken off at every write and removal, at every point of it: never neither version.

        A rerun mends it: on a server, where others may write, once the writer is known to be dead.
        """
        steps = 0
        for old, new in ((None, document("a", 50, seed=1)), (document("a", 50), document("a", 30, seed=1))):
            for cut in count():
                docs = bench.session(_SMALL).docs if steps else bench.applied(_SMALL).docs
                steps += 1
                docs.delete(["a"])
                docs.upsert([old] if old else [])
                if not _broken_off(bench, docs, new, cut):
                    break
                _old_or_new(docs, old, new)
                bench.clock.now += _DEAD
                docs.upsert([new])
                _is_exactly(bench, docs, new)
        assert steps > 8, f"the kit must have interrupted several writes, not {steps}"

    def test_interrupted_deletes_are_mended(self, bench: Bench) -> None:
        """A delete that broke off can be repeated, and leaves nothing."""
        docs = bench.applied(_SMALL).docs
        for cut in count():
            docs.upsert([document("a", 50), document("b", 20, seed=3)])
            if not _broken_off_while(bench, lambda: docs.delete(["a"]), cut):
                break
            docs.delete(["a"])
            assert docs.get("a") is None, "a repeated delete finishes what was interrupted"
            left = {each.document_id for page in docs.scroll() for each in page.records}
            assert left == {"b"}, f"a repeated delete leaves nothing of the document; left are {left}"

    def test_passing_failures_are_retried(self, bench: Bench) -> None:
        """The drivers retry what is retryable, and say so; adapters need not."""
        session = bench.applied(attempts=3)
        failures = iter([True, True])

        def fail_twice(request: Any, perform: Any) -> Any:
            if isinstance(request, Write) and next(failures, False):
                raise BackendUnavailable("a passing failure made by the kit")
            return perform(request)

        bench.intercept = fail_twice
        session.docs.upsert([document("a")])
        bench.intercept = None
        retried = [event for event in bench.events if event.name == "request_retried"]
        assert len(retried) == 2, f"each retry emits an event request_retried: 2, not {len(retried)}"
        assert session.docs.get("a") == document("a"), "a retried write is stored"


class ServiceChecks(AdapterKit):
    """Events, threads, closing."""

    def test_events_are_emitted(self, bench: Bench) -> None:
        """Created, written, failed, searched, deleted: each with the collection's name and plain values."""
        docs = bench.applied().docs
        docs.upsert([document("a"), Document("bad", "")], on_failure="report")
        docs.search("river")
        docs.delete(["a"])
        names = {event.name for event in bench.events}
        wanted = {"collection_created", "document_written", "document_failed", "search_done", "document_deleted"}
        assert wanted <= names, f"events are emitted for {sorted(wanted)}; missing are {sorted(wanted - names)}"
        for event in bench.events:
            assert isinstance(event, Event), "events are Event values"
            assert event.collection == bench.name, f"event {event.name} names the collection, not {event.collection!r}"

    def test_threads_share_a_client(self, bench: Bench) -> None:
        """Four at a time write, read and search through one handle; nothing is lost."""
        docs = bench.applied(_SMALL).docs

        def work(number: int) -> int:
            docs.upsert([document(f"d{number}-{i}", 20, seed=number * 10 + i) for i in range(4)])
            docs.search("river stone")
            docs.upsert([document(f"d{number}-0", 30, seed=number)])
            return len(docs.get_many([f"d{number}-{i}" for i in range(4)]))

        with ThreadPoolExecutor(4) as pool:
            seen = list(pool.map(work, range(8)))
        assert seen == [4] * 8, f"each thread reads what it wrote: 4 documents, not {seen}"
        assert docs.count() == 32, f"nothing is lost between threads: 32 documents, not {docs.count()}"
        for number in range(8):
            wanted = document(f"d{number}-0", 30, seed=number)
            assert docs.get(wanted.id) == wanted, "a document replaced while others were written is complete"

    def test_closing_twice(self, bench: Bench) -> None:
        """Clients and adapters may be closed twice; a client opens again when it is used again."""
        session = bench.applied()
        session.close()
        session.close()
        adapter = bench.adapter
        for _ in range(2):
            bench.loop.ask(bench.native, adapter.close)
        bench.reopen()

    def test_no_secret_is_shown(self, bench: Bench) -> None:
        """The values of the backend's secrets stay out of every repr, event and description."""
        session = bench.applied()
        session.docs.upsert([document("a")])
        shown = repr([session.target, session.docs.target, bench.adapter, bench.options, bench.events, bench.requests])
        shown += repr(bench.describe())
        for name, secret in bench.secrets.items():
            assert secret not in shown, f"the secret of option {name!r} must not be shown"


def _is_matrix(vectors: Any, wanted: Any, what: str) -> None:
    assert vectors.dtype == np.float32, f"a matrix is float32, not {vectors.dtype}"
    assert vectors.flags.c_contiguous, "a matrix is C-contiguous"
    assert vectors.shape == wanted.shape, f"a matrix has the shape {wanted.shape}, not {vectors.shape}"
    off = float(np.abs(vectors - wanted).max())
    assert off <= 2e-6, f"a row of a matrix is {what}, but one is off by {off}"


def _vectors(docs: Any) -> dict[str, Any]:
    """The stored vectors by text."""
    return {
        each.text: row
        for page in docs.scroll(vectors=True)
        for each, row in zip(page.records, page.vectors, strict=True)
    }


def _is_exactly(bench: Bench, docs: Any, wanted: Document) -> None:
    """Nothing but this document is stored: text, metadata, chunks without gaps and leftovers, findable."""
    found, text = docs.get(wanted.id), wanted.text or ""
    assert found == wanted, f"after replacing, exactly the new version is there: {text!r:.60}, not {found!r:.90}"
    rows = [each for page in docs.scroll() for each in page.records]
    chunks = sorted(int(each.system["chunk"]) for each in rows)
    assert chunks == list(range(len(chunks))), f"after replacing, no chunk of another version is left: {chunks}"
    assert docs.count() == 1, f"after replacing there is one document, not {docs.count()}"
    spans = sorted((int(each.system["start"]), int(each.system["end"])) for each in rows)
    whole = spans[0][0] == 0 and spans[-1][1] == len(text)
    assert whole, f"after replacing, the chunks cover the new text: 0 to {len(text)}, not {spans}"
    hits = {hit.document_id for hit in docs.search(text[:50], limit=50)}
    assert hits == {wanted.id}, f"after replacing, the new version is found: {hits}"
    report = docs.upsert([wanted])
    assert (report.embedded, report.deleted) == (0, 0), f"a mended document is unchanged for the next run: {report}"


def _old_or_new(docs: Any, old: Document | None, new: Document) -> None:
    """One complete version can be read and found."""
    found = docs.get(new.id)
    assert found in (old, new), f"an interrupted write leaves the old or the new version, never neither: {found!r:.90}"
    if old is not None:
        hits = [hit for hit in docs.search((old.text or "")[:40], limit=50) if hit.document_id == new.id]
        assert hits, "during a replacement the document can be found at every moment"


def _broken_off(bench: Bench, docs: Any, new: Document, cut: int) -> bool:
    return _broken_off_while(bench, lambda: docs.upsert([new]), cut)


def _broken_off_while(bench: Bench, act: Any, cut: int) -> bool:
    """Break off `act` at the cut-th possible place; False once it ran to its end: there are no more places."""
    places = count()

    def breaking(request: Any, perform: Any) -> Any:
        if not isinstance(request, Write | Remove):
            return perform(request)
        size = len(request.records) if isinstance(request, Write) else len(request.ids)
        for done in sorted({0, 1, size // 2, size}):
            if done <= size and next(places) == cut:
                if done:
                    perform(_first(request, done))
                raise Interrupted("broken off by the kit")
        return perform(request)

    bench.intercept = breaking
    try:
        act()
    except Interrupted:
        return True
    else:
        return False
    finally:
        bench.intercept = None


def _first(request: Any, done: int) -> Any:
    """A request for the first records only: those that became durable."""
    if isinstance(request, Remove):
        return replace(request, ids=request.ids[:done])
    rows = {name: matrix[:done] for name, matrix in request.vectors.items()}
    return replace(request, records=request.records[:done], vectors=rows)

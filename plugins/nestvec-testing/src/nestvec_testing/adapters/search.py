"""The kit's checks on searching: scores, order, threshold, pages, groups. The oracle is numpy."""

from __future__ import annotations

import numpy as np

from nestvec.contract import Query
from nestvec.encoding.vectors import normalize
from nestvec.errors import InvalidInput
from nestvec.filters import F, resolve
from nestvec.types import DENSE, Metric
from nestvec_testing.adapters.base import AdapterKit
from nestvec_testing.bench import Bench
from nestvec_testing.data import PARSED, KitCollection, document, exact, record, vectors, words
from nestvec_testing.guard import refused

_MEANING = {
    Metric.COSINE: "cosine similarity, from -1 to 1",
    Metric.DOT: "the dot product as it is",
    Metric.EUCLIDEAN: "minus the unsquared euclidean distance",
}


class SearchChecks(AdapterKit):
    """Searching through the adapter and the client."""

    def test_scores_and_order(self, bench: Bench) -> None:
        """For each metric: best first, higher is better, on nestvec's scale; several questions at once."""
        for metric in sorted(bench.capabilities.metrics):
            table = KitCollection(bench, metric, 12, suffix=f"s{metric.value[0]}")
            table.fill(40, seed=7)
            rows = vectors(5, 12, seed=8)
            for row, found in zip(rows, table.query(rows, limit=15), strict=True):
                wanted = table.expected(row)[:15]
                ids = [each.record.id for each in found]
                assert ids == [key for key, _ in wanted], (
                    f"{metric.value}: hits come best first, as exact search has them"
                )
                off = max(abs(each.score - score) for each, (_, score) in zip(found, wanted, strict=True))
                assert off < 1e-4, f"{metric.value}: a score is {_MEANING[metric]}; it is off by {off:.4g}"
                assert all(type(each.score) is float for each in found), "scores are Python floats"

    def test_identical_and_opposite_vectors(self, bench: Bench) -> None:
        """The ends of each scale."""
        ends = {Metric.COSINE: (1.0, -1.0), Metric.DOT: (4.0, -4.0), Metric.EUCLIDEAN: (0.0, -4.0)}
        axis = np.eye(6, dtype=np.float32)[0]
        for metric in sorted(bench.capabilities.metrics):
            table = KitCollection(bench, metric, 6, suffix=f"e{metric.value[0]}")
            scale = np.float32(1 if metric is Metric.COSINE else 2)
            table.write([record("same"), record("opposite")], np.stack([axis, -axis]) * scale)
            (found,) = table.query((axis * scale)[np.newaxis])
            scores = {each.record.document_id: each.score for each in found}
            for name, wanted in zip(("same", "opposite"), ends[metric], strict=True):
                off = abs(scores[name] - wanted)
                assert off < 1e-3, (
                    f"{metric.value}: the {name} vector scores {wanted} ({_MEANING[metric]}), not {scores[name]}"
                )

    def test_threshold(self, bench: Bench) -> None:
        """No hit below it; every hit above it. Also where scores are negative."""
        for metric in sorted(bench.capabilities.metrics):
            table = KitCollection(bench, metric, 12, suffix=f"h{metric.value[0]}")
            table.fill(30, seed=9)
            row = vectors(1, 12, seed=10)
            ranked = table.expected(row[0])
            for place in (0, 4, 29):
                last = ranked[place + 1][1] if place + 1 < len(ranked) else ranked[place][1] - 0.5
                threshold = (ranked[place][1] + last) / 2
                (found,) = table.query(row, limit=50, threshold=threshold)
                ids = [each.record.id for each in found]
                wanted = [key for key, _ in ranked[: place + 1]]
                assert ids == wanted, f"{metric.value}: a threshold lets {len(wanted)} hits through, not {len(ids)}"
            (found,) = table.query(row, limit=50, threshold=ranked[0][1] + 0.5)
            assert not found, f"{metric.value}: no hit is below the threshold, but {len(found)} are"

    def test_pages_without_gaps_or_doubles(self, bench: Bench) -> None:
        """Offset and limit: pages laid side by side are the whole ranking; beyond the end there is nothing."""
        table = KitCollection(bench)
        table.fill(25, seed=11)
        row = vectors(1, table.size, seed=12, unit=True)
        wanted = [key for key, _ in table.expected(row[0])]
        for size in (1, 4, 10, 40):
            pages = [table.query(row, limit=size, offset=start)[0] for start in range(0, 30, size)]
            ids = [each.record.id for page in pages for each in page]
            assert ids == wanted, (
                f"pages of {size} by offset and limit have no gaps and no doubles: 25 hits, not {len(ids)}"
            )
        threshold = table.expected(row[0])[9][1] - 1e-4
        (found,) = table.query(row, limit=20, offset=7, threshold=threshold)
        ids = [each.record.id for each in found]
        assert ids == wanted[7:10], f"offset counts hits above the threshold: 3 are left after 7, not {len(ids)}"

    def test_searching_with_a_filter(self, bench: Bench) -> None:
        """The filter comes first: the best of what matches, not what matches among the best."""
        table = KitCollection(bench)
        table.fill(60, seed=13)
        row = vectors(1, table.size, seed=14, unit=True)
        matching = {each.id for each in table.records[::6]}
        where = resolve(F.year.in_(list(range(0, 60, 6))), PARSED)
        wanted = [key for key, _ in table.expected(row[0]) if key in matching]
        (found,) = table.query(row, limit=8, where=where)
        ids = [each.record.id for each in found]
        assert ids == wanted[:8], "a filtered search finds the best of what matches"
        (found,) = table.query(row, limit=8, offset=6, where=where)
        assert [each.record.id for each in found] == wanted[6:], "offset counts matching hits only"

    def test_many_questions_and_none(self, bench: Bench) -> None:
        """One list of hits for each question, in order; no questions, no lists; an empty collection, empty lists."""
        table = KitCollection(bench)
        (nothing,) = table.query(vectors(1, table.size, unit=True))
        assert nothing == [], "searching an empty collection finds nothing"
        table.fill(20, seed=15)
        rows = vectors(70, table.size, seed=16, unit=True)
        together = [[each.record.id for each in found] for found in table.query(rows, limit=3)]
        wanted = [[key for key, _ in table.expected(row)[:3]] for row in rows]
        assert together == wanted, "several questions in one request have their own answers, in order"
        assert bench.raw(Query(table.physical, {DENSE: rows[:0]}, table.metric, 3)) == [], (
            "no questions have no answers"
        )

    def test_hits_carry_their_records(self, bench: Bench) -> None:
        """Text, metadata and bookkeeping come with a hit."""
        table = KitCollection(bench)
        wanted = record("a", {"lang": "de", "year": 7, "tags": ["x"]}, text="some text")
        table.write([wanted], vectors(1, table.size, unit=True))
        ((found,),) = table.query(table.rows)
        assert found.record.text == wanted.text, f"a hit carries its text, not {found.record.text!r}"
        assert dict(found.record.system) == dict(wanted.system), f"a hit carries its bookkeeping: {found.record.system}"
        assert found.record.document_id == "a", f"a hit names its document, not {found.record.document_id!r}"

    def test_searching_through_the_client(self, bench: Bench) -> None:
        """search, search_many and search_vector agree with numpy on what is stored."""
        session = bench.applied({"chunking": {"size": 80}})
        docs = session.docs
        docs.upsert([document(f"d{i}", 30, seed=i, metadata={"year": i}) for i in range(12)])
        rows = [
            (each, row)
            for page in docs.scroll(vectors=True)
            for each, row in zip(page.records, page.vectors, strict=True)
        ]
        question = words(8, seed=4)
        vector = session.embed([question], task="retrieval.query", dimensions=32)[0]
        scores = exact(np.stack([row for _, row in rows]), vector, Metric.COSINE)
        wanted = sorted((float(score) for score in scores), reverse=True)[:6]
        hits = docs.search(question, limit=6)
        off = max(abs(hit.score - score) for hit, score in zip(hits, wanted, strict=True))
        assert off < 1e-4, f"search finds the best chunks by numpy; the scores are off by {off}"
        by_vector = docs.search_vector(vector, limit=6)
        assert [hit.id for hit in by_vector] == [hit.id for hit in hits], (
            "searching by vector finds what searching by text does"
        )
        (first, second) = docs.search_many([question, words(8, seed=9)], limit=6)
        assert [hit.id for hit in first] == [hit.id for hit in hits], "search_many answers as search does"
        assert second[0].document_id == "d9", "search_many answers each question on its own"
        for hit in hits:
            text = docs.get(hit.document_id).text
            assert text[hit.span[0] : hit.span[1]] == hit.text, "a hit's span cuts its text out of the document"
        self._check_refusals(docs, vector)

    def _check_refusals(self, docs: object, vector: object) -> None:
        wrong = normalize(np.ones((1, 5), np.float32))[0]
        search, by_vector = docs.search, docs.search_vector  # type: ignore[attr-defined]  # either client
        with refused(InvalidInput, "a query vector of another size"):
            by_vector(wrong)
        for options in ({"limit": 0}, {"offset": -1}, {"where": {"undeclared": 1}}):
            with refused(InvalidInput, f"searching with {options}"):
                search("river", **options)
        with refused(InvalidInput, "an empty question"):
            search("  ")

    def test_grouping_by_document(self, bench: Bench) -> None:
        """Each document once, with its best chunk; limit and offset count documents."""
        docs = bench.applied({"chunking": {"size": 40}}).docs
        docs.upsert([document(f"d{i}", 60, seed=i) for i in range(9)])
        every = docs.search("river stone winter", limit=200)
        best: dict[str, float] = {}
        for hit in every:
            best.setdefault(hit.document_id, hit.score)
        assert len(best) == 9 < len(every), "documents of several chunks have several hits"
        hits = docs.search("river stone winter", limit=9, group_by_document=True)
        found = [hit.document_id for hit in hits]
        assert found == list(best), (
            f"grouped by document, each comes once, by its best chunk: {list(best)}, not {found}"
        )
        page = docs.search("river stone winter", limit=4, offset=3, group_by_document=True)
        ids = [hit.document_id for hit in page]
        assert ids == found[3:7], f"grouped by document, limit and offset count documents: {found[3:7]}, not {ids}"

    def test_as_many_results_as_declared(self, bench: Bench) -> None:
        """Up to max_limit results at once; beyond it the client refuses before asking."""
        most = bench.capabilities.max_limit
        table = KitCollection(bench)
        table.fill(600)
        limit = min(most or 600, 600)
        (found,) = table.query(vectors(1, table.size, unit=True), limit=limit)
        assert len(found) == limit, f"a search gives as many hits as asked for and there: {limit}, not {len(found)}"
        if most is not None:
            docs = bench.applied().docs
            with refused(InvalidInput, "more results than the backend returns"):
                docs.search("river", limit=most + 1)

"""The kit's checks on records: writing, fetching, removing, scrolling, counting; limits; metadata and ids."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import numpy as np

from nestvec._metadata import restore_metadata
from nestvec.contract import Batch, Fetch, Remove, Scroll, Write
from nestvec.errors import BackendRefused
from nestvec.filters import F, resolve
from nestvec.types import DENSE, Document, FieldType, Metadata, Metric
from nestvec_testing.adapters.base import AdapterKit
from nestvec_testing.bench import Bench
from nestvec_testing.data import PARSED, KitCollection, document, record, vectors
from nestvec_testing.guard import refused

#: More than one page, one request and one block of anything that is usual.
MANY: Final = 1300

IDS: Final = (
    "plain", "ünï-東京-👋🏽", "long" * 2500, "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "12345", "-1", "1.0", "0",
    " leading and trailing ", "\t", 'quote " and \' both', "back\\slash", "line\nbreak", "../../etc/passwd",
    "a/b?c=d&e#f", "%00%2e", "null", "true", "é", "e\u0301", "A", "a", "nul\x00byte",
)  # fmt: skip

METADATA: Final[tuple[Metadata, ...]] = (
    {},
    {"lang": "", "year": 0, "price": 0.0, "open": False, "tags": [], "sizes": []},
    {"lang": 'it\'s "ünï" \\ \n 東京 👋🏽', "year": 2**63 - 1, "price": 1.7976931348623157e308, "open": True},
    {"year": -(2**63), "price": -5e-324, "seen": datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=UTC)},
    {"year": 2**53 + 1, "price": 3.0, "seen": datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)},
    {"seen": datetime(2026, 6, 1, 12, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))},
    {"tags": ["a", "b", "a", ""], "sizes": [1, -1, 2**53 + 1], "rates": [1.0, 2.5], "flags": [True, False]},
    {"visits": [datetime(2001, 2, 3, tzinfo=UTC), datetime(2001, 2, 3, 0, 0, 0, 1, tzinfo=UTC)]},
    {"undeclared": 7, "loose": 7.5, "word": "text", "yes": True, "mixed words": ["x", "y"], "numbers": [1, 2]},
)


class RecordChecks(AdapterKit):
    """Records through the adapter itself."""

    def test_records_come_back_as_written(self, bench: Bench) -> None:
        """Ids, texts, metadata, bookkeeping — and only those that were asked for and are there."""
        table = KitCollection(bench)
        table.fill(7, metadata=[{"lang": "de", "year": i, "tags": ["x", str(i)]} for i in range(7)])
        wanted = [each.id for each in table.records[:5]]
        batch: Batch = bench.raw(Fetch(table.physical, [*wanted, record("missing").id]))
        found = {each.id: each for each in batch.records}
        assert set(found) == set(wanted), f"fetch gives the records asked for that are there, not {len(found)} others"
        assert len(batch.records) == len(wanted), "fetch gives each record once"
        for each in table.records[:5]:
            _same(found[each.id], each)
        nothing = bench.raw(Fetch(table.physical, [])).records
        assert not nothing, "fetching no ids gives no records"

    def test_lean_reading_keeps_the_bookkeeping(self, bench: Bench) -> None:
        """Without content, ids and system fields still come."""
        table = KitCollection(bench)
        table.fill(3)
        wanted = [each.id for each in table.records]
        for request in (Fetch(table.physical, wanted, content=False), Scroll(table.physical, content=False)):
            found = {each.id: each for each in bench.raw(request).records}
            for each in table.records:
                lean = found[each.id]
                assert lean.document_id == each.document_id, f"{request.method} without content keeps document ids"
                assert dict(lean.system) == dict(each.system), f"{request.method} without content keeps system fields"

    def test_writing_replaces_by_id(self, bench: Bench) -> None:
        """The second write of an id wins: text, metadata and vector."""
        table = KitCollection(bench)
        rows = vectors(2, table.size, unit=True)
        table.write([record("a", {"year": 1, "lang": "x"}, text="first")], rows[:1])
        changed = record("a", {"year": 2}, text="second")
        bench.raw(Write(table.physical, [changed], {DENSE: rows[1:]}))
        batch: Batch = bench.raw(Fetch(table.physical, [changed.id], vectors=True))
        texts = [each.text for each in batch.records]
        assert texts == ["second"], f"writing an id again replaces the record; there are {texts}"
        _same(batch.records[0], changed)
        assert batch.vectors is not None
        assert np.allclose(batch.vectors[DENSE], rows[1:], atol=1e-6), "writing an id again replaces its vector"
        assert table.count() == 1, "writing an id again adds no record"

    def test_vectors_come_back(self, bench: Bench) -> None:
        """In fetch and scroll, for every metric; bit for bit where the capabilities say so."""
        for metric in sorted(bench.capabilities.metrics):
            table = KitCollection(bench, metric, 33, suffix=f"v{metric.value[0]}")
            table.fill(9, seed=3)
            rows = {each.id: row for each, row in zip(table.records, table.rows, strict=True)}
            fetched = bench.raw(Fetch(table.physical, list(rows), vectors=True))
            scrolled = bench.raw(Scroll(table.physical, limit=20, vectors=True))
            for way, batch in (("fetch", fetched), ("scroll", scrolled)):
                _same_vectors(bench, way, batch, rows)
            assert bench.raw(Fetch(table.physical, list(rows))).vectors is None, "vectors come only where asked for"

    def test_removing_by_id(self, bench: Bench) -> None:
        """Those records go, others stay; ids that are not there are no error."""
        table = KitCollection(bench)
        table.fill(10)
        doomed = [each.id for each in table.records[2:5]]
        for _ in range(2):
            bench.raw(Remove(table.physical, [*doomed, record("missing").id]))
            left = set(table.scroll())
            assert not left & set(doomed), f"removed records are gone, but {len(left & set(doomed))} are still there"
            assert table.count() == 7, f"remove deletes the named records only: 7 should be left, not {table.count()}"
        bench.raw(Remove(table.physical, []))
        assert table.count() == 7, "removing no ids removes nothing"

    def test_more_than_one_request_holds(self, bench: Bench) -> None:
        """More records and ids than the backend's limits: an adapter splits, and loses nothing at the edges."""
        can = bench.capabilities
        count = 2 * max(limit or 0 for limit in (can.max_write_records, can.max_fetch_ids, MANY // 2)) + 1
        table = KitCollection(bench)
        table.write([record(f"d{i}", {"year": i}) for i in range(count)], vectors(count, table.size, unit=True))
        ids = [each.id for each in table.records]
        assert table.count() == count, f"a write of {count} records stores each of them, not {table.count()}"
        found = {each.id for each in bench.raw(Fetch(table.physical, ids, content=False)).records}
        assert found == set(ids), f"a fetch of {count} ids gives each record, not {len(found)}"
        bench.raw(Remove(table.physical, ids[1:-1]))
        left = table.scroll()
        assert sorted(left) == sorted([ids[0], ids[-1]]), (
            f"removing {count - 2} ids leaves two records, not {len(left)}"
        )

    def test_writes_heavier_than_the_limit(self, bench: Bench) -> None:
        """More bytes than one request may have: the adapter splits."""
        can = bench.capabilities
        limit = min(can.max_write_bytes or 2**20, 2**26)
        size = min(limit // 6, (can.max_metadata_bytes or 2**24) // 2)
        count = math.ceil(1.3 * limit / size)
        table = KitCollection(bench)
        text = "heavy " * (size // 6)
        table.write([record(f"d{i}", text=text) for i in range(count)], vectors(count, table.size, unit=True))
        assert table.count() == count, f"a write of {count} x {size} bytes stores every record, not {table.count()}"
        last: Batch = bench.raw(Fetch(table.physical, [table.records[-1].id]))
        assert last.records[0].text == text, "a heavy record comes back whole"

    def test_scrolling_covers_each_record_once(self, bench: Bench) -> None:
        """Over several pages of every size, with and without a filter."""
        table = KitCollection(bench)
        table.fill(53)
        everything = sorted(each.id for each in table.records)
        for limit in (1, 7, 26, 53, 200):
            found = sorted(table.scroll(limit=limit))
            assert found == everything, (
                f"scroll covers each record exactly once (pages of {limit}): 53, not {len(found)}"
            )
        some = resolve(F.year >= 20, PARSED)
        found = sorted(table.scroll(some, limit=8))
        wanted = sorted(each.id for each in table.records[20:])
        assert found == wanted, f"a filtered scroll covers each match exactly once: {len(wanted)}, not {len(found)}"

    def test_only_our_records_are_seen(self, bench: Bench) -> None:
        """Reserved records never appear: a fresh collection is empty, and later holds what was written."""
        bench.applied()
        table = KitCollection(bench)
        for physical in (bench.physical(), table.physical):
            _is_empty(bench, physical, 32 if physical != table.physical else table.size)
        table.fill(3)
        ids = sorted(each.id for each in table.records)
        assert table.count() == 3, f"reserved records are not counted: 3 were written, {table.count()} counted"
        assert sorted(table.scroll()) == ids, "reserved records are not scrolled"
        (found,) = table.query(vectors(1, table.size, unit=True), limit=50)
        assert sorted(each.record.id for each in found) == ids, "reserved records are not found by a search"

    def test_vectors_of_another_size_are_refused(self, bench: Bench) -> None:
        """In writes and queries, with nestvec's error and nothing stored."""
        table = KitCollection(bench)
        table.fill(2)
        wrong = vectors(1, table.size + 1, unit=True)
        with refused(BackendRefused, "writing a vector of another size"):
            bench.raw(Write(table.physical, [record("x")], {DENSE: wrong}))
        with refused(BackendRefused, "searching with a vector of another size"):
            table.query(wrong)
        assert table.count() == 2, "a refused write stores nothing"


class FidelityChecks(AdapterKit):
    """What people put in comes out as it was."""

    def test_ids_of_every_kind(self, bench: Bench) -> None:
        """Any non-empty string is an id, exactly as it is; integers become strings; the empty one is refused."""
        docs = bench.applied().docs
        documents = [Document(key, f"text number {i}") for i, key in enumerate(IDS)]
        docs.upsert(documents)
        assert docs.count() == len(IDS), f"{len(IDS)} different ids are as many documents, not {docs.count()}"
        found = {each.id: each.text for each in docs.get_many(IDS)}
        for each in documents:
            assert found.get(each.id) == each.text, f"id {each.id!r:.60} leads to its own document"
        hits = docs.search("text number", limit=100)
        assert {hit.document_id for hit in hits} == set(IDS), "searching gives ids back exactly as they were"
        docs.upsert([Document(4711, "an integer")])  # type: ignore[arg-type]  # integers are taken for ids
        assert docs.get(4711) == docs.get("4711") == Document("4711", "an integer"), (
            "an integer id is its decimal string"
        )
        report = docs.upsert([Document("", "no id")], on_failure="report")
        assert [each.document_id for each in report.failed] == [""], "an empty id is refused"
        deleted = docs.delete(list(IDS))
        assert deleted == len(IDS), f"every id can be deleted: {len(IDS)}, not {deleted}"
        assert docs.count() == 1, "deleting by id deletes nothing else"

    def test_metadata_keep_their_types(self, bench: Bench) -> None:
        """Through get, search and scroll: values and types, to the microsecond and the last integer."""
        docs = bench.applied().docs
        docs.upsert([Document(f"m{i}", f"text {i}", metadata) for i, metadata in enumerate(METADATA)])
        got = {each.id: each.metadata for each in docs.get_many([f"m{i}" for i in range(len(METADATA))])}
        searched = {hit.document_id: hit.metadata for hit in docs.search("text", limit=50)}
        scrolled = {each.document_id: each.metadata for page in docs.scroll() for each in page.records}
        for i, metadata in enumerate(METADATA):
            for way, found in (("get", got), ("search", searched), ("scroll", scrolled)):
                _same_metadata(way, found.get(f"m{i}"), metadata)

    def test_raw_metadata_can_be_restored(self, bench: Bench) -> None:
        """The adapter's own answers: declared fields restore to what was written."""
        table = KitCollection(bench)
        table.write(
            [record(f"m{i}", metadata) for i, metadata in enumerate(METADATA)],
            vectors(len(METADATA), table.size, unit=True),
        )
        (found,) = table.query(vectors(1, table.size, unit=True), limit=50)
        by_id = {each.record.id: each.record for each in found}
        for each in table.records:
            _same(by_id[each.id], each)

    def test_texts_of_every_kind(self, bench: Bench) -> None:
        """Unicode, control characters and long texts are rebuilt exactly; without store_text none is kept."""
        texts = [
            "ünï 東京 👋🏽 e\u0301",
            "a\r\nb\tc",
            "q\"u'o\\te {x} ${y} %s",
            "  spaces around  ",
            "word " * 2000,
            "nul\x00byte",
        ]
        documents = [Document(f"t{i}", text) for i, text in enumerate(texts)]
        docs = bench.applied({"chunking": {"size": 300}}).docs
        docs.upsert(documents)
        for each in documents:
            found = docs.get(each.id)
            assert found == each, (
                f"a text comes back exactly: {each.text!r:.60}, not {found.text if found else None!r:.60}"
            )
        lean = f"{bench.name}lean"
        session = bench.applied(collections={lean: {"store_text": False}})
        session[lean].upsert([document("a")])
        (hit,) = session[lean].search("river")
        assert hit.text is None, f"with store_text = false no text is stored, but a hit has {hit.text!r:.60}"


def _same(found: Any, wanted: Any) -> None:
    what = f"record of {wanted.document_id!r:.60}"
    assert found.id == wanted.id, f"{what}: the id comes back exactly, not {found.id!r}"
    assert found.document_id == wanted.document_id, f"{what}: the document id comes back, not {found.document_id!r:.60}"
    assert found.text == wanted.text, f"{what}: the text comes back, not {found.text!r:.60}"
    assert dict(found.system) == dict(wanted.system), f"{what}: the system fields come back, not {found.system}"
    for name, value in found.system.items():
        same = type(value) is type(wanted.system[name])
        assert same, f"{what}: system field {name!r} keeps its type, but became {type(value).__name__}"
    _same_metadata("reading", restore_metadata(found.metadata, PARSED), wanted.metadata)
    for name, value in wanted.metadata.items():
        if PARSED.get(name) is None or PARSED[name].type is not FieldType.DATETIME:
            _same_type("reading", name, restore_metadata(found.metadata, PARSED)[name], value)


def _same_metadata(way: str, found: Metadata | None, wanted: Metadata) -> None:
    assert found is not None, f"{way} finds the document with metadata {wanted!r:.100}"
    assert set(found) == set(wanted), f"{way} gives the same metadata keys: {sorted(wanted)}, not {sorted(found)}"
    for name, value in wanted.items():
        same = found[name] == value or (isinstance(value, list | tuple) and list(_listed(found[name])) == list(value))
        assert same, f"{way}: metadata {name!r} keeps its value {value!r:.80}, not {found[name]!r:.80}"
        _same_type(way, name, found[name], value)


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else ()


def _same_type(way: str, name: str, found: Any, wanted: Any) -> None:
    if isinstance(wanted, list | tuple):
        for one, other in zip(found, wanted, strict=True):
            _same_type(way, name, one, other)
        return
    same = type(found) is type(wanted)
    assert same, (
        f"{way}: metadata {name!r} keeps its type {type(wanted).__name__}, not {type(found).__name__} {found!r}"
    )


def _same_vectors(bench: Bench, way: str, batch: Batch, rows: dict[str, Any]) -> None:
    assert batch.vectors is not None, f"{way} gives vectors where they are asked for"
    matrix = batch.vectors[DENSE]
    assert matrix.dtype == np.float32, f"{way} gives float32 vectors, not {matrix.dtype}"
    assert matrix.flags.c_contiguous, f"{way} gives vectors whose rows lie one after the other (C-contiguous)"
    assert matrix.shape == (len(batch.records), 33), f"{way} gives one vector for each record, not {matrix.shape}"
    for each, row in zip(batch.records, matrix, strict=True):
        if bench.capabilities.stores_exact:
            assert np.array_equal(row, rows[each.id]), f"{way}: a stored vector comes back bit for bit (stores_exact)"
        else:
            off = float(np.abs(row - rows[each.id]).max())
            assert off <= 1e-6 * max(1.0, float(np.abs(row).max())), (
                f"{way}: a stored vector comes back, but is off by {off}"
            )


def _is_empty(bench: Bench, physical: str, size: int) -> None:
    from nestvec.contract import Count, Query

    assert bench.raw(Count(physical)) == 0, "reserved records are not counted: a fresh collection has none"
    page = bench.raw(Scroll(physical))
    assert not page.records, f"reserved records are not scrolled: a fresh collection has none, not {page.records}"
    (found,) = bench.raw(Query(physical, {DENSE: vectors(1, size, unit=True)}, Metric.COSINE, 10))
    assert not found, f"reserved records are not found by a search in a fresh collection, but {found} was"

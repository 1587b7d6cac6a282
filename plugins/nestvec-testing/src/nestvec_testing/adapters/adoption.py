"""The kit's checks on adoption: a collection that somebody else made is read as it is, and left as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nestvec.capabilities import Power
from nestvec.contract import Adopt, Count, Describe, Fetch, ForeignLayout, Query, ReadNote, Scroll, WriteNote
from nestvec.errors import CollectionConflict, CollectionError, NestvecError, SpaceError, Unsupported
from nestvec.filters import F, matches, resolve
from nestvec.filters.fields import to_foreign
from nestvec.types import DENSE, Field, Metric
from nestvec_testing.adapters.base import AdapterKit
from nestvec_testing.bench import Bench, BenchClient
from nestvec_testing.data import document, vectors, words
from nestvec_testing.guard import refused

if TYPE_CHECKING:
    from nestvec.types import FloatArray

_SIZE, _COUNT = 32, 30
_FIELDS = {"lang": "keyword", "year": "integer", "price": "float", "open": "boolean", "tags": "keyword[]"}
_PARSED = {name: Field.parse(kind) for name, kind in _FIELDS.items()}
_FILTERS = {
    "a keyword": F.lang == "de",
    "not a keyword, missing included": F.lang != "de",
    "one of some": F.lang.in_(["de", "fr"]),
    "an integer range": (F.year >= 2003) & (F.year < 2020),
    "not a range, missing included": ~(F.year > 2010),
    "a float": F.price > 5.25,
    "a boolean": F.open == True,  # noqa: E712 - a filter
    "contains": F.tags.contains("t1"),
    "contains all": F.tags.contains_all(["t1", "u0"]),
    "contains none": ~F.tags.contains_any(["t1", "t2"]),
    "there": F.price.exists(),
    "not there": ~F.tags.exists(),
    "either": (F.lang == "en") | ~F.open.exists(),
}


def _payload(i: int) -> dict[str, Any]:
    values = {
        "lang": ("de", "en", "fr")[i % 3],
        "year": 2000 + i,
        "price": i / 4,
        "open": i % 2 == 0,
        "tags": [f"t{i % 3}", f"u{i % 2}"],
    }
    kept = {name: value for place, (name, value) in enumerate(values.items()) if (i + place) % 5}
    return {"key": f"their-{i}", "body": words(12, seed=i), **kept, **_undeclared(i)}


def _undeclared(i: int) -> dict[str, Any]:
    """What no layout names, of types that every database has."""
    return {"source": f"file-{i}.md"} if i % 4 else {}


_PAYLOADS = [_payload(i) for i in range(_COUNT)]


class AdoptionChecks(AdapterKit):
    """Only for backends that declare the power of adoption."""

    @pytest.fixture
    def theirs(self, bench: Bench) -> tuple[ForeignLayout, FloatArray]:
        """A foreign collection with vectors of the kit's own embedder."""
        if Power.ADOPTION not in bench.capabilities.powers:
            pytest.skip("this backend declares that it does not read what others made")
        embed: Any = bench.session().embed
        rows = embed([item["body"] for item in _PAYLOADS], task="retrieval.passage", dimensions=_SIZE)
        return bench.make_foreign(rows, _PAYLOADS), rows

    def test_adoption_describes(self, bench: Bench, theirs: tuple[ForeignLayout, FloatArray]) -> None:
        """Size and metric of the vector that is meant, no record; a vector that is not there is a conflict."""
        layout, _ = theirs
        info = bench.raw(Describe(layout.collection), layout=layout)
        assert info is not None, "describe knows a foreign collection"
        assert dict(info.vectors) == {DENSE: _SIZE}, f"its vector under the name {DENSE!r}, not {info.vectors}"
        assert info.metric is Metric.COSINE, f"its metric, not {info.metric}"
        assert info.record is None, f"a foreign collection has no record, not {info.record}"
        assert bench.raw(Describe("nothing-of-this-name"), layout=layout) is None, "what is not there is None"

    def test_adoption_reads(self, bench: Bench, theirs: tuple[ForeignLayout, FloatArray]) -> None:
        """Scrolling, fetching and searching give native ids, mapped ids, texts and fields, and the vectors."""
        layout, rows = theirs
        records, stack = _scrolled(bench, layout)
        order = [int(record.document_id.removeprefix("their-")) for record in records]
        assert sorted(order) == list(range(_COUNT)), f"every record once, by its mapped id: {order}"
        for i, record in zip(order, records, strict=True):
            assert record.text == _PAYLOADS[i]["body"], f"the mapped text, not {record.text!r}"
            assert not record.system, "foreign records have no bookkeeping of nestvec's"
            wanted = {name: value for name, value in _PAYLOADS[i].items() if name in _FIELDS}
            mapped = {name: value for name, value in _plain(record.metadata).items() if name in _FIELDS}
            assert mapped == wanted, f"the mapped fields {wanted}, not {record.metadata}"
        np.testing.assert_allclose(_unit(stack), _unit(rows[order]), atol=1e-5)
        some = [record.id for record in records[:5]]
        fetched = bench.raw(Fetch(layout.collection, some, vectors=True), layout=layout)
        assert {record.id for record in fetched.records} == set(some), "records are fetched by their own ids"

    def test_adoption_leaves_nothing_out(self, bench: Bench) -> None:
        """What the layout does not name is read, too, by scrolling, fetching and searching: it is copied from there."""
        if Power.ADOPTION not in bench.capabilities.powers:
            pytest.skip("this backend declares that it does not read what others made")
        rows = vectors(len(_PAYLOADS), _SIZE, unit=True)
        layout = bench.make_foreign(rows, _PAYLOADS)
        scrolled = bench.raw(Scroll(layout.collection, limit=_COUNT), layout=layout).records
        fetched = bench.raw(Fetch(layout.collection, [record.id for record in scrolled]), layout=layout).records
        query = Query(layout.collection, {DENSE: rows[:1]}, Metric.COSINE, _COUNT)
        (found,) = bench.raw(query, layout=layout)
        for how, records in (("scroll", scrolled), ("fetch", fetched), ("query", [hit.record for hit in found])):
            assert len(records) == _COUNT
            for record in records:
                for name, value in _undeclared(int(record.document_id.removeprefix("their-"))).items():
                    known = str(record.metadata)
                    assert value in known, f"what is not mapped, too, by {how}: {name!r} is {value!r}, not in {known}"

    def test_adoption_searches(self, bench: Bench, theirs: tuple[ForeignLayout, FloatArray]) -> None:
        """Scores and order are those of exact search."""
        layout, rows = theirs
        for seed in (3, 7):
            query = _unit(rows[seed] + 0.3 * rows[seed + 1])
            request = Query(layout.collection, {DENSE: query[np.newaxis]}, Metric.COSINE, 8)
            (found,) = bench.raw(request, layout=layout)
            scores = _unit(rows) @ query
            wanted = [f"their-{i}" for i in np.argsort(-scores, kind="stable")[:8]]
            assert [hit.record.document_id for hit in found] == wanted, "hits come best first, as exact search has them"
            np.testing.assert_allclose([hit.score for hit in found], np.sort(scores)[::-1][:8], atol=1e-4)

    @pytest.mark.parametrize("name", _FILTERS)
    def test_adoption_filters(self, bench: Bench, theirs: tuple[ForeignLayout, FloatArray], name: str) -> None:
        """Filters on mapped fields mean what they mean everywhere."""
        layout, rows = theirs
        resolved = resolve(_FILTERS[name], _PARSED)
        wanted = {item["key"] for item in _PAYLOADS if matches(resolved, item)}
        where = to_foreign(resolved, layout.fields)
        assert 0 < len(wanted) < _COUNT
        found = bench.raw(Count(layout.collection, where), layout=layout)
        assert found == len(wanted), f"{name}: {len(wanted)} records match, not {found}"
        (hits,) = bench.raw(
            Query(layout.collection, {DENSE: rows[:1]}, Metric.COSINE, _COUNT, where=where), layout=layout
        )
        assert {hit.record.document_id for hit in hits} == wanted, f"{name}: a search finds those that match"

    def test_adoption_alters_nothing(self, bench: Bench, theirs: tuple[ForeignLayout, FloatArray]) -> None:
        """From plan to search through the client; what is stored stays what it was; writing is refused."""
        layout, _ = theirs
        before = _state(bench, layout)
        session = bench.session(_settings(layout))
        with refused(SpaceError, "searching what is not adopted yet"):
            session.docs.search("river")
        assert [change.action for change in session.plan()] == ["adopt"]
        session.apply()
        _check_state(bench, layout, before, "adopting alters nothing but the record of the space")
        assert [change.action for change in bench.session(_settings(layout)).plan()] == ["none"]
        docs = session.docs
        assert docs.count() == _COUNT
        best = docs.search(words(12, seed=9), limit=1)[0]
        assert best.text is not None
        assert best.span == (0, len(best.text))
        got = docs.get("their-9")
        assert got is not None, "a document is got by the id that the layout says"
        assert got.text == words(12, seed=9)
        assert docs.get("their-99") is None
        assert docs.count(F.lang == "de") == sum(item.get("lang") == "de" for item in _PAYLOADS)
        with refused(Unsupported, "upsert into an adopted collection"):
            docs.upsert([document("x")])
        with refused(Unsupported, "delete from an adopted collection"):
            docs.delete(["x"])
        bench.raw(WriteNote(layout.collection, "canaries", "text"))
        assert bench.raw(ReadNote(layout.collection, "canaries")) == "text", "an adopted collection keeps notes, too"
        assert [change.action for change in session.plan()] == ["none"], "a note leaves the record alone"
        _check_state(bench, layout, before, "searching, refused writes and notes alter nothing")
        for _ in range(2):
            bench.raw(Adopt(layout.collection, layout, None))
            info = bench.raw(Describe(layout.collection), layout=layout)
            assert info.record is None, "a record of None removes the record, and may be repeated"
            _check_state(bench, layout, before, "removing the record alters nothing else")
        assert [change.action for change in session.plan()] == ["adopt"]

    def test_adoption_refuses(self, bench: Bench, theirs: tuple[ForeignLayout, FloatArray]) -> None:
        """Another size, model, mapping or collection is a conflict before anything is written."""
        layout, _ = theirs
        wrong: list[tuple[str, BenchClient]] = [
            ("another size", bench.session(_settings(layout) | {"dimensions": 16})),
            ("a misspelt text", bench.session(_settings(layout, text="no_such_key"))),
            ("another collection", bench.session(_settings(layout, collection="nothing-of-this-name"))),
            ("another model", bench.session(_settings(layout), embedder={"model": "recording-v2"})),
        ]
        for what, session in wrong:
            with refused((CollectionConflict, CollectionError, NestvecError), what):
                session.apply()
            info = bench.raw(Describe(layout.collection), layout=layout)
            assert info.record is None, f"refusing {what} writes no record"


def _settings(layout: ForeignLayout, **changes: str) -> dict[str, Any]:
    plain = layout.to_dict() | changes
    return {"dimensions": _SIZE, "fields": _FIELDS, "adopt": True, "foreign": plain}


def _scrolled(bench: Bench, layout: ForeignLayout) -> tuple[list[Any], FloatArray]:
    records: list[Any] = []
    parts: list[FloatArray] = []
    cursor = None
    for _ in range(_COUNT):
        page = bench.raw(Scroll(layout.collection, None, 7, cursor, vectors=True), layout=layout)
        records += page.records
        if page.records:
            parts.append(page.vectors[DENSE])
        cursor = page.cursor
        if cursor is None:
            return records, np.concatenate(parts)
    raise AssertionError("scrolling a foreign collection must come to an end")


def _state(bench: Bench, layout: ForeignLayout) -> tuple[list[Any], FloatArray]:
    records, stack = _scrolled(bench, layout)
    order = sorted(range(len(records)), key=lambda i: str(records[i].id))
    return [records[i] for i in order], stack[order]


def _check_state(bench: Bench, layout: ForeignLayout, before: tuple[list[Any], FloatArray], rule: str) -> None:
    records, stack = _state(bench, layout)
    assert records == before[0], rule
    # An engine that normalises may round again with each reading.
    rounding = 0 if bench.capabilities.stores_exact else 1e-6
    np.testing.assert_allclose(stack, before[1], rtol=0, atol=rounding, err_msg=rule)


def _plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Lists as lists, and integers that an engine keeps as floats as integers (the core restores them)."""
    whole = {name: int(value) if name == "year" else value for name, value in metadata.items()}
    return {name: list(value) if isinstance(value, list | tuple) else value for name, value in whole.items()}


def _unit(rows: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    unit: FloatArray = rows / lengths
    return unit

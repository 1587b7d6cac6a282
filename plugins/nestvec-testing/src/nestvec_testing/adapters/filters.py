"""The kit's checks on filters: the same meaning on every backend, compared with `nestvec.filters.matches`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from nestvec.contract import Remove
from nestvec.errors import InvalidFilter, Unsupported
from nestvec.filters import ID, F, FieldRef, Filter, Text, TextOp, matches, resolve, system
from nestvec.filters.mongo import ID_FIELD
from nestvec.types import Field, FieldType, Metadata
from nestvec_testing.adapters.base import AdapterKit
from nestvec_testing.bench import Bench
from nestvec_testing.data import PARSED, KitCollection, document, record, vectors
from nestvec_testing.guard import refused
from nestvec_testing.strategies import POOLS, filters_for, metadata_for

_ORDERED: Final = (FieldType.INTEGER, FieldType.FLOAT, FieldType.DATETIME)
_EXAMPLES: Final = 20


class FilterChecks(AdapterKit):
    """Filters."""

    def test_every_operator_on_every_value(self, bench: Bench) -> None:
        """Each field type, operator and tricky value, and its negation, over records that have it, miss it, differ."""
        table = KitCollection(bench)
        _fill(table, [{}, *_each_value()])
        for name, field in PARSED.items():
            for where in _conditions(name, field):
                _agrees(table, where)
                _agrees(table, ~where)

    def test_random_filters(self, bench: Bench) -> None:
        """Random records, random trees of conditions: count, scroll and search agree with the reference."""
        table = KitCollection(bench)

        def check(rows: list[Metadata], conditions: list[Filter]) -> None:
            _refill(table, rows)
            for where in conditions:
                _agrees(table, where, everywhere=True)

        records = st.lists(metadata_for(PARSED), min_size=1, max_size=12)
        conditions = st.lists(filters_for(PARSED), min_size=1, max_size=6)
        _examples(bench, check, records, conditions)

    def test_missing_fields(self, bench: Bench) -> None:
        """A comparison on a missing field is false, and its negation therefore true; nothing is neither."""
        table = KitCollection(bench)
        _fill(table, [{}, {"year": 1}, {"year": 5, "tags": []}, {"tags": ["a"]}, {"lang": ""}])
        for condition in (F.year >= 3, F.year == 1, F.lang == "", F.lang != "x", F.tags.contains("a"), F.year.in_([])):
            yes, no = (set(table.scroll(resolve(each, PARSED))) for each in (condition, ~condition))
            missed = 5 - len(yes) - len(no)
            assert not yes & no, f"a filter and its negation share no record: {condition!r}"
            assert missed == 0, f"negation also finds records without the field: {condition!r} left out {missed}"
            _agrees(table, condition, everywhere=True)
        _agrees(table, F.tags.exists(), everywhere=True)
        _agrees(table, F.tags.contains_all([]), everywhere=True)

    def test_system_fields(self, bench: Bench) -> None:
        """nestvec's own bookkeeping can be filtered on, and is not mixed up with metadata of the same names."""
        table = KitCollection(bench)
        records = [record(f"d{i % 3}", {"chunk": 1 - i % 2, "layout": "theirs"}, chunk=i) for i in range(6)]
        table.write(records, vectors(6, table.size, unit=True))
        for where in (
            system("chunk", FieldType.INTEGER) == 0,
            system("chunk", FieldType.INTEGER) >= 3,
            system("document_id", FieldType.KEYWORD) == "d1",
            system("layout", FieldType.KEYWORD) == "l1-kit",
            ~(system("layout", FieldType.KEYWORD) == "l1-kit"),
        ):
            _agrees(table, where, everywhere=True)

    def test_ids_of_documents(self, bench: Bench) -> None:
        """Documents can be chosen by their ids, beside metadata that are called so."""
        table = KitCollection(bench)
        records = [record(f"d{i % 3}", {"document_id": "d1", "lang": f"l{i}"}, chunk=i) for i in range(6)]
        table.write(records, vectors(6, table.size, unit=True))
        for where in (ID == "d1", ID.in_(["d0", "d2", "nobody"]), ~(ID == "d0") & (F.lang == "l4"), ID.in_([])):
            _agrees(table, where, everywhere=True)

    def test_undeclared_names(self, bench: Bench) -> None:
        """What is not declared is stored under names of any letters, and can be filtered like what is."""
        table = KitCollection(bench)
        rows: list[Metadata] = [
            {},
            {"meta.author": "Ada", "n#": 1.0},
            {"meta.author": "Bob", "n#": 2.5, "tags.x[]": ["a"]},
        ]
        rows += [{"meta.author": "Bob", "n#": 2.5, "tags.x[]": ["a"]}]
        _fill(table, [*rows, {"ok?": True, "n#": 2.0**53}, {"ok?": False, "a\\.b": "x", "lang": "de"}])
        author, number = F["meta.author"], F["n"]
        for where in (
            author == "Ada",
            author.in_(["Ada", "x", 1]),
            author.exists(),
            number >= 2.5,
            number == 1,
            F["ok"] == True,  # noqa: E712 - a filter
            F["tags.x"].contains("a"),
            F['"a.b"'] == "x",
            (number < 3) & ~(author == "Ada") | (F.lang == "de"),
        ):
            _agrees(table, where, everywhere=True)
            _agrees(table, ~where, everywhere=True)

    def test_parts_of_strings(self, bench: Bench) -> None:
        """Strings that begin, hold or end with others, as the backend declares; anything else is refused."""
        table = KitCollection(bench)
        words = ("Harbour", "harbour", "the harbour", "", "har", "ü-harbour")
        _fill(table, [{}, *({"lang": each, "meta.author": each} for each in words)])
        for op in TextOp:
            for field in (FieldRef("lang"), FieldRef("meta.author"), ID_FIELD):
                for value in ("har", "our", "harbour", "H", "ü"):
                    where = Text(field, op, value)
                    if op in bench.capabilities.text_filters:
                        _agrees(table, where, everywhere=True)
                        _agrees(table, ~where)
                        continue
                    with refused(Unsupported, f"the filter {op}, which the backend does not declare"):
                        table.count(resolve(where, PARSED, open_fields=True))

    def test_deep_and_wide_filters(self, bench: Bench) -> None:
        """Long lists of values and deep nesting."""
        table = KitCollection(bench)
        _fill(table, [{"year": i, "lang": f"l{i}"} for i in range(20)])
        _agrees(table, F.year.in_(list(range(5, 305))), everywhere=True)
        _agrees(table, F.lang.not_in([f"l{i}" for i in range(10, 200)]), everywhere=True)
        deep: Filter = F.year >= 3
        for i in range(20):
            deep = ~deep if i % 3 == 0 else (deep & (F.year < 19 - i % 4) if i % 3 == 1 else deep | (F.lang == f"l{i}"))
        _agrees(table, deep, everywhere=True)

    def test_filters_through_the_client(self, bench: Bench) -> None:
        """Both ways to write a filter; undeclared fields and wrong types are refused before anything is sent."""
        docs = bench.applied().docs
        docs.upsert(
            [document(f"d{i}", 5, seed=i, metadata={"year": i, "lang": "de" if i % 2 else "en"}) for i in range(8)]
        )
        for where in ((F.lang == "de") & (F.year >= 4), {"lang": "de", "year": {"$gte": 4}}):
            ids = sorted(hit.document_id for hit in docs.search("river", where=where, limit=20))
            assert ids == ["d5", "d7"], f"a filter in a search selects d5 and d7, not {ids}"
            assert docs.count(where) == 2, f"a filter in a count selects 2 documents, not {docs.count(where)}"
        sent = len(bench.requests)
        for bad in ({"undeclared": 1}, {"year": "x"}, {"tags": "a"}, F.lang > "a"):
            with refused(InvalidFilter, f"the filter {bad!r}"):
                docs.count(bad)
        assert len(bench.requests) == sent, "a filter that cannot be used is refused before anything is sent"


def _examples(bench: Bench, check: Callable[..., None], *strategies: Any) -> None:
    limited = settings(
        max_examples=_EXAMPLES * bench.effort,
        deadline=None,
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )
    first = example([{}, {"year": 1}], [~(F.year >= 1)])
    decorate: Any = given(*strategies)
    limited(decorate(first(check)))()


def _fill(table: KitCollection, metadata: Sequence[Metadata]) -> None:
    made = [record(f"r{len(table.records) + i}", each) for i, each in enumerate(metadata)]
    table.write(made, vectors(len(made), table.size, len(table.records), unit=True))


def _refill(table: KitCollection, metadata: Sequence[Metadata]) -> None:
    if table.records:
        table.bench.raw(Remove(table.physical, [each.id for each in table.records]))
    table.records, table.rows = [], table.rows[:0]
    _fill(table, metadata)


def _each_value() -> list[Metadata]:
    singles = [
        {name: [value] if field.many else value}
        for name, field in PARSED.items()
        for value in POOLS[field.type]
        if name not in ("rates", "flags", "visits")
    ]
    lists = [{name: list(POOLS[field.type][:3])} for name, field in PARSED.items() if field.many]
    empty: list[Metadata] = [{name: []} for name, field in PARSED.items() if field.many]
    return [*singles, *lists, *empty]


def _conditions(name: str, field: Field) -> list[Filter]:
    here, pool = F[name], POOLS[field.type]
    found = [here.exists()]
    if field.many:
        found += [here.contains(value) for value in pool]
        return [*found, here.contains_any(pool[:2]), here.contains_all(pool[:2]), here.contains_any([])]
    found += [here == value for value in pool]
    if field.type in _ORDERED:
        found += [make(value) for value in pool for make in (here.__lt__, here.__le__, here.__gt__, here.__ge__)]
    return [*found, here.in_(pool[:3]), here.in_([])]


def _agrees(table: KitCollection, where: Filter, *, everywhere: bool = False) -> None:
    """Count — and, if asked, scroll and search — select what the reference selects."""
    resolved = resolve(where, PARSED, open_fields=True)
    wanted = {
        each.id
        for each in table.records
        if matches(resolved, each.metadata, {**each.system, "document_id": each.document_id})
    }
    counted = table.count(resolved)
    rule = f"filter {resolved!r:.300}"
    assert counted == len(wanted), (
        f"{rule} selects the same records as the reference: count {len(wanted)}, not {counted}"
    )
    if everywhere:
        scrolled = table.scroll(resolved)
        assert len(scrolled) == len(set(scrolled)), f"{rule}: scroll gives each record once"
        _same_ids(table, rule, "scroll", set(scrolled), wanted)
        (found,) = table.query(vectors(1, table.size, seed=99, unit=True), limit=100, where=resolved)
        _same_ids(table, rule, "search", {each.record.id for each in found}, wanted)


def _same_ids(table: KitCollection, rule: str, way: str, found: set[str], wanted: set[str]) -> None:
    metadata = {each.id: each.metadata for each in table.records}
    missing = [metadata[key] for key in wanted - found][:3]
    extra = [metadata.get(key, key) for key in found - wanted][:3]
    assert found == wanted, (
        f"{rule} selects the same records as the reference ({way}); missing {missing}, wrong {extra}"
    )

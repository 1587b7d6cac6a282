"""The kit's checks on collections as a whole: creating, describing, aliases, planning, applying, dropping."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from nestvec.capabilities import BackendCapabilities, Power
from nestvec.contract import (
    Count,
    Create,
    Describe,
    Drop,
    DropAlias,
    Fetch,
    ListCollections,
    ListTenants,
    Query,
    ReadNote,
    Remove,
    ResolveAlias,
    Scroll,
    SetAlias,
    Update,
    Write,
    WriteNote,
)
from nestvec.errors import BackendRefused, CollectionConflict, CollectionNotFound, ConfigError, Unsupported
from nestvec.types import DENSE, Metric
from nestvec_testing.adapters.base import AdapterKit
from nestvec_testing.bench import FIELDS, FULL, Bench
from nestvec_testing.data import CHANGES, PARSED, KitCollection, document, record, vectors
from nestvec_testing.guard import refused


class CollectionChecks(AdapterKit):
    """Creating and describing."""

    def test_collection_has_the_chosen_dimensions(self, bench: Bench) -> None:
        """Smallest, odd and full size: the collection, and what is stored in it."""
        most = bench.capabilities.max_dimensions or FULL
        for size in sorted({1, min(33, most), min(FULL, most)}):
            name = f"{bench.name}d{size}"
            session = bench.applied(collections={name: {"dimensions": size}})
            stored = dict(bench.describe(name).vectors)
            assert stored == {DENSE: size}, f"a collection has exactly the chosen dimensions {size}, not {stored}"
            session[name].upsert([document("a")])
            (page,) = session[name].scroll(vectors=True)
            shape = page.vectors.shape
            assert shape == (1, size), f"stored vectors have exactly the chosen dimensions {size}, not {shape}"
            length = np.linalg.norm(page.vectors)
            assert abs(length - 1) < 1e-5, f"a stored prefix is renormalised to length 1, not {length}"

    def test_description_is_what_was_created(self, bench: Bench) -> None:
        """Vectors, metric, fields and the whole record come back, for every metric."""
        for metric in sorted(bench.capabilities.metrics):
            stamp = {"nestvec": 1, "text": 'ünï "quoted" \\ 東京', "nested": {"list": [1, 2.5, True, None, "x"]}}
            physical = bench.capabilities.names.physical(f"{bench.name}{metric.value}", 1)
            bench.raw(Create(physical, {DENSE: 5}, metric, PARSED, stamp))
            info = bench.raw(Describe(physical))
            assert info is not None, "describe knows a collection that was just created"
            assert info.physical == physical, f"describe names the physical collection, not {info.physical!r}"
            assert dict(info.vectors) == {DENSE: 5}, f"describe tells the vectors as created, not {info.vectors}"
            assert info.metric is metric, f"describe tells the metric as created: {metric}, not {info.metric}"
            assert info.record == stamp, f"the record is stored on the collection, value for value, not {info.record}"
            # An index need not know whether its field holds lists.
            told = {name: kind.type for name, kind in (PARSED if info.fields is None else info.fields).items()}
            wanted = {name: kind.type for name, kind in PARSED.items()}
            assert told == wanted, f"describe tells the indexed fields as created, not {info.fields}"

    def test_creating_again_keeps_the_data(self, bench: Bench) -> None:
        """The same request, repeated after an interruption, completes: it never recreates."""
        table = KitCollection(bench)
        table.fill(3)
        bench.raw(table.request)
        assert table.count() == 3, f"create repeated must keep the data: 3 records became {table.count()}"
        assert bench.raw(Describe(table.physical)).record == table.request.record, "create repeated keeps the record"

    def test_update_replaces_the_record_only(self, bench: Bench) -> None:
        """Update changes record and indexes, never vectors or data."""
        if Power.UPDATES not in bench.capabilities.powers:
            return
        table = KitCollection(bench)
        table.fill(4)
        stamp = {"nestvec": 1, "changed": "yes"}
        bench.raw(Update(table.physical, {**PARSED, "extra": PARSED["lang"]}, stamp))
        info = bench.raw(Describe(table.physical))
        assert info.record == stamp, f"update replaces the whole record, but it is {info.record}"
        assert dict(info.vectors) == {DENSE: table.size}, (
            f"update leaves the vectors alone, but they are {info.vectors}"
        )
        assert table.count() == 4, f"update keeps the data: 4 records became {table.count()}"
        if info.fields is not None:
            assert "extra" in info.fields, f"update adds indexes for new fields; there are {sorted(info.fields)}"

    def test_collections_are_listed(self, bench: Bench) -> None:
        """Physical collections by name; neither aliases nor the adapter's own keeping."""
        before = set(bench.raw(ListCollections()))
        bench.applied()
        physical = bench.physical()
        new = [name for name in bench.raw(ListCollections()) if name not in before]
        assert physical in new, f"list_collections names the physical collection {physical!r}; new are {new}"
        alias = bench.capabilities.names.encode(bench.name)
        assert alias not in new, f"list_collections names physical collections, not the alias {alias!r}"

    def test_dropping(self, bench: Bench) -> None:
        """A dropped collection is gone, others stay, and dropping what is not there is no error."""
        table, other = KitCollection(bench), KitCollection(bench, suffix="u")
        table.fill(2)
        other.fill(2)
        bench.raw(Drop(table.physical))
        assert bench.raw(Describe(table.physical)) is None, "drop deletes the collection, but describe still knows it"
        assert table.physical not in bench.raw(ListCollections()), "a dropped collection is listed no more"
        bench.raw(Drop(table.physical))
        assert other.count() == 2, "drop deletes one collection only"
        bench.raw(table.request)
        assert table.count() == 0, f"a collection created anew is empty; it has {table.count()} records"

    def test_missing_collection_is_not_found(self, bench: Bench) -> None:
        """Every request on a collection that is not there says so, in nestvec's own terms."""
        physical = bench.capabilities.names.physical(f"{bench.name}missing", 1)
        rows = {DENSE: vectors(1, 4)}
        requests: list[Any] = [
            SetAlias(bench.capabilities.names.encode(f"{bench.name}missing"), physical),
            WriteNote(physical, "note", "text"),
            WriteNote(physical, "note", None),
            ReadNote(physical, "note"),
            Write(physical, [record("a")], rows),
            Remove(physical, [record("a").id]),
            Fetch(physical, [record("a").id]),
            Scroll(physical),
            Count(physical),
            ListTenants(physical),
            Query(physical, rows, Metric.COSINE, 3),
        ]
        if Power.UPDATES in bench.capabilities.powers:
            requests.append(Update(physical, PARSED, {"nestvec": 1}))
        for request in requests:
            with refused(CollectionNotFound, f"{request.method} on a missing collection") as caught:
                bench.raw(request)
            assert physical in caught.text, f"the error of {request.method} names the collection: {caught.text}"
        assert bench.raw(Describe(physical)) is None, "describe answers None for a missing collection"
        assert bench.raw(ResolveAlias(physical)) is None, "resolve answers None for an unknown alias"

    def test_aliases_lead_and_move(self, bench: Bench) -> None:
        """An alias leads where it was last set, at once, and names tell upper from lower case."""
        rules = bench.capabilities.names
        first, second = KitCollection(bench, suffix="p"), KitCollection(bench, suffix="q")
        alias, twin = rules.encode(f"{bench.name}-Als"), rules.encode(f"{bench.name}-als")
        assert bench.raw(ResolveAlias(alias)) is None, "an alias that nobody set leads nowhere"
        for table in (first, second, first):
            bench.raw(SetAlias(alias, table.physical))
            found = bench.raw(ResolveAlias(alias))
            assert found == table.physical, f"an alias leads where it was last set: {table.physical!r}, not {found!r}"
        assert bench.raw(ResolveAlias(twin)) is None, (
            "aliases differ in upper and lower case, but one was taken for another"
        )
        bench.raw(SetAlias(twin, second.physical))
        assert bench.raw(ResolveAlias(alias)) == first.physical, "moving one alias leaves the others alone"

    def test_aliases_are_deleted(self, bench: Bench) -> None:
        """A deleted alias leads nowhere, its collection and other aliases stay, and it can be set again."""
        rules = bench.capabilities.names
        first, second = KitCollection(bench, suffix="p"), KitCollection(bench, suffix="q")
        first.fill(2)
        alias, other = rules.encode(f"{bench.name}-gone"), rules.encode(f"{bench.name}-kept")
        bench.raw(DropAlias(alias))  # one that is not there is no error
        for table in (second, first):
            bench.raw(SetAlias(alias, table.physical))
        bench.raw(SetAlias(other, first.physical))
        for _ in range(2):
            bench.raw(DropAlias(alias))
            found = bench.raw(ResolveAlias(alias))
            assert found is None, f"a deleted alias leads nowhere, but this one leads to {found!r}"
        kept = bench.raw(ResolveAlias(other))
        assert kept == first.physical, f"deleting one alias leaves the others alone, but one leads to {kept!r}"
        bench.raw(DropAlias(first.physical))
        assert first.count() == 2, f"deleting an alias leaves collections alone: 2 records became {first.count()}"
        bench.raw(SetAlias(alias, second.physical))
        found = bench.raw(ResolveAlias(alias))
        assert found == second.physical, f"a deleted alias can be set again: {second.physical!r}, not {found!r}"

    def test_aliases_do_not_hide_a_collection(self, bench: Bench) -> None:
        """An alias with the name of a physical collection is refused, and changes nothing."""
        table, other = KitCollection(bench), KitCollection(bench, suffix="u")
        with refused(BackendRefused, "an alias that would hide a collection of that name"):
            bench.raw(SetAlias(table.physical, other.physical))
        assert bench.raw(Describe(table.physical)).physical == table.physical, "a refused alias hides nothing"


class ApplyChecks(AdapterKit):
    """Planning and applying."""

    def test_plan_apply_plan(self, bench: Bench) -> None:
        """Create, then nothing; planning alone changes nothing."""
        session = bench.session()
        before = sorted(bench.raw(ListCollections()))
        (change,) = session.plan()
        assert change.action == "create", f"plan says create for a collection that is not there, not {change}"
        assert sorted(bench.raw(ListCollections())) == before, "plan only reads"
        with refused(CollectionNotFound, "a handle of a collection that was not applied"):
            session.docs.count()
        session.apply()
        for _ in range(2):
            (change,) = session.plan()
            assert change.action == "none", f"after apply there is nothing to do, but plan says {change}"
            session.apply()
        assert bench.generation() == 1, "applying again makes no new generation"

    def test_update_adds_a_field(self, bench: Bench) -> None:
        """A new field is an update that keeps the data and serves filters afterwards."""
        fields = {"lang": "keyword"}
        session = bench.applied({"fields": fields})
        session.docs.upsert([document("a", metadata={"lang": "de"})])
        wider = bench.session({"fields": {**fields, "year": "integer"}})
        (change,) = wider.plan()
        if Power.UPDATES not in bench.capabilities.powers:
            with refused((Unsupported, CollectionConflict), "a new field without the power of updates"):
                wider.apply()
            assert session.docs.count() == 1, "a refused update keeps the data"
            return
        assert change.action == "update", f"a new field is an update, not {change}"
        wider.apply()
        (change,) = wider.plan()
        assert change.action == "none", f"an applied update leaves nothing to do, but plan says {change}"
        wider.docs.upsert([document("b", metadata={"lang": "de", "year": 7})])
        assert wider.docs.count() == 2, "an update keeps the data"
        found = wider.docs.count({"year": 7})
        assert found == 1, f"a field that was added later can be filtered on: expected 1 document, found {found}"

    def test_conflicts_change_nothing(self, bench: Bench) -> None:
        """What cannot be changed in place is refused, in plan and apply, and the data stay."""
        bench.applied().docs.upsert([document("a", metadata={"year": 3})])
        record_before = bench.describe().record
        other = next((metric for metric in sorted(bench.capabilities.metrics) if metric is not Metric.COSINE), None)
        settings: list[dict[str, Any]] = [{"fields": {**FIELDS, "year": "keyword"}}]
        settings += [{"metric": other.value}] if other else []
        settings += [{"namespaces": True}]
        for changed in settings:
            session = bench.session(changed)
            (change,) = session.plan()
            assert change.action == "conflict", f"{changed} cannot be changed in place, but plan says {change}"
            with refused(CollectionConflict, f"applying {changed}"):
                session.apply()
        assert bench.describe().record == record_before, "a conflict leaves the record alone"
        assert bench.session().docs.count() == 1, "a conflict leaves the data alone"

    def test_interrupted_apply_is_completed(self, bench: Bench) -> None:
        """Created, but no alias leads there yet: the next apply completes that generation instead of making another."""

        physical = bench.capabilities.names.physical(bench.name, 1)
        created: list[Any] = []

        def break_off(request: Any, perform: Any) -> Any:
            if created and isinstance(request, CHANGES):
                raise BackendRefused("interrupted by the kit")
            answer = perform(request)
            created.extend([request] if isinstance(request, Create) and request.physical == physical else [])
            return answer

        bench.intercept = break_off
        session = bench.session()
        with refused(BackendRefused, "the interruption"):
            session.apply()
        bench.intercept = None
        session.apply()
        assert bench.generation() == 1, "an interrupted apply is completed, not begun anew"

    def test_apply_after_a_drop(self, bench: Bench) -> None:
        """A collection that was dropped behind the client's back is not found, and can be applied again."""
        session = bench.applied()
        session.docs.upsert([document("a")])
        bench.raw(Drop(bench.physical()))
        with refused(CollectionNotFound, "counting a collection that was dropped meanwhile"):
            session.docs.count()
        session.apply()
        assert session.docs.count() == 0, "a collection applied after a drop is empty"

    def test_names(self, bench: Bench) -> None:
        """Mixed case, hyphens and underscores are fine and stay apart; too long and ambiguous ones are refused."""
        stem = bench.name.capitalize()
        names = [f"{stem}-book_2", f"{stem}_book-2", f"{stem.lower()}-book_2", f"{stem}zh2"]
        session = bench.applied(collections={name: {"dimensions": 8} for name in names})
        for number, name in enumerate(names):
            session[name].upsert([document(f"{name}/{i}") for i in range(number + 1)])
        counts = [session[name].count() for name in names]
        assert counts == [1, 2, 3, 4], f"collections whose names look alike stay apart; they hold {counts} documents"
        with refused(ConfigError, "a collection name of 65 characters"):
            bench.session(collections={"x" * 65: {}})
        if bench.capabilities.names.max_length < 70:
            with refused(ConfigError, "a collection name that is too long for this backend"):
                bench.session(collections={"x" * 64: {}})
        with refused(ConfigError, "docs beside docs_1, which reads like a generation of it"):
            bench.session(collections={"docs": {}, "docs_1": {}})

    def test_undeclared_metrics_and_sizes_are_refused(self, bench: Bench) -> None:
        """What the capabilities do not list is refused before anything is sent."""
        can = bench.capabilities
        for metric in set(Metric) - can.metrics:
            with refused(ConfigError, f"metric {metric.value}, which the capabilities do not list"):
                bench.session({"metric": metric.value})
        if can.max_dimensions is not None and can.max_dimensions < 100_000:
            with refused(ConfigError, "more dimensions than the backend stores"):
                bench.session({"dimensions": can.max_dimensions + 1}, embedder={"dimensions": can.max_dimensions + 1})

    def test_reasons_are_of_capabilities(self, bench: Bench) -> None:
        """`why_not` explains powers and other capabilities by their names: any other name is never looked up."""
        known = {each.name for each in fields(BackendCapabilities)} | set(Power)
        for can in (bench.capabilities, bench.effective()):
            strange = sorted(set(can.why_not) - known)
            assert not strange, f"why_not explains capabilities by their names, and there is none called {strange}"

    def test_effective_capabilities(self, bench: Bench) -> None:
        """The opened adapter promises no other names, metrics or size than were declared without it."""
        declared, effective = bench.capabilities, bench.effective()
        assert effective.names == declared.names, "names follow the declared rules on every server"
        assert effective.metrics <= declared.metrics, "an opened adapter has no metric that was not declared"

"""The kit's checks on the forms of an adapter: what it says that it can do, and how its methods are called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nestvec.capabilities import Freshness, Power
from nestvec.contract import (
    Count,
    Create,
    CreateExtended,
    Describe,
    Drop,
    DropAlias,
    Fetch,
    ListCollections,
    ListTenants,
    Query,
    QueryStaged,
    ReadNote,
    Remove,
    ResolveAlias,
    Scroll,
    SetAlias,
    Settle,
    Stage,
    Update,
    Write,
    WriteNote,
)
from nestvec.types import DENSE, Metric, Storage, prefix_name
from nestvec_testing.adapters.base import AdapterKit
from nestvec_testing.bench import Bench
from nestvec_testing.data import PARSED, record, vectors
from nestvec_testing.requests import Within, bare, powers_of, view_of
from nestvec_testing.suspending import never_suspends

_SIZE = 8
_STAMP = {"nestvec": 1, "name": "kit", "note": "conformance kit"}


class FormChecks(AdapterKit):
    """Powers and forms."""

    def test_powers_are_those_inherited(self, bench: Bench) -> None:
        """A declared power is a class that the adapter inherits from, and each such class is declared for some form."""
        inherited, declared = powers_of(bench.adapter), bench.capabilities.powers
        lacking = _names(declared - inherited)
        assert not lacking, f"a declared power is a class that the adapter inherits from, but it lacks {lacking}"
        options = [bench.plugin.options.model_validate(dict(each)) for each in bench.plugin.forms.values()]
        unused = _names(inherited.difference(declared, *(bench.plugin.capabilities(each).powers for each in options)))
        assert not unused, f"an inherited power is declared for one of the plugin's forms, but none declares {unused}"
        effective = _names(bench.effective().powers - inherited)
        assert not effective, f"an opened adapter has the powers that it inherits, but says that it has {effective}"

    def test_powers_fit_the_other_capabilities(self, bench: Bench) -> None:
        """Kinds of storage need the power to keep them, changes of it that of updates, funnels several vectors."""
        can = bench.capabilities
        kinds = sorted(can.storage - {Storage.FLOAT32})
        assert bool(kinds) == (Power.STORAGE in can.powers), f"the power of storage goes with kinds of it: {kinds}"
        changes = sorted(can.storage_updates)
        assert not changes or Power.UPDATES in can.powers, f"storage is changed by the power of updates: {changes}"
        several = can.max_vectors is None or can.max_vectors > 1
        assert several or Power.FUNNELS not in can.powers, "a funnel needs more than one vector a record"
        settles = can.fresh is not Freshness.WHEN_SETTLED or Power.SETTLING in can.powers
        assert settles, "searches that find what is fresh when it has settled need the power of settling"

    def test_the_blocking_form_never_suspends(self, bench: Bench) -> None:
        """Every method of what `open` returns comes to its end without an event loop."""
        adapter = bench.adapter
        if bench.native:
            return  # what `open_async` returns is awaited
        never_suspends(adapter.capabilities)
        for request in _course(bench):
            bench.remember(bare(request))
            never_suspends(getattr(view_of(adapter, request), request.method), bare(request))
        for _ in range(2):
            never_suspends(adapter.close)
        bench.reopen()


def _course(bench: Bench) -> Iterator[Any]:
    """A request for every method that a backend of its powers has."""
    powers, names = bench.capabilities.powers, bench.capabilities.names
    physical = names.physical(f"{bench.name}w", 1)
    yield Create(physical, {DENSE: _SIZE}, Metric.COSINE, PARSED, _STAMP)
    yield from _records(physical)
    if Power.ALIASES in powers:
        alias = names.encode(f"{bench.name}w")
        yield from (SetAlias(alias, physical), ResolveAlias(alias), DropAlias(alias))
    if Power.NOTES in powers:
        yield from (WriteNote(physical, "kit", "text"), ReadNote(physical, "kit"))
    if Power.UPDATES in powers:
        yield Update(physical, PARSED, _STAMP)
    if Power.SETTLING in powers:
        yield from (Settle(physical, 0.0), Settle(physical, 0.0, everything=False))
    yield Drop(physical)
    if Power.TENANCY in powers:
        yield from _tenants(names.physical(f"{bench.name}x", 1))
    if Power.FUNNELS in powers:
        yield from _funnel(names.physical(f"{bench.name}y", 1))
    if Power.ADOPTION in powers and bench.subject.foreign is not None:
        yield from _foreign(bench)


def _records(physical: str) -> Iterator[Any]:
    rows = {DENSE: vectors(2, _SIZE, unit=True)}
    one, two = record("a"), record("b")
    yield from (Describe(physical), ListCollections(), Write(physical, [one, two], rows))
    yield from (Fetch(physical, [one.id], vectors=True), Scroll(physical, vectors=True), Count(physical))
    yield from (Query(physical, rows, Metric.COSINE, 2), Remove(physical, [one.id]))


def _tenants(physical: str) -> Iterator[Any]:
    yield CreateExtended(physical, {DENSE: _SIZE}, Metric.COSINE, PARSED, _STAMP, tenants=True)
    yield from (Within(request, tenant="acme") for request in _records(physical) if "physical" in request.__slots__)
    yield from (ListTenants(physical), Drop(physical))


def _funnel(physical: str) -> Iterator[Any]:
    coarse = prefix_name(4)
    yield Create(physical, {coarse: 4, DENSE: _SIZE}, Metric.COSINE, PARSED, _STAMP)
    rows = {coarse: vectors(1, 4, unit=True), DENSE: vectors(1, _SIZE, unit=True)}
    yield Write(physical, [record("a")], rows)
    yield QueryStaged(physical, rows, Metric.COSINE, 1, stages=(Stage(coarse, 1),))
    yield Drop(physical)


def _foreign(bench: Bench) -> Iterator[Any]:
    rows = vectors(2, _SIZE, unit=True)
    layout = bench.make_foreign(rows, [{"key": f"key-{i}", "body": f"text {i}"} for i in range(2)])
    name = layout.collection
    for request in (Describe(name), Scroll(name), Count(name), Query(name, {DENSE: rows}, Metric.COSINE, 2)):
        yield Within(request, layout=layout)
    yield Drop(name)


def _names(powers: frozenset[str]) -> str:
    return ", ".join(sorted(powers))

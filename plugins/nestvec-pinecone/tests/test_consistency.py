"""Eventual consistency: what was written is read, however late the server shows it; and waiting has an end."""

from __future__ import annotations

import pytest

from nestvec.contract import (
    Count,
    Describe,
    Drop,
    Fetch,
    ListCollections,
    Query,
    Remove,
    ResolveAlias,
    Scroll,
    SetAlias,
)
from nestvec.errors import BackendRefused, BackendUnavailable, CollectionNotFound
from nestvec.filters import F, resolve
from nestvec.types import DENSE, Metric
from nestvec_pinecone.plugin import nestvec_backend
from nestvec_pinecone.testing import Lag, PineconeEmulator, PineconeSettings
from nestvec_testing import AdapterConformance, BackendUnderTest
from nestvec_testing.adapters.base import AdapterKit
from nestvec_testing.adapters.documents import DocumentChecks
from nestvec_testing.adapters.tenants import TenantChecks

#: Reading by id, searching, and whether the server tells how far it has come.
LAGS = [
    {"fetch": Lag(reads=2)},
    {"query": Lag(reads=3)},
    {"fetch": Lag(reads=3), "query": Lag(reads=1)},
    {"fetch": Lag(reads=2), "lsn": False},
]


class Clock:
    """A clock that moves while somebody pauses."""

    def __init__(self):
        self.now = 0.0
        self.pauses = []

    def __call__(self):
        return self.now

    def pause(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(kit, adapter, emulator):
    """One for both sides."""
    made = Clock()
    adapter.component.client.clock = made
    kit.pause_with(adapter, made.pause)
    emulator.clock = made
    return made


@pytest.mark.parametrize("lag", LAGS)
def test_a_write_and_a_removal_are_seen_by_the_next_read(kit, adapter, emulator, clock, lag):
    adapter.create(kit.create())
    emulator.dial(**lag)
    where = resolve(F.lang == "de", kit.FIELDS)
    question = Query("docs-1", kit.vectors([1, 1, 1]), Metric.COSINE, 9)
    reads = [
        lambda: len(adapter.fetch(Fetch("docs-1", [kit.identity(n) for n in range(9)])).records),
        lambda: len(adapter.query(question)[0]) if lag.get("lsn", True) else None,
        lambda: adapter.count(Count("docs-1", where)) if lag.get("lsn", True) else None,
        lambda: len(adapter.scroll(Scroll("docs-1")).records) if lag.get("lsn", True) else None,
    ]
    for read in reads:
        adapter.write(kit.write([kit.record(n, lang="de") for n in range(3)]))
        assert read() in (3, None)
        adapter.remove(Remove("docs-1", [kit.identity(n) for n in range(2)]))
        assert read() in (1, None)
        adapter.write(kit.write([kit.record(2, "new text", lang="de")]))
        (found,) = adapter.fetch(Fetch("docs-1", [kit.identity(2)])).records
        assert found.text == "new text"
        adapter.remove(Remove("docs-1", [kit.identity(2)]))
        assert read() in (0, None)


def test_a_new_tenant_is_counted_with_the_others(kit, adapter, emulator, clock):
    adapter.create_extended(kit.extended())
    emulator.dial(query=Lag(reads=2), stats=Lag(reads=3))
    for number, tenant in enumerate(("acme", "bolt")):
        adapter.of_tenant(tenant).write(kit.write([kit.record(0)]))
        assert adapter.count(Count("docs-1")) == number + 1


def test_pauses_grow_and_are_as_short_as_can_be(kit, adapter, emulator, clock):
    """A quick server is not slept over, a slow one not hammered."""
    adapter.create(kit.create())
    adapter.write(kit.write([kit.record(0)]))
    assert clock.pauses == []
    emulator.dial(query=Lag(seconds=5))
    adapter.write(kit.write([kit.record(1)]))
    assert clock.pauses[0] <= 0.05
    assert all(later >= earlier for earlier, later in zip(clock.pauses, clock.pauses[1:], strict=False))
    assert max(clock.pauses) <= 1
    assert 5 <= sum(clock.pauses) < 6.1
    assert adapter.count(Count("docs-1")) == 2


@pytest.mark.parametrize("surface", ["fetch", "query"])
def test_waiting_for_visibility_has_an_end(kit, adapter, emulator, clock, surface):
    adapter.create(kit.create())
    emulator.dial(**{surface: Lag(seconds=61)})
    with pytest.raises(BackendUnavailable, match="visible_timeout") as caught:
        adapter.write(kit.write([kit.record(0)]))
    assert caught.value.retryable
    assert clock.now == pytest.approx(60, abs=1)
    emulator.dial(**{surface: Lag()})
    adapter.write(kit.write([kit.record(0)]))
    assert adapter.count(Count("docs-1")) == 1


def test_an_index_is_used_when_it_is_ready(kit, adapter, emulator, clock):
    emulator.dial(creating=4)
    adapter.create(kit.create())
    assert emulator.index("docs-1").state == "Ready"
    assert 0 < len(clock.pauses) <= 4
    adapter.write(kit.write([kit.record(0)]))


def test_waiting_for_an_index_has_an_end_and_can_be_taken_up_again(kit, adapter, emulator, clock):
    emulator.dial(creating=100_000)
    with pytest.raises(BackendUnavailable, match="ready_timeout"):
        adapter.create(kit.create())
    assert clock.now == pytest.approx(300, abs=1)
    emulator.index("docs-1").ready_after = 2
    adapter.create(kit.create())
    assert adapter.count(Count("docs-1")) == 0


def test_a_dropped_index_is_gone_when_drop_returns(kit, adapter, emulator, clock):
    emulator.dial(deleting=3)
    adapter.create(kit.create())
    adapter.drop(Drop("docs-1"))
    adapter.create(kit.create(size=4))
    assert dict(adapter.describe(Describe("docs-1")).vectors) == {DENSE: 4}


def test_an_index_that_goes_away_is_not_there_any_more(kit, adapter, emulator, clock):
    adapter.create(kit.create())
    emulator.index("docs-1").gone_after = 1000
    assert adapter.describe(Describe("docs-1")) is None
    assert adapter.list_collections(ListCollections()) == []
    with pytest.raises(CollectionNotFound, match="docs-1"):
        adapter.count(Count("docs-1"))
    with pytest.raises(BackendUnavailable, match="deleted"):
        adapter.create(kit.create())


def test_a_failed_index_is_told(kit, adapter, emulator, clock, monkeypatch):
    from nestvec_pinecone.testing.store import Index

    monkeypatch.setattr(Index, "state", "InitializationFailed")
    with pytest.raises(BackendRefused, match="InitializationFailed"):
        adapter.create(kit.create())
    assert clock.pauses == []


# ---------------------------------------------------------------- pointers


def test_a_switch_is_one_change_of_one_index(kit, adapter, emulator):
    """Whoever reads between any two requests sees the old target or the new one."""
    for number in (1, 2):
        adapter.create(kit.create(f"docs-{number}"))
    adapter.set_alias(SetAlias("docs", "docs-1"))
    emulator.forget()
    adapter.set_alias(SetAlias("docs", "docs-2"))
    changes = [(each.path, each.body["tags"]) for each in emulator.exchanges if each.method == "PATCH"]
    assert changes == [
        ("/indexes/docs-2", {"nestvec-to-docs": "2"}),
        ("/indexes/docs-1", {"nestvec-to-docs": ""}),
    ]
    assert adapter.resolve_alias(ResolveAlias("docs")) == "docs-2"


def test_a_switch_that_broke_off_holds_and_can_be_repeated(kit, adapter, emulator):
    for number in (1, 2, 3):
        adapter.create(kit.create(f"docs-{number}"))
    emulator.index("docs-1").tags["nestvec-to-docs"] = "4"
    emulator.index("docs-2").tags["nestvec-to-docs"] = "5"
    assert adapter.resolve_alias(ResolveAlias("docs")) == "docs-2"
    adapter.set_alias(SetAlias("docs", "docs-3"))
    adapter.drop(Drop("docs-3"))
    assert adapter.resolve_alias(ResolveAlias("docs")) is None, "an old target must not come back"


# ---------------------------------------------------------------- the kit, on a slow server


@pytest.fixture(scope="module")
def slow():
    """Every read misses the last write once, and whole numbers come back as integers."""
    settings = PineconeSettings(
        fetch=Lag(reads=1), query=Lag(reads=1), whole_numbers="int", negation_finds_missing=True
    )
    with PineconeEmulator(settings) as emulator:
        yield emulator


class OnSlow(AdapterKit):
    """The backend for the classes below."""

    @pytest.fixture
    def backend(self, slow, monkeypatch):
        monkeypatch.setenv("NESTVEC_TEST_PINECONE_KEY", slow.api_key)
        monkeypatch.setattr("nestvec_pinecone.client._FIRST_PAUSE", 0.0)
        slow.reset()
        options = {"api_key": {"env": "NESTVEC_TEST_PINECONE_KEY"}, "control_host": slow.url}
        return BackendUnderTest(nestvec_backend(), options, reopens=True)


class TestDocumentsOnSlow(OnSlow, DocumentChecks):
    """Documents."""


class TestTenantsOnSlow(OnSlow, TenantChecks):
    """Tenants."""


def test_the_whole_kit_is_used_elsewhere():
    """These classes are a part of it."""
    assert issubclass(AdapterConformance, DocumentChecks)
    assert issubclass(AdapterConformance, TenantChecks)

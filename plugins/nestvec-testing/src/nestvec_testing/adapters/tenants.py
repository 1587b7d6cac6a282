"""The kit's checks on several tenants in one collection."""

from __future__ import annotations

import time
from typing import Any, Final

from nestvec.contract import Count, ListTenants
from nestvec.errors import InvalidName
from nestvec.filters import F
from nestvec_testing.adapters.base import AdapterKit
from nestvec_testing.bench import Bench
from nestvec_testing.data import KitCollection, document, record, vectors
from nestvec_testing.guard import refused

_SMALL: Final = {"chunking": {"size": 60}}
#: Seconds within which reading has caught up with writing.
_PATIENCE: Final = 5.0
#: Names that an engine might fold, trim, split, escape twice, or respell.
_NAMES: Final = (
    "acme",
    "Acme",
    " acme",
    "acme ",
    "a b",
    "a\nb",
    "a/b\\c",
    "t\"wo' ünï",
    "東京 🗼",
    "50%",
    "%20",
    "_",
    "__default__",
    "550e8400-e29b-41d4-a716-446655440000",
    "550E8400E29B41D4A716446655440000",
    "7",
    "null",
    "l" * 200,
)


class TenantChecks(AdapterKit):
    """Several tenants in one collection."""

    def test_tenants_are_kept_apart(self, bench: Bench) -> None:
        """Each sees its own documents only, even under equal ids, in every call."""
        shared = bench.applied({"namespaces": True, **_SMALL}).docs
        one, two = shared.namespace("one"), shared.namespace("t\"wo' ünï")
        one.upsert([document("same", metadata={"year": 1}), document("first", seed=1)])
        two.upsert([document("same", 20, seed=7, metadata={"year": 1})])
        assert (one.count(), two.count()) == (2, 1), (
            f"each tenant counts its own: 2 and 1, not {one.count()}, {two.count()}"
        )
        assert one.count({"year": 1}) == 1, "a filtered count stays within the tenant"
        for tenant, ids in ((one, {"same", "first"}), (two, {"same"}), (shared.namespace("three"), set[str]())):
            hits = {hit.document_id for hit in tenant.search("river stone", limit=50)}
            assert hits == ids, f"a tenant's search finds its own documents only: {sorted(ids)}, not {sorted(hits)}"
            rows = {each.document_id for page in tenant.scroll() for each in page.records}
            assert rows == ids, f"a tenant's scroll gives its own documents only: {sorted(ids)}, not {sorted(rows)}"
        assert two.get("first") is None, "a tenant cannot get another's document"
        assert two.get("same") == document("same", 20, seed=7, metadata={"year": 1}), "equal ids do not mix tenants up"
        assert two.delete(["first"]) == 0, "a tenant cannot delete another's document by id"
        assert two.delete(where=F.year == 1) == 1, "a tenant's delete by filter counts its own documents"
        assert one.count() == 2, f"a tenant's delete leaves the others alone: 2 documents, not {one.count()}"
        total = bench.raw(Count(bench.physical()))
        assert total == one.count(chunks=True), f"without a tenant the adapter counts all of them, not {total}"

    def test_tenants_are_required_or_refused(self, bench: Bench) -> None:
        """A collection with namespaces needs one in every call; one without takes none."""
        plain = bench.applied().docs
        with refused(InvalidName, "a namespace on a collection without them"):
            plain.namespace("acme").count()
        name = f"{bench.name}shared"
        docs = bench.applied(collections={name: {"namespaces": True, "dimensions": 16}})[name]
        calls = [
            docs.count,
            lambda: docs.search("river"),
            lambda: docs.upsert([document("a")]),
            lambda: docs.delete(["a"]),
        ]
        for call in [*calls, lambda: docs.get("a"), docs.scroll, lambda: docs.namespace(" ").count()]:
            with refused(InvalidName, "a call without a namespace on a collection that has them"):
                call()

    def test_tenants_are_named(self, bench: Bench) -> None:
        """All that have records, each once, whatever they are called; none of a collection without tenants."""
        plain = KitCollection(bench)
        plain.fill(2)
        found = bench.raw(ListTenants(plain.physical))
        assert found == [], f"a collection without tenants has none to name, not {found}"
        shared = KitCollection(bench, suffix="s", tenants=True)
        found = bench.raw(ListTenants(shared.physical))
        assert found == [], f"before anything is written there are no tenants to name, not {found}"
        for number, tenant in enumerate((*_NAMES, _NAMES[0])):
            shared.write([record(f"d{number}")], vectors(1, shared.size, number), tenant)
        found = bench.raw(ListTenants(shared.physical))
        assert sorted(found) == sorted(_NAMES), (
            f"each tenant that has records is named once, as it is called; missing {sorted(set(_NAMES) - set(found))}, "
            f"others {sorted(set(found) - set(_NAMES))}, of {len(found)}"
        )

    def test_tenants_that_lost_their_records_are_not_named(self, bench: Bench) -> None:
        """Deleting a tenant's last document takes its name away, at once or once reading has caught up; others stay."""
        docs = bench.applied({"namespaces": True, **_SMALL}).docs
        for tenant in ("one", "two", "three"):
            docs.namespace(tenant).upsert([document("a", 20), document("b")])
        docs.namespace("one").delete(["a"])
        docs.namespace("two").delete(everything=True)
        left = _settled(docs, ["one", "three"])
        assert left == ["one", "three"], f"a tenant is named until it has lost its last record: one, three, not {left}"


def _settled(docs: Any, wanted: list[str]) -> list[str]:
    """The tenants named, when they are those wanted, or a while later: a backend's reading may lag behind."""
    end = time.monotonic() + _PATIENCE
    found: list[str] = docs.tenants()
    while found != wanted and time.monotonic() < end:
        time.sleep(0.1)
        found = docs.tenants()
    return found

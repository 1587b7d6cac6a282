"""The kit's checks on what is fresh: searches find it at once, or when the collection has settled."""

from __future__ import annotations

from nestvec.capabilities import Freshness, Power
from nestvec.contract import Query, Settle
from nestvec.errors import Unsupported
from nestvec.filters import F, resolve
from nestvec.types import DENSE
from nestvec_testing.adapters.base import AdapterKit
from nestvec_testing.bench import Bench
from nestvec_testing.data import PARSED, KitCollection, document, vectors
from nestvec_testing.guard import refused

_SECONDS = 60.0


class SettlingChecks(AdapterKit):
    """Searching right after writing."""

    def test_fresh_records_are_found(self, bench: Bench) -> None:
        """What was written is found, under a filter that leaves only it, when the backend says that it is."""
        can = bench.capabilities
        if can.fresh is Freshness.UNCERTAIN:
            return  # nothing is promised
        table = KitCollection(bench, suffix="f")
        for start in range(0, 48, 16):
            table.fill(16, seed=start, metadata=[{"year": start + i} for i in range(16)], prefix=f"f{start}-")
            if can.fresh is Freshness.WHEN_SETTLED:
                missing = bench.raw(Settle(table.physical, _SECONDS))
                assert missing is None, f"settling comes to an end within {_SECONDS:g} s, but it said: {missing}"
            lost = [year for year in range(start + 16) if not _finds(table, year)]
            when = "at once" if can.fresh is Freshness.AT_ONCE else "once the collection has settled"
            assert not lost, f"searches find {when} what was written; they missed {len(lost)} of {start + 16} records"

    def test_settling_is_offered_or_refused(self, bench: Bench) -> None:
        """`settle` of a handle waits, has nothing to wait for, or says why nobody can tell; ingestions settle."""
        can, docs = bench.capabilities, bench.applied().docs
        report = docs.upsert([document(f"d{i}", seed=i) for i in range(5)])
        assert report.unsettled is None, f"a small ingestion leaves nothing unsettled, but it says: {report.unsettled}"
        if can.fresh is Freshness.UNCERTAIN and Power.SETTLING not in can.powers:
            with refused(Unsupported, "settling where nobody can tell when searches find what was written"):
                docs.settle(_SECONDS)
            return
        docs.settle(0)
        docs.settle(_SECONDS)
        found = {hit.document_id for hit in docs.search("river stone", limit=10)}
        assert len(found) == 5, f"after settling, all five documents are found, not {len(found)}"


def _finds(table: KitCollection, year: int) -> bool:
    """Whether a question that has nothing to do with a record finds it, where only that one matches."""
    where = resolve(F.year == year, PARSED)
    question = vectors(1, table.size, seed=1000 + year, unit=True)
    (found,) = table.bench.raw(Query(table.physical, {DENSE: question}, table.metric, 5, where=where))
    return [each.record.metadata["year"] for each in found] == [year]

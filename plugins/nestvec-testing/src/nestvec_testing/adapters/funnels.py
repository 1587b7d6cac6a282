"""The kit's checks on searching coarse to fine. The oracle is numpy, stage by stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.capabilities import Power
from nestvec.contract import Create, Found, QueryStaged, Stage, Write
from nestvec.encoding.vectors import truncate
from nestvec.errors import ConfigError
from nestvec.filters import F, resolve
from nestvec.types import DENSE, Metric, Record, prefix_name
from nestvec_testing.adapters.base import AdapterKit
from nestvec_testing.bench import Bench
from nestvec_testing.data import PARSED, creation, document, exact, record, vectors
from nestvec_testing.guard import refused

if TYPE_CHECKING:
    from nestvec.types import FloatArray

_SIZE = 32


class _Nested:
    """A physical collection with prefixes, filled through the adapter itself."""

    def __init__(self, bench: Bench, metric: Metric = Metric.COSINE, *, tenants: bool = False) -> None:
        most = bench.capabilities.max_vectors
        self.bench, self.metric = bench, metric
        self.sizes = (4, 16)[: None if most is None else most - 1]
        self.physical = bench.capabilities.names.physical(f"{bench.name}{metric.value}", 1)
        sizes = {**{prefix_name(size): size for size in self.sizes}, DENSE: _SIZE}
        stamp = {"nestvec": 1, "name": bench.name, "note": "conformance kit"}
        bench.raw(creation(Create(self.physical, sizes, metric, PARSED, stamp), tenants=tenants))

    def named(self, rows: FloatArray) -> dict[str, FloatArray]:
        """The vectors with their prefixes."""
        return {**{prefix_name(size): truncate(rows, size) for size in self.sizes}, DENSE: rows}

    def write(self, records: list[Record], rows: FloatArray, tenant: str | None = None) -> None:
        """Add or replace records."""
        self.bench.raw(Write(self.physical, records, self.named(rows)), tenant=tenant)

    def stages(self, *limits: int) -> tuple[Stage, ...]:
        """A stage for each prefix; the first limits."""
        names = map(prefix_name, self.sizes)
        return tuple(Stage(name, limit) for name, limit in zip(names, limits, strict=False))

    def query(
        self, row: FloatArray, limit: int, stages: tuple[Stage, ...], tenant: str | None = None, **options: Any
    ) -> list[Found]:
        """Search with one question."""
        request = QueryStaged(self.physical, self.named(row[None]), self.metric, limit, stages=stages, **options)
        (answer,) = self.bench.raw(request, tenant=tenant)
        found: list[Found] = answer
        return found

    def expected(
        self, records: list[Record], rows: FloatArray, row: FloatArray, stages: tuple[Stage, ...]
    ) -> list[tuple[str, float]]:
        """What exact search finds in each stage's candidates, best first."""
        there, asked = self.named(rows), self.named(row[None])
        chosen = np.arange(len(rows))
        for stage in stages:
            ranked = exact(there[stage.vector][chosen], asked[stage.vector][0], self.metric)
            chosen = chosen[np.argsort(-ranked, kind="stable")[: stage.limit]]
        ranked = exact(rows[chosen], row, self.metric)
        return [(records[chosen[i]].id, float(ranked[i])) for i in np.argsort(-ranked, kind="stable")]


class FunnelChecks(AdapterKit):
    """Candidates by short prefixes, the final order by the full vector."""

    def test_funnels_are_offered_or_refused(self, bench: Bench) -> None:
        """A backend that cannot search so is refused when the configuration is read."""
        if Power.FUNNELS not in bench.capabilities.powers:
            with refused(ConfigError, "a funnel on a backend that cannot search coarse to fine"):
                bench.session({"funnel": [8]})
            return
        session = bench.applied({"funnel": [8]})
        found = dict(bench.describe().vectors)
        assert found == {"dense_8": 8, DENSE: 32}, f"a funnel's prefixes are vectors of the collection, not {found}"
        session.docs.upsert([document(f"d{i}", seed=i) for i in range(5)])
        lengths = {
            name: np.linalg.norm(rows, axis=1)
            for request in bench.requests
            if isinstance(request, Write) and request.physical == bench.physical()
            for name, rows in request.vectors.items()
        }
        for name, found_lengths in lengths.items():
            assert np.allclose(found_lengths, 1, atol=1e-5), f"a prefix is renormalised: {name} has {found_lengths}"
        wanted = document("d3", seed=3).text
        first = session.docs.search(wanted, limit=1)[0].document_id
        assert first == "d3", f"a document is found by its own text in a funnel, not {first!r}"
        assert session.plan()[0].action == "none", "a collection with a funnel is what the configuration says"

    def test_wide_funnels_equal_exact_search(self, bench: Bench) -> None:
        """Where every stage takes all records, nothing is lost: with every metric, in pages, above a threshold."""
        if Power.FUNNELS not in bench.capabilities.powers:
            return
        for metric in sorted(bench.capabilities.metrics):
            nested = _Nested(bench, metric)
            rows = vectors(30, _SIZE, 3, unit=metric is Metric.COSINE)
            records = [record(f"d{i}", {"year": i}) for i in range(30)]
            nested.write(records, rows)
            row, every = vectors(1, _SIZE, 9, unit=True)[0], nested.stages(30, 30)
            expected = nested.expected(records, rows, row, ())
            for options, wanted in (
                ({}, expected[:10]),
                ({"offset": 5}, expected[5:15]),
                ({"threshold": expected[6][1] - 1e-4}, expected[:7]),
            ):
                found = nested.query(row, 10, every, **options)
                assert [each.record.id for each in found] == [key for key, _ in wanted], (
                    f"a funnel as wide as the collection finds what exact search finds ({metric}, {options})"
                )
                assert np.allclose([each.score for each in found], [score for _, score in wanted], atol=1e-4), (
                    f"the final scores are those of the full vector ({metric}): {[each.score for each in found]}"
                )

    def test_stages_go_from_coarse_to_fine(self, bench: Bench) -> None:
        """Narrow stages lose what the coarse vectors rank low, and nothing else."""
        if Power.FUNNELS not in bench.capabilities.powers:
            return
        nested = _Nested(bench)
        rows = vectors(40, _SIZE, 5, unit=True)
        records = [record(f"d{i}") for i in range(40)]
        nested.write(records, rows)
        stages = nested.stages(20, 10)
        for row in vectors(5, _SIZE, 11, unit=True):
            wanted = nested.expected(records, rows, row, stages)[:8]
            found = nested.query(row, 8, stages)
            assert {each.record.id for each in found} == {key for key, _ in wanted}, (
                "candidates are chosen by the coarsest vector first, then by the finer ones"
            )
            assert [each.record.id for each in found] == [key for key, _ in wanted], (
                "the final order is that of the full vector"
            )

    def test_filters_and_tenants_hold_for_the_candidates(self, bench: Bench) -> None:
        """What is filtered out takes no candidate's place."""
        if Power.FUNNELS not in bench.capabilities.powers:
            return
        tenant = "acme"
        nested = _Nested(bench, tenants=True)
        row = vectors(1, _SIZE, 1, unit=True)[0]
        near = np.tile(row, (5, 1))
        nested.write([record(f"near{i}", {"year": 1}) for i in range(5)], near, tenant)
        nested.write([record(f"theirs{i}", {"year": 2}) for i in range(5)], near, "other")
        wanted = record("far", {"year": 2})
        nested.write([wanted], -row[None], tenant)
        where = resolve(F.year == 2, PARSED)
        found = [each.record.id for each in nested.query(row, 1, nested.stages(2, 1), where=where, tenant=tenant)]
        assert found == [wanted.id], f"filter and tenant hold for the candidates of every stage, but found {found}"

    def test_replacing_a_record_replaces_every_vector(self, bench: Bench) -> None:
        """No stale prefix leads a search astray."""
        if Power.FUNNELS not in bench.capabilities.powers:
            return
        nested = _Nested(bench)
        rows = vectors(2, _SIZE, 2, unit=True)
        records = [record("a"), record("b")]
        nested.write(records, rows)
        nested.write(records, rows[::-1])
        for row, wanted in zip(rows[::-1], records, strict=True):
            found = [each.record.id for each in nested.query(row, 1, nested.stages(1, 1))]
            assert found == [wanted.id], "replacing a record replaces its prefixes, too: a stale one was searched"

"""The kit's checks on storage kinds: what is kept, found, rescored, and changed in place."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from nestvec.contract import Create, Describe, Fetch, ListCollections, Query, QueryStaged, Update, Write
from nestvec.errors import ConfigError
from nestvec.types import DENSE, Metric, Record, Storage
from nestvec_testing.adapters.base import AdapterKit
from nestvec_testing.bench import Bench
from nestvec_testing.data import PARSED, creation, exact, record, vectors
from nestvec_testing.guard import refused

if TYPE_CHECKING:
    from nestvec.types import FloatArray

_SIZE, _MANY, _LIMIT = 32, 200, 10
#: How much of the ten best a rescored search has to find among forty candidates of random vectors.
_RECALL = 0.6
_STAMP = {"nestvec": 1, "name": "kit", "note": "conformance kit"}


class _Kept:
    """A collection of random vectors of length 1, kept in one way."""

    def __init__(self, bench: Bench, storage: Storage, number: int = 0, amount: int = _MANY) -> None:
        self.bench = bench
        self.physical = bench.capabilities.names.physical(f"{bench.name}{storage.value}{number}", 1)
        self.records: list[Record] = [record(f"d{i}") for i in range(amount)]
        self.rows: FloatArray = vectors(amount, _SIZE, 4, unit=True)
        plain = Create(self.physical, {DENSE: _SIZE}, Metric.COSINE, PARSED, _STAMP)
        bench.raw(creation(plain, storage=storage))
        bench.raw(Write(self.physical, self.records, {DENSE: self.rows}))

    def check_described(self, storage: Storage) -> None:
        """The engine says how it keeps vectors, or that it cannot tell."""
        told = self.bench.raw(Describe(self.physical)).storage
        assert told in (None, storage), f"describe tells the storage as created: {storage}, not {told}"

    def check_stored(self, storage: Storage) -> None:
        """Vectors come back: of float16 rounded, else as they were written."""
        batch = self.bench.raw(Fetch(self.physical, [each.id for each in self.records], vectors=True))
        rows = {each.id: batch.vectors[DENSE][i] for i, each in enumerate(batch.records)}
        assert len(rows) == len(self.records), "no record is lost, however vectors are kept"
        found = np.stack([rows[each.id] for each in self.records])
        off = float(np.abs(found - self.rows).max())
        most = 1e-3 if storage is Storage.FLOAT16 else 1e-5
        assert off <= most, f"vectors stored as {storage} come back as written, but they are off by {off:.2g}"

    def check_found(self, storage: Storage, candidates: int, recall: float) -> None:
        """So many of the best are found, with the scores of the stored vectors."""
        questions = vectors(8, _SIZE, 6, unit=True)
        asked = (self.physical, {DENSE: questions}, Metric.COSINE, _LIMIT)
        answers = self.bench.raw(QueryStaged(*asked, rescore=candidates) if storage.quantised else Query(*asked))
        places = {each.id: i for i, each in enumerate(self.records)}
        hits = 0
        for row, answer in zip(questions, answers, strict=True):
            ranked = exact(self.rows, row, Metric.COSINE)
            best = set(np.argsort(-ranked, kind="stable")[:_LIMIT].tolist())
            hits += len(best & {places[each.record.id] for each in answer})
            off = max(abs(each.score - float(ranked[places[each.record.id]])) for each in answer)
            most = 2e-3 if storage is Storage.FLOAT16 else 1e-4
            assert off <= most, f"scores are those of the stored vectors, rescored, but one is off by {off:.2g}"
        share = hits / (len(questions) * _LIMIT)
        assert share >= recall, f"a rescored search of {storage} finds {recall:.0%} of the best, not {share:.0%}"


class StorageChecks(AdapterKit):
    """float32, float16, int8, binary: what the backend declares."""

    def test_storage_is_offered_or_refused(self, bench: Bench) -> None:
        """What it does not declare is refused when the configuration is read, before anything is created."""
        assert Storage.FLOAT32 in bench.capabilities.storage, "every backend keeps float32"
        before = sorted(bench.raw(ListCollections()))
        for kind in Storage:
            if kind not in bench.capabilities.storage:
                with refused(ConfigError, f"storage {kind} on a backend that does not declare it"):
                    bench.applied({"storage": kind.value})
        assert sorted(bench.raw(ListCollections())) == before, "refusing a storage kind creates nothing"

    def test_storage_keeps_and_finds(self, bench: Bench) -> None:
        """Each declared kind: it is told, vectors come back, and few candidates hold most of the best."""
        for kind in sorted(map(Storage, bench.capabilities.storage)):
            kept = _Kept(bench, kind)
            kept.check_described(kind)
            kept.check_stored(kind)
            kept.check_found(kind, 4 * _LIMIT, _RECALL if kind.quantised else 0.95)
            kept.check_found(kind, _MANY, 0.95)

    def test_storage_changes_in_place(self, bench: Bench) -> None:
        """Each declared change: no record is lost or altered, and searching goes on."""
        for number, (was, now) in zip(count(1), sorted(bench.capabilities.storage_updates), strict=False):
            kept = _Kept(bench, Storage(was), number)
            bench.raw(Update(kept.physical, PARSED, {**_STAMP, "note": "changed"}, Storage(now)))
            kept.check_described(Storage(now))
            note = bench.raw(Describe(kept.physical)).record["note"]
            assert note == "changed", "a change of storage keeps the new record, too"
            kept.check_stored(Storage(now))
            kept.check_found(Storage(now), _MANY, 0.95)

"""Records, vectors and texts that the kit stores, and numpy's answer to what it asks."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nestvec._metadata import check_metadata
from nestvec.contract import (
    Adopt,
    Batch,
    Count,
    Create,
    CreateExtended,
    Drop,
    DropAlias,
    Found,
    Query,
    Remove,
    Scroll,
    SetAlias,
    Update,
    Write,
    WriteNote,
)
from nestvec.encoding.vectors import normalize
from nestvec.filters import Filter
from nestvec.types import DENSE, Document, Field, Metadata, Metric, Record, Storage
from nestvec_testing.bench import FIELDS, Bench

if TYPE_CHECKING:
    from nestvec.types import FloatArray

#: Requests that change something, whatever a backend keeps its aliases and notes in.
CHANGES: Final = (Adopt, Create, Update, SetAlias, DropAlias, Drop, Write, Remove, WriteNote)
PARSED: Mapping[str, Field] = {name: Field.parse(kind) for name, kind in FIELDS.items()}

_IDS = uuid.UUID("b4a8ad3e-0f0e-4c0b-9d0c-6a6f4f7f2b11")
_WORDS = (
    "river", "stone", "winter", "engine", "paper", "garden", "silver", "window", "letter", "market",
    "bridge", "forest", "candle", "mirror", "harbour", "copper", "violin", "desert", "pepper", "planet",
)  # fmt: skip


def words(count: int, seed: int = 0) -> str:
    """Some words. Different seeds give texts about different things."""
    picks = np.random.default_rng(seed).integers(0, len(_WORDS), count)
    return " ".join(f"{_WORDS[pick]}{seed}" if i % 3 == 0 else _WORDS[pick] for i, pick in enumerate(picks))


def document(key: str, count: int = 40, seed: int = 0, metadata: Metadata | None = None) -> Document:
    """A document of some words."""
    return Document(key, words(count, seed), metadata or {})


def vectors(count: int, size: int, seed: int = 0, *, unit: bool = False) -> FloatArray:
    """Random float32 rows of shape (count, size); of length 1 if `unit`, else of very different lengths."""
    generator = np.random.default_rng(seed)
    rows = generator.standard_normal((count, size)).astype(np.float32)
    lengths = generator.uniform(0.5, 5, (count, 1)).astype(np.float32)
    return normalize(rows) if unit else np.ascontiguousarray(rows * lengths)


def record(key: str, metadata: Metadata | None = None, *, chunk: int = 0, text: str | None = None) -> Record:
    """A record such as the core makes: chunk 0 of a document of its own, or another chunk of it."""
    body = text if text is not None else f"text of {key}"
    return Record(
        id=str(uuid.uuid5(_IDS, f"{chunk}:{key}")),
        document_id=key,
        text=body,
        metadata=check_metadata(metadata or {}, PARSED),
        system={
            "chunk": chunk,
            "start": 0,
            "end": len(body),
            "hash": hashlib.sha256(body.encode()).hexdigest()[:32],
            "revision": 0,
            "layout": "l1-kit",
        },
    )


def creation(plain: Create, *, tenants: bool = False, storage: Storage = Storage.FLOAT32) -> Create:
    """The request as the core makes it: extended only where it takes an optional power."""
    if not tenants and storage is Storage.FLOAT32:
        return plain
    given = (plain.physical, plain.vectors, plain.metric, plain.fields, plain.record, plain.options)
    return CreateExtended(*given, tenants=tenants, storage=storage)


class KitCollection:
    """A physical collection filled through the adapter itself, and what was put into it."""

    def __init__(
        self, bench: Bench, metric: Metric = Metric.COSINE, size: int = 8, *, suffix: str = "t", tenants: bool = False
    ) -> None:
        self.bench = bench
        self.metric = metric
        self.size = size
        self.physical = bench.capabilities.names.physical(f"{bench.name}{suffix}", 1)
        self.records: list[Record] = []
        self.rows: FloatArray = np.zeros((0, size), np.float32)
        stamp = {"nestvec": 1, "name": bench.name, "note": "conformance kit"}
        self.request = creation(Create(self.physical, {DENSE: size}, metric, PARSED, stamp), tenants=tenants)
        bench.raw(self.request)

    def write(self, records: Sequence[Record], rows: FloatArray, tenant: str | None = None) -> None:
        """Add records."""
        self.bench.raw(Write(self.physical, records, {DENSE: rows}), tenant=tenant)
        self.records += records
        self.rows = np.concatenate([self.rows, rows])

    def fill(self, count: int, *, seed: int = 0, metadata: Sequence[Metadata] | None = None, prefix: str = "d") -> None:
        """Add so many records with random vectors that suit the metric; their ids begin with `prefix`."""
        made = [record(f"{prefix}{i}", metadata[i] if metadata else {"year": i}) for i in range(count)]
        self.write(made, vectors(count, self.size, seed, unit=self.metric is Metric.COSINE))

    def count(self, where: Filter | None = None, tenant: str | None = None) -> int:
        """What the backend counts."""
        found: int = self.bench.raw(Count(self.physical, where), tenant=tenant)
        return found

    def scroll(self, where: Filter | None = None, limit: int = 100, tenant: str | None = None) -> list[str]:
        """The ids of all records that match, in the order they come; at most 1,000 pages."""
        ids: list[str] = []
        cursor = None
        for _ in range(1000):
            page: Batch = self.bench.raw(Scroll(self.physical, where, limit, cursor), tenant=tenant)
            assert len(page.records) <= limit, f"a page holds at most limit={limit} records, not {len(page.records)}"
            ids += [each.id for each in page.records]
            cursor = page.cursor
            if cursor is None:
                return ids
        raise AssertionError("scroll must come to an end: after 1,000 pages there was still a cursor")

    def query(
        self, rows: FloatArray, limit: int = 10, *, tenant: str | None = None, **options: Any
    ) -> list[list[Found]]:
        """Search with each row."""
        request = Query(self.physical, {DENSE: rows}, self.metric, limit, **options)
        answer: list[list[Found]] = self.bench.raw(request, tenant=tenant)
        assert len(answer) == len(rows), f"a query of {len(rows)} vectors has as many answers, not {len(answer)}"
        return answer

    def expected(self, row: FloatArray) -> list[tuple[str, float]]:
        """What exact search finds, best first: ids and scores, in float64."""
        ranked = exact(self.rows, row, self.metric)
        order = np.argsort(-ranked, kind="stable")
        return [(self.records[i].id, float(ranked[i])) for i in order]


def exact(rows: FloatArray, row: FloatArray, metric: Metric) -> Any:
    """Scores by definition, in float64: cosine, dot product, or minus the unsquared euclidean distance."""
    matrix, query = rows.astype(np.float64), row.astype(np.float64)
    if metric is Metric.EUCLIDEAN:
        return -np.sqrt(((matrix - query) ** 2).sum(axis=1))
    products = matrix @ query
    if metric is Metric.DOT:
        return products
    return products / (np.linalg.norm(matrix, axis=1) * np.linalg.norm(query))

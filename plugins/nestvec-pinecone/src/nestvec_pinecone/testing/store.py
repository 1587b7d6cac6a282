"""Indexes, namespaces and records; and when a write becomes visible to whom."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from nestvec_pinecone.testing.errors import PineconeRefusal
from nestvec_pinecone.testing.settings import PineconeSettings, Surface

if TYPE_CHECKING:
    from nestvec.types import FloatArray

MetricName: TypeAlias = Literal["cosine", "dotproduct", "euclidean"]
_SURFACES: tuple[Surface, ...] = ("fetch", "query", "stats")


@dataclass(frozen=True)
class StoredVector:
    """A record."""

    id: str
    values: FloatArray
    metadata: Mapping[str, Any]


Records: TypeAlias = dict[str, StoredVector]
Change: TypeAlias = Callable[[Records], None]


@dataclass
class _Entry:
    """One write in a namespace's log."""

    lsn: int
    at: float
    change: Change
    missed: dict[Surface, int] = field(default_factory=lambda: dict.fromkeys(_SURFACES, 0))


@dataclass
class _View:
    """What one surface shows: the records after the first `lsn` writes."""

    records: Records = field(default_factory=dict)
    lsn: int = 0


class Namespace:
    """A log of writes, and the state that each surface has reached."""

    def __init__(self, settings: Callable[[], PineconeSettings], clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._log: list[_Entry] = []
        self._views = {surface: _View() for surface in _SURFACES}

    def write(self, change: Change) -> int:
        """Commit a write; its log sequence number."""
        lsn = self._log[-1].lsn + 1 if self._log else max(view.lsn for view in self._views.values()) + 1
        self._log.append(_Entry(lsn, self._clock(), change))
        return lsn

    def read(self, surface: Surface) -> _View:
        """The visible state. Each read counts for the writes that it misses. Writes become visible in order."""
        lag, now, view = self._settings().lag(surface), self._clock(), self._views[surface]
        blocked = False
        for entry in self._log:
            if entry.lsn <= view.lsn:
                continue
            blocked = blocked or entry.missed[surface] < lag.reads or now < entry.at + lag.seconds
            if blocked:
                entry.missed[surface] += 1
            else:
                entry.change(view.records)
                view.lsn = entry.lsn
        self._forget()
        return view

    def peek(self, surface: Surface) -> _View:
        """The state that the last read left."""
        return self._views[surface]

    def _forget(self) -> None:
        applied = min(view.lsn for view in self._views.values())
        while len(self._log) > 1 and self._log[0].lsn <= applied:
            self._log.pop(0)


@dataclass
class Index:
    """One index. `described` counts how often it was looked at while it comes up or goes away."""

    name: str
    dimension: int
    metric: MetricName
    deployment: Mapping[str, Any]
    tags: dict[str, str]
    protected: bool = False
    ready_after: int = 0
    gone_after: int | None = None
    namespaces: dict[str, Namespace] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """As described."""
        if self.gone_after is not None:
            return "Terminating"
        return "Initializing" if self.ready_after else "Ready"


class PineconeStore:
    """All indexes. One lock: take it for every request."""

    def __init__(self, settings: Callable[[], PineconeSettings], clock: Callable[[], float]) -> None:
        self.lock = threading.RLock()
        self.indexes: dict[str, Index] = {}
        self._settings = settings
        self._clock = clock

    def open(self, index: Index, namespace: str) -> Namespace:
        """A namespace to write to: made by the first write."""
        return index.namespaces.setdefault(namespace, Namespace(self._settings, self._clock))

    def find(self, index: Index, namespace: str) -> Namespace:
        """A namespace that is there, or 404."""
        try:
            return index.namespaces[namespace]
        except KeyError:
            raise PineconeRefusal(404, "Namespace not found") from None

    def visible(self, index: Index, surface: Surface) -> Iterator[tuple[str, _View]]:
        """All namespaces that this surface knows of."""
        for name, namespace in sorted(index.namespaces.items()):
            view = namespace.read(surface)
            if view.lsn:
                yield name, view


def similarities(matrix: FloatArray, query: FloatArray, metric: MetricName) -> FloatArray:
    """Pinecone's scores: cosine, dot product, or the squared euclidean distance (lower is closer)."""
    rows, row = matrix.astype(np.float64), query.astype(np.float64)
    if metric == "euclidean":
        squared: Any = ((rows - row) ** 2).sum(axis=1)
        return squared.astype(np.float32)  # type: ignore[no-any-return]  # numpy's sum is untyped here
    products: Any = rows @ row
    if metric == "cosine":
        products = products / (np.linalg.norm(rows, axis=1) * np.linalg.norm(row))
    return products.astype(np.float32)  # type: ignore[no-any-return]

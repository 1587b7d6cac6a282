"""A backend that takes everything and keeps nothing: for benchmarks of what happens before the database."""

from __future__ import annotations

from typing import Self

import numpy as np

from nestvec.capabilities import BackendCapabilities, Power
from nestvec.contract import (
    BackendPlugin,
    Batch,
    CollectionInfo,
    Count,
    Describe,
    Fetch,
    Found,
    ListTenants,
    Query,
    Remove,
    Scroll,
    Write,
)
from nestvec.errors import CollectionNotFound
from nestvec.hookspecs import hookimpl
from nestvec.options import Options
from nestvec.types import DENSE, Storage
from nestvec_testing.memory import MemoryAdapter

CAPABILITIES = BackendCapabilities(powers=frozenset(Power), embedded=True, max_vectors=None, storage=frozenset(Storage))


class DiscardingOptions(Options):
    """It has none."""


class DiscardingAdapter(MemoryAdapter):
    """Keeps collections, aliases and notes only; counts the records that it is given. Safe for threads.

    `written` and `removed` count records, `bytes` those of their vectors, `asked` the questions searched for.
    """

    def __init__(self, options: DiscardingOptions | None = None) -> None:
        super().__init__()
        self.written = self.removed = self.bytes = self.asked = 0

    def __repr__(self) -> str:
        return f"<DiscardingAdapter written={self.written} removed={self.removed} asked={self.asked}>"

    def capabilities(self) -> BackendCapabilities:
        """The declared ones."""
        return CAPABILITIES

    def of_tenant(self, tenant: str) -> Self:
        """All tenants have the same: nothing."""
        return self

    def write(self, request: Write) -> None:
        """Count them."""
        self._must_exist(request.physical)
        with self._lock:
            self.written += len(request.records)
            self.bytes += sum(rows.nbytes for rows in request.vectors.values())

    def remove(self, request: Remove) -> None:
        """Count them."""
        self._must_exist(request.physical)
        with self._lock:
            self.removed += len(request.ids)

    def fetch(self, request: Fetch) -> Batch:
        """Nothing: every document looks new."""
        return self._nothing(request)

    def scroll(self, request: Scroll) -> Batch:
        """Nothing."""
        return self._nothing(request)

    def count(self, request: Count) -> int:
        """Zero."""
        self._must_exist(request.physical)
        return 0

    def list_tenants(self, request: ListTenants) -> list[str]:
        """None: nobody has records."""
        self._must_exist(request.physical)
        return []

    def query(self, request: Query) -> list[list[Found]]:
        """Nothing, once for each question."""
        self._must_exist(request.physical)
        questions = len(request.vectors[DENSE])
        with self._lock:
            self.asked += questions
        return [[] for _ in range(questions)]

    def _must_exist(self, physical: str) -> CollectionInfo:
        info = super().describe(Describe(physical))
        if info is None:
            raise CollectionNotFound(f"there is no collection {physical!r} here; create it with apply()")
        return info

    def _nothing(self, request: Fetch | Scroll) -> Batch:
        info = self._must_exist(request.physical)
        empty = {name: np.zeros((0, size), np.float32) for name, size in info.vectors.items()}
        return Batch((), empty if request.vectors else None)


@hookimpl
def nestvec_backend() -> BackendPlugin:
    """Registered by `nestvec_testing.registry`, not installed."""
    return BackendPlugin(
        name="discarding",
        summary="Takes everything, keeps nothing, for benchmarks.",
        options=DiscardingOptions,
        capabilities=lambda _: CAPABILITIES,
        open=DiscardingAdapter,
        embedded=lambda _: {},
    )

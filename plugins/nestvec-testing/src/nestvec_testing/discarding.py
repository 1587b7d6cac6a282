"""A backend that takes everything and keeps nothing: for benchmarks of what happens before the database."""

from __future__ import annotations

import threading
from collections.abc import Callable

from nestvec.capabilities import BackendCapabilities
from nestvec.contract import (
    Adapter,
    BackendPlugin,
    Batch,
    CollectionInfo,
    Count,
    Create,
    Describe,
    Drop,
    DropAlias,
    Fetch,
    Found,
    ListCollections,
    Query,
    ReadNote,
    Remove,
    ResolveAlias,
    Scroll,
    SetAlias,
    Tenants,
    Update,
    Write,
    WriteNote,
)
from nestvec.errors import CollectionNotFound
from nestvec.hookspecs import hookimpl
from nestvec.options import Options
from nestvec.types import DENSE
from nestvec_testing.memory import MemoryAdapter, MemoryOptions

CAPABILITIES = BackendCapabilities(embedded=True, max_vectors=None)


class DiscardingOptions(Options):
    """It has none."""


class DiscardingAdapter(Adapter):
    """Keeps collections and pointers only; counts what it is given. Safe for threads.

    `written` and `removed` count records, `bytes` those of their vectors, `asked` the questions searched for.
    """

    def __init__(self, options: DiscardingOptions | None = None) -> None:
        self.written = self.removed = self.bytes = self.asked = 0
        self._names = MemoryAdapter(MemoryOptions())
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<DiscardingAdapter written={self.written} removed={self.removed} asked={self.asked}>"

    def capabilities(self) -> BackendCapabilities:
        """The declared ones."""
        return CAPABILITIES

    def resolve_alias(self, request: ResolveAlias) -> str | None:
        """See `Adapter`."""
        return self._names.resolve_alias(request)

    def describe(self, request: Describe) -> CollectionInfo | None:
        """See `Adapter`."""
        return self._names.describe(request)

    def list_collections(self, request: ListCollections) -> list[str]:
        """See `Adapter`."""
        return self._names.list_collections(request)

    def create(self, request: Create) -> None:
        """See `Adapter`."""
        self._names.create(request)

    def update(self, request: Update) -> None:
        """See `Adapter`."""
        self._names.update(request)

    def set_alias(self, request: SetAlias) -> None:
        """See `Adapter`."""
        self._names.set_alias(request)

    def drop_alias(self, request: DropAlias) -> None:
        """See `Adapter`."""
        self._names.drop_alias(request)

    def drop(self, request: Drop) -> None:
        """See `Adapter`."""
        self._names.drop(request)

    def write_note(self, request: WriteNote) -> None:
        """See `Adapter`."""
        self._names.write_note(request)

    def read_note(self, request: ReadNote) -> str | None:
        """See `Adapter`."""
        return self._names.read_note(request)

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
        return self._nothing(request.physical, vectors=request.vectors)

    def scroll(self, request: Scroll) -> Batch:
        """Nothing."""
        return self._nothing(request.physical, vectors=request.vectors)

    def count(self, request: Count) -> int:
        """Zero."""
        self._must_exist(request.physical)
        return 0

    def tenants(self, request: Tenants) -> list[str]:
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
        info = self._names.describe(Describe(physical))
        if info is None:
            raise CollectionNotFound(f"there is no collection {physical!r} here; create it with apply()")
        return info

    def _nothing(self, physical: str, *, vectors: bool) -> Batch:
        import numpy as np

        info = self._must_exist(physical)
        empty = {name: np.zeros((0, size), np.float32) for name, size in info.vectors.items()}
        return Batch((), empty if vectors else None)


@hookimpl
def nestvec_backend() -> BackendPlugin:
    """Registered by `nestvec_testing.registry`, not installed."""
    opened: Callable[[DiscardingOptions], Adapter] = DiscardingAdapter
    return BackendPlugin(
        name="discarding",
        summary="Takes everything, keeps nothing, for benchmarks.",
        options=DiscardingOptions,
        capabilities=lambda _: CAPABILITIES,
        open=opened,
        embedded=lambda _: {},
    )

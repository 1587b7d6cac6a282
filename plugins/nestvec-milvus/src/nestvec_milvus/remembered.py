"""What operations remember of a server and its collections, and how they go on when that is outdated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nestvec.capabilities import BackendCapabilities
from nestvec.contract import ForeignLayout
from nestvec.errors import BackendRefused, CollectionNotFound
from nestvec_milvus import foreign, schema
from nestvec_milvus.errors import NotLoaded
from nestvec_milvus.loading import load
from nestvec_milvus.schema import Columns
from nestvec_milvus.server import Server
from nestvec_milvus.wire import Operation, T, call

_INDEX_NOT_FOUND = "index not found"
_INVALID_NAME = "invalid collection name"


@dataclass(slots=True)
class Remembered:
    """One backend. `place` is what errors call it, `stated` the version that the configuration says it has.

    Remembers the server's version and the columns of collections; what turns out to be outdated is read again.
    Safe for threads: each memory is written in one step.
    """

    place: str
    declared: BackendCapabilities
    load_timeout: float = 120.0
    cloud: bool = False
    stated: str | None = None
    _server: Server | None = None
    _columns: dict[str, Columns] = field(default_factory=dict)

    @property
    def embedded(self) -> bool:
        """Whether the engine runs in this process."""
        return self.declared.embedded

    def _known_server(self) -> Operation[Server]:
        server = self._server
        if server is None:
            reply = yield call("GetVersion")
            server = self._server = Server.of(reply.version, self.place, cloud=self.cloud, stated=self.stated)
        return server

    def _on(
        self, physical: str, attempt: Callable[[Columns], Operation[T]], how: ForeignLayout | None = None
    ) -> Operation[T]:
        """Run an attempt with a collection's columns, `how` somebody else's are to be read.

        Repeated once after loading the collection, and once if its columns turn out to be others than remembered.
        """
        columns = self._columns.get(physical)
        remembered = columns is not None and columns.layout == how
        if columns is None or not remembered:
            columns = yield from self._look(physical, how)
        try:
            return (yield from attempt(columns))
        except NotLoaded:
            # Perhaps because somebody changes its storage, and with it how it is searched.
            fresh = yield from self._look(physical, how)
            ours = how is None or self.embedded
            yield from load(self.place, physical, self.load_timeout, ours=ours, changing=fresh.changing)
            return (yield from attempt(fresh))
        except (BackendRefused, CollectionNotFound):
            fresh = yield from self._look(physical, how)
            if not remembered or fresh == columns:
                raise
        return (yield from attempt(fresh))

    def _look(self, physical: str, how: ForeignLayout | None) -> Operation[Columns]:
        """The columns as they are now. Raises `CollectionNotFound`."""
        self._columns.pop(physical, None)
        found = yield from (self._described(physical) if how is None else self._described_foreign(physical, how))
        if found is None or found.physical != physical:
            raise self._missing(physical)
        self._columns[physical] = found
        return found

    def _described(self, name: str) -> Operation[Columns | None]:
        """The collection that a name or alias leads to."""
        try:
            reply = yield call("DescribeCollection", collection_name=name)
        except CollectionNotFound:
            return None
        return schema.columns_of(reply)

    def _described_foreign(self, name: str, how: ForeignLayout) -> Operation[Columns | None]:
        try:
            reply = yield call("DescribeCollection", collection_name=name)
        except CollectionNotFound:
            return None
        except BackendRefused as error:
            if _INVALID_NAME not in str(error).lower():
                raise
            return None  # nothing can be called so
        indexes = yield from self._indexes(name)
        return foreign.foreign_columns(reply, indexes, how)

    def _indexes(self, physical: str) -> Operation[Any]:
        try:
            reply = yield call("DescribeIndex", collection_name=physical)
        except BackendRefused as error:
            if _INDEX_NOT_FOUND not in str(error).lower() and "no index" not in str(error).lower():
                raise
            return []
        return reply.index_descriptions

    def _missing(self, physical: str) -> CollectionNotFound:
        return CollectionNotFound(
            f"{self.place} has no collection {physical!r}; create it with `nestvec apply` or apply()"
        )

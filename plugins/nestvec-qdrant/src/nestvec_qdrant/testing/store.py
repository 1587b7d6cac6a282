"""The emulator's state: the client's local engine, and what that engine does not keep."""

from __future__ import annotations

import itertools
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qdrant_client import QdrantClient
from qdrant_client.http import models as m

from nestvec_qdrant.testing.wire import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Collection settings that the local engine forgets, by where GET /collections/{name} reports them.
_PARAMS = (
    "shard_number",
    "sharding_method",
    "replication_factor",
    "write_consistency_factor",
    "on_disk_payload",
)
_RANGE_INDEXES = frozenset({m.PayloadSchemaType.INTEGER, m.PayloadSchemaType.FLOAT, m.PayloadSchemaType.DATETIME})
_FACETS: dict[m.PayloadSchemaType, type[str | int | bool]] = {
    m.PayloadSchemaType.KEYWORD: str,
    m.PayloadSchemaType.UUID: str,
    m.PayloadSchemaType.INTEGER: int,
    m.PayloadSchemaType.BOOL: bool,
}


@dataclass
class _ExtraState:
    """What a server knows about a collection beyond its points."""

    indexes: dict[str, m.PayloadFieldSchema] = field(default_factory=dict)
    hnsw: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    strict_mode: dict[str, Any] = field(default_factory=dict)
    quantization: Any = None
    vectors: dict[str, dict[str, Any]] = field(default_factory=dict)
    operations: Iterator[int] = field(default_factory=itertools.count)

    def update(self, body: m.CreateCollection | m.UpdateCollection) -> None:
        """Take over the settings of a create or patch request."""
        for target, diff in (
            (self.hnsw, body.hnsw_config),
            (self.optimizer, body.optimizers_config),
            (self.strict_mode, body.strict_mode_config),
            (self.params, getattr(body, "params", None)),
        ):
            target.update(diff.model_dump(exclude_none=True) if diff else {})
        for name in _PARAMS:
            if (value := getattr(body, name, None)) is not None:
                self.params[name] = value
        if isinstance(body, m.UpdateCollection):
            for name, diff in (body.vectors or {}).items():
                self.vectors.setdefault(name, {}).update(_settings(diff))
        if body.quantization_config is not None:
            switched_off = isinstance(body.quantization_config, m.Disabled)
            self.quantization = None if switched_off else body.quantization_config

    def overlay(self, config: m.CollectionConfig) -> m.CollectionConfig:
        """The local engine's report with the kept settings in it."""
        strict = self.strict_mode and m.StrictModeConfigOutput.model_validate(self.strict_mode)
        return config.model_copy(
            update={
                "hnsw_config": config.hnsw_config.model_copy(update=self.hnsw),
                "optimizer_config": config.optimizer_config.model_copy(update=self.optimizer),
                "params": config.params.model_copy(update=self.params | {"vectors": self._vectors(config)}),
                "quantization_config": self.quantization,
                "strict_mode_config": strict or None,
            }
        )

    def _vectors(self, config: m.CollectionConfig) -> Any:
        """The vectors' parameters, as they were changed."""
        given = config.params.vectors
        if not isinstance(given, dict):
            return given and given.model_copy(update=self.vectors.get("", {}))
        return {name: params.model_copy(update=self.vectors.get(name, {})) for name, params in given.items()}


def _settings(diff: m.VectorParamsDiff) -> dict[str, Any]:
    """What a diff sets: what it leaves out stays, and `Disabled` removes a quantisation."""
    given = {name: getattr(diff, name) for name in m.VectorParamsDiff.model_fields}
    return {name: None if value is m.Disabled.DISABLED else value for name, value in given.items() if value is not None}


class QdrantStore:
    """The local client behind a lock, the payload indexes and the collection settings.

    `path` is a folder to keep points in, None for memory. Indexes and settings other than metadata
    live as long as this object.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._client = (
            QdrantClient(path=str(path), force_disable_check_same_thread=True) if path else QdrantClient(":memory:")
        )
        self._lock = threading.RLock()
        self._extra: dict[str, _ExtraState] = {}

    @contextmanager
    def locked(self) -> Iterator[QdrantClient]:
        """The local client, with every other request kept out: it is not thread-safe."""
        with self._lock:
            yield self._client

    def close(self) -> None:
        """Close the local client."""
        with self._lock:
            self._client.close()

    def clear(self) -> None:
        """Delete all collections, and with them their aliases."""
        with self.locked() as client:
            for name in self.collections():
                client.delete_collection(name)
            self._extra.clear()

    def collections(self) -> list[str]:
        """Names of the collections, sorted as a server sorts them."""
        return sorted(c.name for c in self._client.get_collections().collections)

    def aliases(self) -> dict[str, str]:
        """Alias → collection."""
        return {a.alias_name: a.collection_name for a in self._client.get_aliases().aliases}

    def resolve(self, name: str) -> str:
        """The collection behind a name or alias. Raises `RefusedError` (404)."""
        real = self.aliases().get(name, name)
        if real not in self.collections():
            raise RefusedError.no_collection(real)
        return real

    def extra_state(self, real: str) -> _ExtraState:
        """What is kept about an existing collection beside its points."""
        return self._extra.setdefault(real, _ExtraState())

    def forget(self, real: str) -> None:
        """Drop what is kept beside points: the collection is gone."""
        self._extra.pop(real, None)

    def update_result(self, real: str, wait: bool) -> m.UpdateResult:
        """A server's receipt. Everything is applied at once; without `wait` it is only acknowledged."""
        status = m.UpdateStatus.COMPLETED if wait else m.UpdateStatus.ACKNOWLEDGED
        return m.UpdateResult(operation_id=next(self.extra_state(real).operations), status=status)

    def info(self, real: str) -> m.CollectionInfo:
        """What GET /collections/{name} reports."""
        info = self._client.get_collection(real)
        extra = self.extra_state(real)
        return info.model_copy(
            update={
                "config": extra.overlay(info.config),
                "payload_schema": {
                    name: self._index_info(real, name, schema) for name, schema in extra.indexes.items()
                },
            }
        )

    def _index_info(self, real: str, name: str, schema: m.PayloadFieldSchema) -> m.PayloadIndexInfo:
        empty = m.IsEmptyCondition(is_empty=m.PayloadField(key=name))
        points = self._client.count(real, count_filter=m.Filter(must_not=[empty])).count
        params = None if isinstance(schema, m.PayloadSchemaType) else schema
        return m.PayloadIndexInfo(data_type=index_type(schema), params=params, points=points)

    def check_order_by(self, real: str, key: str) -> None:
        """Ordering by a field needs a range index on a server. Raises `RefusedError` (400)."""
        schema = self.extra_state(real).indexes.get(key)
        if schema is None or index_type(schema) not in _RANGE_INDEXES:
            raise RefusedError.bad_input(
                f"No range index for `order_by` key: `{key}`. Please create one to use `order_by`."
            )

    def facet_type(self, real: str, key: str) -> type[str | int | bool]:
        """The values in the index by which a server counts them. Raises `RefusedError` (400) without one."""
        schema = self.extra_state(real).indexes.get(key)
        if schema is None or index_type(schema) not in _FACETS:
            raise RefusedError.bad_input(
                f"No appropriate index for faceting: `{key}`. Please create one to facet on this field."
            )
        return _FACETS[index_type(schema)]

    def check_dimensions(self, real: str, using: str | None, vector: list[float]) -> None:
        """The local engine lets numpy fail on a query of the wrong size. Raises `RefusedError` (400)."""
        vectors = self._client.get_collection(real).config.params.vectors
        named = vectors if isinstance(vectors, dict) else {"": vectors}
        params = named.get(using or "")
        if params is None:
            raise RefusedError.bad_input(f"Not existing vector name error: {using or ''}")
        if len(vector) != params.size:
            raise RefusedError.bad_input(f"Vector dimension error: expected dim: {params.size}, got {len(vector)}")


def index_type(schema: m.PayloadFieldSchema) -> m.PayloadSchemaType:
    """The kind of an index, however it was asked for."""
    kind = schema if isinstance(schema, m.PayloadSchemaType) else schema.type
    return m.PayloadSchemaType(kind.value)

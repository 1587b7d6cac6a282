"""The control plane: indexes and their tags."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nestvec_pinecone.testing import limits
from nestvec_pinecone.testing.errors import PineconeRefusal, require
from nestvec_pinecone.testing.settings import PineconeSettings
from nestvec_pinecone.testing.store import Index, PineconeStore

#: The field of the schema that makes an index of plain vectors.
VALUES: Final = "_values"
_METRICS: Final = ("cosine", "dotproduct", "euclidean")
_CLOUDS: Final = ("aws", "gcp", "azure")
_DEFAULT: Final = {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"}


@dataclass(frozen=True)
class Control:
    """The operations; `host` gives an index's address."""

    store: PineconeStore
    settings: Callable[[], PineconeSettings]
    host: Callable[[str], str]

    def list_indexes(self) -> dict[str, Any]:
        """All indexes."""
        return {"indexes": [self._model(index) for index in self.store.indexes.values()]}

    def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A new one."""
        name, schema = body.get("name"), body.get("schema")
        limits.check_name(name)
        require(name not in self.store.indexes, "Resource already exists", 409)
        field = _dense_field(schema)
        dimension = limits.in_range(field.get("dimension"), limits.MAX_DIMENSION, "Dimension")
        require(field.get("metric") in _METRICS, f"Unknown metric {field.get('metric')!r}", 422)
        deployment = body.get("deployment") or _DEFAULT
        require(deployment.get("cloud") in _CLOUDS, f"Unknown cloud {deployment.get('cloud')!r}", 400)
        require(deployment.get("region"), "Region is required", 400)
        tags = dict(body.get("tags") or {})
        limits.check_tags(tags)
        protected = body.get("deletion_protection") == "enabled"
        index = Index(
            str(name), dimension, field["metric"], deployment, tags, protected, ready_after=self.settings().creating
        )
        self.store.indexes[index.name] = index
        return self._model(index)

    def describe(self, name: str) -> dict[str, Any]:
        """One; looking at it lets its creation or deletion go on."""
        index = self._index(name)
        model = self._model(index)
        index.ready_after = max(0, index.ready_after - 1)
        if index.gone_after is not None:
            index.gone_after -= 1
            if index.gone_after <= 0:
                del self.store.indexes[name]
        return model

    def configure(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Tags are merged; an empty value deletes. All of a request or nothing of it."""
        index = self._index(name)
        known = {"tags", "deletion_protection"}
        require(set(body) <= known, f"Unknown fields {sorted(set(body) - known)}", 422)
        merged = {**index.tags, **(body.get("tags") or {})}
        tags = {key: value for key, value in merged.items() if value != ""}
        limits.check_tags(tags)
        index.tags = tags
        if "deletion_protection" in body:
            index.protected = body["deletion_protection"] == "enabled"
        return self._model(index)

    def delete(self, name: str) -> None:
        """Begin to delete one."""
        index = self._index(name)
        require(not index.protected, "Deletion protection is enabled for this index.", 403)
        index.gone_after = self.settings().deleting
        if not index.gone_after:
            del self.store.indexes[name]

    def _index(self, name: str) -> Index:
        try:
            return self.store.indexes[name]
        except KeyError:
            raise PineconeRefusal(404, f"Resource {name} not found") from None

    def _model(self, index: Index) -> dict[str, Any]:
        return {
            "name": index.name,
            "host": self.host(index.name),
            "schema": {
                "fields": {VALUES: {"type": "dense_vector", "dimension": index.dimension, "metric": index.metric}}
            },
            "deployment": {"environment": None, **index.deployment},
            "read_capacity": {"mode": "OnDemand", "status": {"state": "Ready"}},
            "deletion_protection": "enabled" if index.protected else "disabled",
            "status": {"ready": index.state == "Ready", "state": index.state},
            "tags": dict(index.tags) or None,
        }


def host_label(name: str) -> str:
    """The unguessable part of a host is the same for each index of a name here."""
    return f"{name}-{hashlib.sha256(name.encode()).hexdigest()[:7]}"


def _dense_field(schema: object) -> Mapping[str, Any]:
    fields = schema.get("fields") if isinstance(schema, dict) else None
    require(isinstance(fields, dict) and fields, "Schema is required", 422)
    assert isinstance(fields, dict)
    require(set(fields) == {VALUES}, "Only indexes of plain vectors are emulated", 422)
    field: Mapping[str, Any] = fields[VALUES]
    require(field.get("type") == "dense_vector", "Only dense vectors are emulated", 422)
    return field

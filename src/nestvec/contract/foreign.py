"""Adoption: reading a collection that somebody else made, where it is and as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class ForeignLayout:
    """Where a collection that somebody else made keeps what nestvec reads.

    `vector`, `id`, `text` and the values of `fields` are the backend's own names: a payload key, a column, a
    metadata key. A dot leads into an object inside, where the backend has such. `fields` has every declared field.
    Without `vector` it is the collection's only one, without `id` the record's own id, without `text` there is none.
    `namespace` is for backends whose collections have parts.
    """

    collection: str
    vector: str | None = None
    id: str | None = None
    text: str | None = None
    namespace: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without what is not set."""
        plain = {name: getattr(self, name) for name in ("collection", "vector", "id", "text", "namespace")}
        return {name: value for name, value in plain.items() if value is not None} | {"fields": dict(self.fields)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ForeignLayout:
        """Read what `to_dict` wrote. Raises `TypeError` for anything else."""
        return cls(**value)


@dataclass(frozen=True, slots=True)
class Adopt:
    """Keep nestvec's record of a foreign collection; alter nothing else of it. Answered with None.

    Repeating it replaces the record. Describing the collection answers it from then on.
    """

    method: ClassVar[str] = "adopt"
    physical: str
    layout: ForeignLayout
    record: Mapping[str, Any]


def pick(foreign: ForeignLayout, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The declared fields' values in what a foreign record holds; absent ones are left out."""
    found = {name: lookup(stored, path) for name, path in foreign.fields.items()}
    return {name: value for name, value in found.items() if value is not None}


def lookup(stored: Mapping[str, Any], path: str) -> Any:
    """What stands at a key — or, where there is none of that name, at a dotted path — or None."""
    if path in stored:
        return stored[path]
    head, _, rest = path.partition(".")
    inner = stored.get(head) if rest else None
    return lookup(inner, rest) if isinstance(inner, Mapping) else None

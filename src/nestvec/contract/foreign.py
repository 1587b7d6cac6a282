"""Adoption: reading a collection that somebody else made, where it is and as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class ForeignLayout:
    """Where a collection that somebody else made keeps what nestvec reads.

    `vector`, `id`, `text`, `metadata` and the values of `fields` are the backend's own names: a payload key, a column,
    a metadata key. A dot leads into an object inside, where the backend has such. `fields` has every declared field.
    Without `vector` it is the collection's only one, without `id` the record's own id, without `text` there is none.
    What is in the object `metadata` is read under its own names; `json` are keys whose text is JSON with objects in it.
    `namespace` is for backends whose collections have parts.
    """

    collection: str
    vector: str | None = None
    id: str | None = None
    text: str | None = None
    namespace: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    metadata: str | None = None
    json: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without what is not set."""
        plain = {name: getattr(self, name) for name in ("collection", "vector", "id", "text", "namespace", "metadata")}
        found = {name: value for name, value in plain.items() if value is not None} | {"fields": dict(self.fields)}
        return found | ({"json": list(self.json)} if self.json else {})

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ForeignLayout:
        """Read what `to_dict` wrote. Raises `TypeError` for anything else."""
        return cls(**{**value, "json": tuple(value.get("json", ()))})


@dataclass(frozen=True, slots=True)
class ForeignPreset:
    """How a framework lays out what it writes to one backend: what `foreign = "NAME"` stands for.

    `text`, `id`, `metadata` and `json` are those of a `ForeignLayout`. `marks` are names that every record of such a
    collection has: by them it is recognised.
    """

    text: str
    metadata: str | None = None
    id: str | None = None
    json: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Adopt:
    """Keep nestvec's record of a foreign collection; alter nothing else of it. Answered with None.

    Repeating it replaces the record. Describing the collection answers it from then on. A `record` of None removes it:
    the collection is as if nobody had adopted it, and removing one that is not there is no error.
    """

    method: ClassVar[str] = "adopt"
    physical: str
    layout: ForeignLayout
    record: Mapping[str, Any] | None


def field_path(name: str, metadata: str | None, json: tuple[str, ...] = ()) -> str:
    """Where a declared field is unless something else is said: in the object of the metadata.

    No database filters inside of text, so what is in JSON text is looked for beside it.
    """
    if metadata is None or metadata.split(".", 1)[0] in json:
        return name
    return f"{metadata}.{name}"

"""Looking at a collection that somebody else made: what is in it, and the block that would adopt it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nestvec._collections.foreign_layouts import ForeignContents, contents
from nestvec.capabilities import Power
from nestvec.config.blocks import ForeignBlock
from nestvec.contract import Count, Describe, ForeignLayout, ListCollections, field_path
from nestvec.errors import CollectionConflict, CollectionNotFound, InvalidName, Unsupported
from nestvec.names import check_logical
from nestvec.types import DENSE, Metric

if TYPE_CHECKING:
    from nestvec._session.session import Session
    from nestvec.config import Connection
    from nestvec.contract import BackendPlugin, CollectionInfo


@dataclass(frozen=True, slots=True)
class ForeignLook:
    """What a collection holds that somebody else made, and how it could be adopted.

    Attributes:
        collection, backend: Its own name, and the backend's in the configuration.
        records: How many it has.
        dimensions, metric: Those of its vectors.
        preset: The framework whose layout its records have; None: none that is known.
        names: What its records hold, dots leading into objects, each with the kinds of its values.
        unread: What nestvec does not read of it: further vectors, columns of other kinds.
        block: TOML to paste into the configuration.
    """

    collection: str
    backend: str
    records: int
    dimensions: int
    metric: Metric
    preset: str | None
    names: Mapping[str, tuple[str, ...]]
    unread: tuple[str, ...]
    block: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, as printed by `nestvec adopt --look --json`.

        Returns:
            The fields by name.

        Example:
            >>> sorted(nv.look("articles").to_dict())[:3]
            ['backend', 'block', 'collection']
        """
        return {
            "collection": self.collection,
            "backend": self.backend,
            "records": self.records,
            "dimensions": self.dimensions,
            "metric": self.metric.value,
            "preset": self.preset,
            "names": {path: list(kinds) for path, kinds in self.names.items()},
            "unread": list(self.unread),
            "block": self.block,
        }


@dataclass(frozen=True, slots=True)
class LookRequest:
    """At what to look: a physical collection of a backend, one of its vectors, a part of it."""

    session: Session
    connection: Connection[BackendPlugin]
    embedders: Sequence[str]
    collection: str
    vector: str | None = None
    namespace: str | None = None


async def look(request: LookRequest) -> ForeignLook:
    """Read a sample of the collection. Nothing is changed, and no embedder is asked.

    Raises `CollectionNotFound`, `CollectionConflict` for what cannot be adopted, `Unsupported` where the backend reads
    only what nestvec made.
    """
    name, backend, connection = request.collection, request.session.backend, request.connection
    if Power.ADOPTION not in connection.capabilities.powers:
        raise Unsupported(f"backend {connection.name!r} reads only what nestvec made, so nothing in it can be adopted")
    layout = ForeignLayout(name, request.vector, namespace=request.namespace)
    info = await backend.reading(layout).describe(Describe(name))
    if info is None:
        there = ", ".join(sorted(await backend.list_collections(ListCollections()))[:20]) or "none"
        raise CollectionNotFound(f"backend {connection.name!r} has no collection {name!r}; it has: {there}")
    if info.record is not None and "foreign" not in info.record:
        raise CollectionConflict(f"collection {name!r} is nestvec's own; there is nothing to adopt")
    found = await contents(backend, layout)
    preset = found.preset(connection.plugin.presets)
    return ForeignLook(
        collection=name,
        backend=connection.name,
        records=await backend.reading(layout).count(Count(name)),
        dimensions=info.vectors[DENSE],
        metric=info.metric,
        preset=preset,
        names={path: tuple(sorted(kinds)) for path, kinds in found.kinds.items()},
        unread=info.unread,
        block=_block(request, info, found, preset),
    )


def _block(request: LookRequest, info: CollectionInfo, found: ForeignContents, preset: str | None) -> str:
    """The TOML of a collection that is read so."""
    name = _logical(request.collection)
    where = {"vector": request.vector, "namespace": request.namespace}
    foreign: dict[str, Any] = {key: value for key, value in where.items() if value is not None}
    if name != request.collection:
        foreign["collection"] = request.collection
    foreign |= {"preset": preset} if preset is not None else found.proposal()
    layout = ForeignBlock(**foreign).layout(name, (), request.connection.plugin.presets)
    fields = found.fields(layout, nested=preset is None)
    elsewhere = {
        each: path for each, (path, _) in fields.items() if path != field_path(each, layout.metadata, layout.json)
    }
    short = set(foreign) == {"preset"} and not elsewhere
    lines = [
        f"[collections.{name}]",
        f"backend = {_quoted(request.connection.name)}",
        _embedder(request.embedders),
        f"dimensions = {info.vectors[DENSE]}",
        *([f"metric = {_quoted(info.metric.value)}"] if info.metric is not Metric.COSINE else []),
        "adopt = true",
        *([f"foreign = {_quoted(preset or '')}"] if short else []),
        *_table(f"collections.{name}.fields", {each: kind for each, (_, kind) in fields.items()}),
        *([] if short else _table(f"collections.{name}.foreign", foreign)),
        *_table(f"collections.{name}.foreign.fields", elsewhere),
    ]
    return "\n".join(lines) + "\n"


def _embedder(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"embedder = {_quoted(names[0])}  # must be the model that made the vectors; `purpose` or `tasks`, too"
    return f"embedder = {_quoted('?')}  # the model that made the vectors, one of: {', '.join(map(_quoted, names))}"


def _table(name: str, values: Mapping[str, str]) -> list[str]:
    return [f"[{name}]", *(f"{_key(key)} = {_quoted(value)}" for key, value in values.items())] if values else []


def _key(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else _quoted(name)


def _quoted(text: str) -> str:
    """A TOML string. What does not print, or turns the direction of writing, is escaped."""
    shown = [each if each.isprintable() else f"\\U{ord(each):08x}" for each in json.dumps(text, ensure_ascii=False)]
    return "".join(shown)


def _logical(name: str) -> str:
    """A name for the block: the collection's own where it can be one."""
    try:
        return check_logical(name)
    except InvalidName:
        plain = re.sub("[^A-Za-z0-9_-]+", "-", name).strip("-_")[:64].strip("-_")
        return plain if plain[:1].isalpha() else f"adopted-{plain}".strip("-_")[:64].strip("-_")

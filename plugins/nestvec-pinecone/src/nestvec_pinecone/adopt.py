"""Indexes that somebody else made: what is read of a record, and what a layout may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from nestvec.contract import ForeignLayout, foreign_record
from nestvec.errors import CollectionConflict
from nestvec.types import Record
from nestvec_pinecone.client import PineconeClient
from nestvec_pinecone.records import decode
from nestvec_pinecone.schema import IndexLocation
from nestvec_pinecone.tenants import list_namespaces, plain_name

#: Names in an error.
_SHOWN: Final = 20


def check_layout(foreign: ForeignLayout) -> None:
    """Raise `CollectionConflict` for a named vector, and for keys that metadata of Pinecone cannot have."""
    if foreign.vector:
        raise CollectionConflict(
            f"collection {foreign.collection!r}: foreign.vector = {foreign.vector!r}, but a record of Pinecone has one "
            f"vector, without a name; leave it out"
        )
    for key in (foreign.id, foreign.text, foreign.metadata, *foreign.fields.values()):
        if key is not None and (not key or key.startswith("$")):
            raise CollectionConflict(
                f"collection {foreign.collection!r}: Pinecone's metadata has no key {key!r}: keys are not empty and "
                f"do not begin with $"
            )


def namespace_of(foreign: ForeignLayout) -> str:
    """The namespace that is read; empty for the default one, whose other name is `__default__`."""
    return plain_name(foreign.namespace or "")


def foreign_location(location: IndexLocation, foreign: ForeignLayout) -> IndexLocation:
    """The one namespace that is read of somebody else's index."""
    return replace(location, tenants=False, default=namespace_of(foreign), prefix="")


async def check_namespace(client: PineconeClient, request: object, location: IndexLocation) -> None:
    """Raise `CollectionConflict` if the one namespace that is read is not there."""
    if location.default in await list_namespaces(client, request, replace(location, prefix=location.default)):
        return
    names = await list_namespaces(client, request, location)
    there = ", ".join(repr(name or "__default__") for name in names[:_SHOWN]) or "none"
    raise CollectionConflict(
        f"index {location.physical!r} has no namespace {location.default!r}; set foreign.namespace to one that it has "
        f"({there}), or leave it out for the default one"
    )


def record_for(record: Mapping[str, Any] | None, foreign: ForeignLayout) -> Mapping[str, Any] | None:
    """An index's record, unless it vouches for another namespace of it."""
    known = (record or {}).get("foreign")
    if isinstance(known, Mapping) and plain_name(known.get("namespace") or "") != namespace_of(foreign):
        return None
    return record


def read_record(key: str, metadata: Mapping[str, Any] | None, foreign: ForeignLayout) -> Record:
    """What the layout says of a record's metadata, and the rest of it."""
    return foreign_record(key, {name: decode(value, None) for name, value in (metadata or {}).items()}, foreign)


def comparable(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as filters compare it: all numbers are doubles, so whole ones may stand for integers."""
    return {key: _whole(value) for key, value in stored.items()}


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value

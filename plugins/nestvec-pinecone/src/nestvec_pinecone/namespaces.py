"""Which namespaces of an index belong to a collection."""

from __future__ import annotations

from typing import Any, Final

from nestvec_pinecone.calls import Call, Operation
from nestvec_pinecone.keys import NOTES, plain_name
from nestvec_pinecone.places import Place

_PAGE: Final = 100


def listed(place: Place, *, scan: bool) -> Operation[list[str]]:
    """All namespaces that begin with the collection's prefix, in order; that of notes is none of them."""
    found = yield from counted(place, scan=scan)
    return [name for name, _ in found]


def counted(place: Place, *, scan: bool) -> Operation[list[tuple[str, int]]]:
    """The same, each with the number of its records, which may lag."""
    found = yield from (_from_statistics(place) if scan else _from_listing(place))
    return sorted((plain_name(name), count) for name, count in found if name != NOTES)


def _from_statistics(place: Place) -> Operation[list[tuple[str, int]]]:
    # Servers that can not list namespaces count them. The list lags, too, but so it does there for everything.
    stats = yield Call(place.host, "describe_index_stats")
    there = [(name, each) for name, each in stats.namespaces.items() if name.startswith(place.prefix)]
    return [(name, int(each.vector_count or 0)) for name, each in there]


def _from_listing(place: Place) -> Operation[list[tuple[str, int]]]:
    found, token = list[tuple[str, int]](), None
    while True:
        arguments: dict[str, Any] = {"prefix": place.prefix or None, "limit": _PAGE, "pagination_token": token}
        reply = yield Call(place.host, "list_namespaces_paginated", arguments)
        found += [(each.name, int(each.record_count or 0)) for each in reply.namespaces]
        token = reply.pagination.next if reply.pagination else None
        if not token:
            return found

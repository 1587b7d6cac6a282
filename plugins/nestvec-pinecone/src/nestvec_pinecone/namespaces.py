"""Which namespaces of an index belong to a collection."""

from __future__ import annotations

from typing import Any, Final

from nestvec_pinecone.calls import Call, Operation
from nestvec_pinecone.keys import plain_name
from nestvec_pinecone.places import Place

_PAGE: Final = 100


def listed(place: Place, *, scan: bool) -> Operation[list[str]]:
    """All namespaces that begin with the collection's prefix, in order."""
    if scan:
        # Servers that can not list namespaces count them. The count may lag, but so it does there for everything.
        stats = yield Call(place.host, "describe_index_stats")
        return sorted(plain_name(name) for name in stats.namespaces if name.startswith(place.prefix))
    found, token = list[str](), None
    while True:
        arguments: dict[str, Any] = {"prefix": place.prefix or None, "limit": _PAGE, "pagination_token": token}
        reply = yield Call(place.host, "list_namespaces_paginated", arguments)
        found += [plain_name(each.name) for each in reply.namespaces]
        token = reply.pagination.next if reply.pagination else None
        if not token:
            return sorted(found)

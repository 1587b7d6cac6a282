"""What people import: `connect`, `aconnect`, `collection`, and the objects they give. Neither face loads the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec._lazy import lazy_names

if TYPE_CHECKING:
    from nestvec._client.async_collection import AsyncCollection
    from nestvec._client.asynchronous import AsyncNestvec, acollection, aconnect
    from nestvec._client.sync import Nestvec, collection, connect
    from nestvec._client.sync_collection import Collection
    from nestvec._client.workers import close_shared_clients, shared_client

__all__ = [
    "AsyncCollection",
    "AsyncNestvec",
    "Collection",
    "Nestvec",
    "acollection",
    "aconnect",
    "close_shared_clients",
    "collection",
    "connect",
    "shared_client",
]

_ROOMS = {
    "nestvec._client.async_collection": ("AsyncCollection",),
    "nestvec._client.asynchronous": ("AsyncNestvec", "acollection", "aconnect"),
    "nestvec._client.sync": ("Nestvec", "collection", "connect"),
    "nestvec._client.sync_collection": ("Collection",),
    "nestvec._client.workers": ("close_shared_clients", "shared_client"),
}
__getattr__, __dir__ = lazy_names(__name__, _ROOMS)

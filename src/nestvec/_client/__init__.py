"""What people import: `connect`, `aconnect`, `collection`, and the objects they give."""

from nestvec._client.asynchronous import AsyncCollection, AsyncNestvec, acollection, aconnect
from nestvec._client.converting import convert_store
from nestvec._client.sync import Collection, Nestvec, collection, connect
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
    "convert_store",
    "shared_client",
]

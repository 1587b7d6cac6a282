"""What people import: `connect`, `aconnect`, `collection`, and the objects they give."""

from nestvec._client.asynchronous import AsyncCollection, AsyncNestvec, acollection, aconnect
from nestvec._client.sync import Collection, Nestvec, collection, connect

__all__ = [
    "AsyncCollection",
    "AsyncNestvec",
    "Collection",
    "Nestvec",
    "acollection",
    "aconnect",
    "collection",
    "connect",
]

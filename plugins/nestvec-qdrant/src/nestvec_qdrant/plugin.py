"""What nestvec loads to get to know this backend. Imports no SDK."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from nestvec.capabilities import BackendCapabilities
from nestvec.contract import BackendPlugin
from nestvec.hookspecs import hookimpl
from nestvec_qdrant.options import QdrantCollectionOptions, QdrantOptions, embedded_options

if TYPE_CHECKING:
    from nestvec.contract import Adapter, AsyncAdapter

#: What a server takes in one request (its default), minus some room.
MAX_REQUEST_BYTES = 32 * 1024 * 1024 - 64 * 1024
_MAX_DIMENSIONS = 65536
EXAMPLE = """
[backends.search]
use = "qdrant"
url = "http://localhost:6333"
api_key = { env = "QDRANT_API_KEY" }
"""


def capabilities(options: QdrantOptions) -> BackendCapabilities:
    """Declared capabilities."""
    if options.embedded:
        return BackendCapabilities(
            embedded=True,
            exact=True,
            adopts=True,
            max_dimensions=_MAX_DIMENSIONS,
            max_vectors=None,
            funnels=True,
            why_not={"storage": "an embedded store has no quantisation and keeps float32: use a server"},
        )
    return BackendCapabilities(
        native_async=True,
        adopts=True,
        max_dimensions=_MAX_DIMENSIONS,
        max_vectors=None,
        storage=frozenset({"float32", "float16", "int8", "binary"}),
        storage_updates=frozenset(permutations(("float32", "int8", "binary"), 2)),
        funnels=True,
        max_write_bytes=MAX_REQUEST_BYTES,
    )


def _open(options: QdrantOptions) -> Adapter:
    from nestvec_qdrant.adapter import QdrantAdapter

    return QdrantAdapter(options)


def _open_async(options: QdrantOptions) -> AsyncAdapter | None:
    """None for an embedded store: it has no asynchronous form."""
    if options.embedded:
        return None
    from nestvec_qdrant.adapter import AsyncQdrantAdapter

    return AsyncQdrantAdapter(options)


@hookimpl
def nestvec_backend() -> BackendPlugin:
    """Register the backend."""
    return BackendPlugin(
        name="qdrant",
        summary="Qdrant: a server by REST or gRPC, or embedded in this process.",
        options=QdrantOptions,
        capabilities=capabilities,
        open=_open,
        open_async=_open_async,
        collection_options=QdrantCollectionOptions,
        embedded=embedded_options,
        forms={"": {"url": "http://localhost:6333"}},
        default=True,
        example=EXAMPLE,
    )

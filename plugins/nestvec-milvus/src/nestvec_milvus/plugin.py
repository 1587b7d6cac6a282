"""What nestvec loads to get to know this backend. Imports no SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from nestvec.capabilities import BackendCapabilities
from nestvec.contract import BackendPlugin
from nestvec.hookspecs import hookimpl
from nestvec.names import NameRules
from nestvec_milvus.layout import MAX_JSON_BYTES, MAX_REQUEST_BYTES, MAX_VECTORS, MAX_WINDOW
from nestvec_milvus.options import MilvusCollectionOptions, MilvusOptions, embedded_options

if TYPE_CHECKING:
    from nestvec.contract import Adapter, AsyncAdapter

_MAX_DIMENSIONS = 32768


def capabilities(options: MilvusOptions) -> BackendCapabilities:
    """Declared capabilities: what every version can do. See `Server.refine` for what newer ones add."""
    return BackendCapabilities(
        embedded=options.embedded,
        native_async=not options.embedded,
        exact=options.embedded,
        max_dimensions=_MAX_DIMENSIONS,
        names=NameRules(hyphen=False),
        adopts=True,
        max_vectors=MAX_VECTORS if options.embedded else 1,
        max_write_bytes=MAX_REQUEST_BYTES,
        max_limit=MAX_WINDOW,
        max_metadata_bytes=MAX_JSON_BYTES,
    )


def _open(options: MilvusOptions) -> Adapter:
    from nestvec_milvus.adapter import MilvusAdapter

    return MilvusAdapter(options)


def _open_async(options: MilvusOptions) -> AsyncAdapter | None:
    """None for Milvus Lite: it has no asynchronous form."""
    if options.embedded:
        return None
    from nestvec_milvus.adapter import AsyncMilvusAdapter

    return AsyncMilvusAdapter(options)


@hookimpl
def nestvec_backend() -> BackendPlugin:
    """Register the backend."""
    return BackendPlugin(
        name="milvus",
        summary="Milvus: a server, Zilliz Cloud, or Milvus Lite in this process.",
        options=MilvusOptions,
        capabilities=capabilities,
        open=_open,
        open_async=cast("Any", _open_async),
        collection_options=MilvusCollectionOptions,
        embedded=embedded_options,
        forms={"": {"uri": "http://localhost:19530"}},
    )

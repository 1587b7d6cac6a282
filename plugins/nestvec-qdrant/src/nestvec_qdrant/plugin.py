"""What nestvec loads to get to know this backend. Imports no SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.contract import BackendPlugin
from nestvec.hookspecs import hookimpl
from nestvec_qdrant.options import (
    QdrantCollectionOptions,
    QdrantOptions,
    declared_capabilities,
    embedded_options,
    made,
)
from nestvec_qdrant.presets import PRESETS

if TYPE_CHECKING:
    from nestvec.contract import Adapter

EXAMPLE = """
[backends.search]
use = "qdrant"
url = "http://localhost:6333"
api_key = { env = "QDRANT_API_KEY" }
"""


def _open(options: QdrantOptions) -> Adapter:
    from nestvec_qdrant.adapter import open_adapter

    return open_adapter(options, blocking=True)


def _open_async(options: QdrantOptions) -> Adapter | None:
    """None for an embedded store: it has no asynchronous form."""
    if options.embedded:
        return None
    from nestvec_qdrant.adapter import open_adapter

    return open_adapter(options, blocking=False)


@hookimpl
def nestvec_backend() -> BackendPlugin:
    """Register the backend."""
    return BackendPlugin(
        name="qdrant",
        summary="Qdrant: a server by REST or gRPC, or embedded in this process.",
        options=QdrantOptions,
        capabilities=declared_capabilities,
        open=_open,
        open_async=_open_async,
        collection_options=QdrantCollectionOptions,
        embedded=embedded_options,
        path_option="path",
        made=made,
        forms={"": {"url": "http://localhost:6333"}},
        example=EXAMPLE,
        presets=PRESETS,
    )

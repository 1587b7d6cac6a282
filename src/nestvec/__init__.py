"""Task-aware, dimension-configurable embeddings in the vector database you already run.

Start with `nestvec.collection("docs")` for the embedded default, or `nestvec.connect("nestvec.toml")`. Names are
imported when they are first used (PEP 562): `import nestvec` itself loads no numpy, HTTP client or SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec import results
from nestvec._lazy import lazy_names

if TYPE_CHECKING:
    from nestvec._client import (
        AsyncCollection,
        AsyncNestvec,
        Collection,
        Nestvec,
        acollection,
        aconnect,
        close_shared_clients,
        collection,
        connect,
        shared_client,
    )
    from nestvec._client.converting import convert_store
    from nestvec._evaluation.options import DimensionsOptions
    from nestvec._questions import Question
    from nestvec.capabilities import TaskPair
    from nestvec.errors import NestvecError
    from nestvec.filters import ID, F
    from nestvec.results import *  # noqa: F403 - listed there, and only there
    from nestvec.runtime import RetryPolicy, Runtime
    from nestvec.spaces import EmbeddingSpace
    from nestvec.types import Chunk, Document, Metric

__version__ = "0.1.0"
__all__ = [
    "ID",
    "AsyncCollection",
    "AsyncNestvec",
    "Chunk",
    "Collection",
    "DimensionsOptions",
    "Document",
    "EmbeddingSpace",
    "F",
    "Metric",
    "Nestvec",
    "NestvecError",
    "Question",
    "RetryPolicy",
    "Runtime",
    "TaskPair",
    "acollection",
    "aconnect",
    "close_shared_clients",
    "collection",
    "connect",
    "convert_store",
    "shared_client",
]
__all__ += results.__all__

_ROOMS = {
    "nestvec._client": (
        *("AsyncCollection", "AsyncNestvec", "Collection", "Nestvec"),
        *("acollection", "aconnect", "collection", "connect"),
        *("close_shared_clients", "shared_client"),
    ),
    "nestvec._client.converting": ("convert_store",),
    "nestvec._evaluation.options": ("DimensionsOptions",),
    "nestvec._questions": ("Question",),
    "nestvec.capabilities": ("TaskPair",),
    "nestvec.errors": ("NestvecError",),
    "nestvec.filters": ("ID", "F"),
    "nestvec.results": results.__all__,
    "nestvec.runtime": ("RetryPolicy", "Runtime"),
    "nestvec.spaces": ("EmbeddingSpace",),
    "nestvec.types": ("Chunk", "Document", "Metric"),
}
__getattr__, __dir__ = lazy_names(__name__, _ROOMS)

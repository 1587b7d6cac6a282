"""Task-aware, dimension-configurable embeddings in the vector database you already run.

Start with `nestvec.collection("docs")` for the embedded default, or `nestvec.connect("nestvec.toml")`. Names are
imported when they are first used (PEP 562): `import nestvec` itself loads no numpy, HTTP client or SDK.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nestvec import results

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
        convert_store,
        shared_client,
    )
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

_HOME = {
    **dict.fromkeys(("AsyncCollection", "AsyncNestvec", "Collection", "Nestvec"), "nestvec._client"),
    **dict.fromkeys(("acollection", "aconnect", "collection", "connect", "convert_store"), "nestvec._client"),
    **dict.fromkeys(("close_shared_clients", "shared_client"), "nestvec._client"),
    **dict.fromkeys(("RetryPolicy", "Runtime"), "nestvec.runtime"),
    "Chunk": "nestvec.types",
    "DimensionsOptions": "nestvec._evaluation.options",
    "Document": "nestvec.types",
    "EmbeddingSpace": "nestvec.spaces",
    "F": "nestvec.filters",
    "ID": "nestvec.filters",
    "Metric": "nestvec.types",
    "NestvecError": "nestvec.errors",
    "Question": "nestvec._questions",
    "TaskPair": "nestvec.capabilities",
    **dict.fromkeys(results.__all__, "nestvec.results"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nestvec' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

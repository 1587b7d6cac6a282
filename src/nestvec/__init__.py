"""Task-aware, dimension-configurable embeddings in the vector database you already run.

Start with `nestvec.collection("docs")` for the embedded default, or `nestvec.connect("nestvec.toml")`. Names are
imported when they are first used (PEP 562): `import nestvec` itself loads no numpy, HTTP client or SDK.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nestvec.client import (
        AsyncCollection,
        AsyncNestvec,
        Collection,
        Nestvec,
        acollection,
        aconnect,
        collection,
        connect,
    )
    from nestvec.dimensions.options import DimensionsOptions, Question
    from nestvec.dimensions.report import DimensionsReport
    from nestvec.errors import NestvecError
    from nestvec.filters import F
    from nestvec.flows.scroll import Matrix, Page
    from nestvec.spaces import EmbeddingSpace
    from nestvec.types import Document, Hit, Record, Report

__version__ = "0.1.0"
__all__ = [
    "AsyncCollection",
    "AsyncNestvec",
    "Collection",
    "DimensionsOptions",
    "DimensionsReport",
    "Document",
    "EmbeddingSpace",
    "F",
    "Hit",
    "Matrix",
    "Nestvec",
    "NestvecError",
    "Page",
    "Question",
    "Record",
    "Report",
    "acollection",
    "aconnect",
    "collection",
    "connect",
]

_HOME = {
    **dict.fromkeys(("AsyncCollection", "AsyncNestvec", "Collection", "Nestvec"), "nestvec.client"),
    **dict.fromkeys(("acollection", "aconnect", "collection", "connect"), "nestvec.client"),
    **dict.fromkeys(("Document", "Hit", "Record", "Report"), "nestvec.types"),
    **dict.fromkeys(("Matrix", "Page"), "nestvec.flows.scroll"),
    **dict.fromkeys(("DimensionsOptions", "Question"), "nestvec.dimensions.options"),
    "DimensionsReport": "nestvec.dimensions.report",
    "EmbeddingSpace": "nestvec.spaces",
    "F": "nestvec.filters",
    "NestvecError": "nestvec.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nestvec' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

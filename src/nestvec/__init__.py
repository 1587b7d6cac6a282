"""Task-aware, dimension-configurable embeddings in the vector database you already run.

Start with `nestvec.collection("docs")` for the embedded default, or `nestvec.connect("nestvec.toml")`. Names are
imported when they are first used (PEP 562): `import nestvec` itself loads no numpy, HTTP client or SDK.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nestvec.capabilities import TaskPair
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
    from nestvec.dimensions.bootstrap import Interval
    from nestvec.dimensions.options import DimensionsOptions, Question
    from nestvec.dimensions.recommend import Recommendation
    from nestvec.dimensions.report import (
        DimensionsCurve,
        DimensionsPoint,
        DimensionsReport,
        DimensionsSample,
        FunnelReport,
        SearchTimes,
    )
    from nestvec.errors import NestvecError
    from nestvec.filters import F
    from nestvec.flows.apply import Change, Status
    from nestvec.flows.copy import CopyProgress, CopyReport
    from nestvec.flows.gate import Place
    from nestvec.flows.migrate.places import Standing
    from nestvec.flows.migrate.report import MigrationPlan, MigrationProgress, MigrationReport, Overlap
    from nestvec.flows.migrate.routes import Way
    from nestvec.flows.migrate.tidy import GenerationStatus, Removal
    from nestvec.flows.nest import NestReport, PrefixRecall
    from nestvec.flows.scroll import Cursor, Matrix, Page
    from nestvec.parity.agreement import Agreement
    from nestvec.spaces import EmbeddingSpace
    from nestvec.types import Document, FailedDocument, Hit, Record, Report, Usage

__version__ = "0.1.0"
__all__ = [
    "Agreement",
    "AsyncCollection",
    "AsyncNestvec",
    "Change",
    "Collection",
    "CopyProgress",
    "CopyReport",
    "Cursor",
    "DimensionsCurve",
    "DimensionsOptions",
    "DimensionsPoint",
    "DimensionsReport",
    "DimensionsSample",
    "Document",
    "EmbeddingSpace",
    "F",
    "FailedDocument",
    "FunnelReport",
    "GenerationStatus",
    "Hit",
    "Interval",
    "Matrix",
    "MigrationPlan",
    "MigrationProgress",
    "MigrationReport",
    "NestReport",
    "Nestvec",
    "NestvecError",
    "Overlap",
    "Page",
    "Place",
    "PrefixRecall",
    "Question",
    "Recommendation",
    "Record",
    "Removal",
    "Report",
    "SearchTimes",
    "Standing",
    "Status",
    "TaskPair",
    "Usage",
    "Way",
    "acollection",
    "aconnect",
    "collection",
    "connect",
]

_HOME = {
    **dict.fromkeys(("AsyncCollection", "AsyncNestvec", "Collection", "Nestvec"), "nestvec.client"),
    **dict.fromkeys(("acollection", "aconnect", "collection", "connect"), "nestvec.client"),
    **dict.fromkeys(("Document", "FailedDocument", "Hit", "Record", "Report", "Usage"), "nestvec.types"),
    **dict.fromkeys(("Change", "Status"), "nestvec.flows.apply"),
    **dict.fromkeys(("CopyProgress", "CopyReport"), "nestvec.flows.copy"),
    **dict.fromkeys(
        ("MigrationPlan", "MigrationProgress", "MigrationReport", "Overlap"), "nestvec.flows.migrate.report"
    ),
    **dict.fromkeys(("GenerationStatus", "Removal"), "nestvec.flows.migrate.tidy"),
    **dict.fromkeys(("NestReport", "PrefixRecall"), "nestvec.flows.nest"),
    **dict.fromkeys(("Cursor", "Matrix", "Page"), "nestvec.flows.scroll"),
    "Agreement": "nestvec.parity.agreement",
    **dict.fromkeys(("DimensionsOptions", "Question"), "nestvec.dimensions.options"),
    **dict.fromkeys(
        ("DimensionsCurve", "DimensionsPoint", "DimensionsReport", "DimensionsSample", "FunnelReport", "SearchTimes"),
        "nestvec.dimensions.report",
    ),
    "Interval": "nestvec.dimensions.bootstrap",
    "Recommendation": "nestvec.dimensions.recommend",
    "EmbeddingSpace": "nestvec.spaces",
    "Place": "nestvec.flows.gate",
    "Way": "nestvec.flows.migrate.routes",
    "F": "nestvec.filters",
    "NestvecError": "nestvec.errors",
    "Standing": "nestvec.flows.migrate.places",
    "TaskPair": "nestvec.capabilities",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nestvec' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

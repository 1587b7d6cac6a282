"""Task-aware, dimension-configurable embeddings in the vector database you already run.

Start with `nestvec.collection("docs")` for the embedded default, or `nestvec.connect("nestvec.toml")`. Names are
imported when they are first used (PEP 562): `import nestvec` itself loads no numpy, HTTP client or SDK.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nestvec._client import (
        AsyncCollection,
        AsyncNestvec,
        Collection,
        Nestvec,
        acollection,
        aconnect,
        collection,
        connect,
    )
    from nestvec._collections.apply import Change, Status
    from nestvec._collections.write_fence import GenerationPlace
    from nestvec._documents.scroll import Cursor, Matrix, Page
    from nestvec._evaluation.bootstrap import Interval
    from nestvec._evaluation.options import DimensionsOptions
    from nestvec._evaluation.recommend import Recommendation
    from nestvec._evaluation.report import (
        DimensionsCurve,
        DimensionsPoint,
        DimensionsReport,
        DimensionsSample,
        FunnelReport,
        SearchTimes,
    )
    from nestvec._hosts.agreement import Agreement
    from nestvec._migration.copy import CopyProgress, CopyReport
    from nestvec._migration.generations import GenerationRole
    from nestvec._migration.report import MigrationPlan, MigrationProgress, MigrationReport, Overlap
    from nestvec._migration.routes import Way
    from nestvec._migration.tidy import GenerationStatus, Removal
    from nestvec._questions import Question
    from nestvec.capabilities import TaskPair
    from nestvec.errors import NestvecError
    from nestvec.filters import F
    from nestvec.nesting.fitting import NestReport, PrefixRecall
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
    "GenerationPlace",
    "GenerationRole",
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
    "PrefixRecall",
    "Question",
    "Recommendation",
    "Record",
    "Removal",
    "Report",
    "SearchTimes",
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
    **dict.fromkeys(("AsyncCollection", "AsyncNestvec", "Collection", "Nestvec"), "nestvec._client"),
    **dict.fromkeys(("acollection", "aconnect", "collection", "connect"), "nestvec._client"),
    **dict.fromkeys(("Document", "FailedDocument", "Hit", "Record", "Report", "Usage"), "nestvec.types"),
    **dict.fromkeys(("Change", "Status"), "nestvec._collections.apply"),
    **dict.fromkeys(("CopyProgress", "CopyReport"), "nestvec._migration.copy"),
    **dict.fromkeys(("MigrationPlan", "MigrationProgress", "MigrationReport", "Overlap"), "nestvec._migration.report"),
    **dict.fromkeys(("GenerationStatus", "Removal"), "nestvec._migration.tidy"),
    **dict.fromkeys(("NestReport", "PrefixRecall"), "nestvec.nesting.fitting"),
    **dict.fromkeys(("Cursor", "Matrix", "Page"), "nestvec._documents.scroll"),
    "Agreement": "nestvec._hosts.agreement",
    "DimensionsOptions": "nestvec._evaluation.options",
    "Question": "nestvec._questions",
    **dict.fromkeys(
        ("DimensionsCurve", "DimensionsPoint", "DimensionsReport", "DimensionsSample", "FunnelReport", "SearchTimes"),
        "nestvec._evaluation.report",
    ),
    "Interval": "nestvec._evaluation.bootstrap",
    "Recommendation": "nestvec._evaluation.recommend",
    "EmbeddingSpace": "nestvec.spaces",
    "GenerationPlace": "nestvec._collections.write_fence",
    "Way": "nestvec._migration.routes",
    "F": "nestvec.filters",
    "NestvecError": "nestvec.errors",
    "GenerationRole": "nestvec._migration.generations",
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

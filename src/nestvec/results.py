"""What calls return and report: plans, reports, pages, hits, listed once. Everything here is a plain frozen value.

Names are imported when they are first used; `nestvec` offers all of them, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec._lazy import lazy_names

if TYPE_CHECKING:
    from nestvec._archives.exporting import ExportReport
    from nestvec._collections.apply import Change, Status
    from nestvec._collections.looking import ForeignLook
    from nestvec._collections.write_fence import GenerationPlace
    from nestvec._documents.facets import ValueCount
    from nestvec._documents.repair import RepairProgress, RepairReport
    from nestvec._documents.scroll import Cursor, Matrix, Page
    from nestvec._evaluation.bootstrap import Interval
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
    from nestvec._migration.converting import (
        ConversionProgress,
        ConversionReport,
        ConversionStage,
        ConvertedCollection,
    )
    from nestvec._migration.copy import CopyProgress, CopyReport
    from nestvec._migration.dropping import DropReport
    from nestvec._migration.generations import GenerationRole
    from nestvec._migration.report import MigrationPlan, MigrationProgress, MigrationReport, MigrationStage, Overlap
    from nestvec._migration.routes import Way
    from nestvec._migration.tidy import GenerationStatus, Removal
    from nestvec.nesting.fitting import NestReport, PrefixRecall
    from nestvec.types import FailedDocument, FieldMisfit, Hit, Record, Report, Usage

__all__ = [
    "Agreement",
    "Change",
    "ConversionProgress",
    "ConversionReport",
    "ConversionStage",
    "ConvertedCollection",
    "CopyProgress",
    "CopyReport",
    "Cursor",
    "DimensionsCurve",
    "DimensionsPoint",
    "DimensionsReport",
    "DimensionsSample",
    "DropReport",
    "ExportReport",
    "FailedDocument",
    "FieldMisfit",
    "ForeignLook",
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
    "MigrationStage",
    "NestReport",
    "Overlap",
    "Page",
    "PrefixRecall",
    "Recommendation",
    "Record",
    "Removal",
    "RepairProgress",
    "RepairReport",
    "Report",
    "SearchTimes",
    "Status",
    "Usage",
    "ValueCount",
    "Way",
]

_ROOMS = {
    "nestvec._archives.exporting": ("ExportReport",),
    "nestvec._collections.apply": ("Change", "Status"),
    "nestvec._collections.looking": ("ForeignLook",),
    "nestvec._collections.write_fence": ("GenerationPlace",),
    "nestvec._documents.facets": ("ValueCount",),
    "nestvec._documents.repair": ("RepairProgress", "RepairReport"),
    "nestvec._documents.scroll": ("Cursor", "Matrix", "Page"),
    "nestvec._evaluation.bootstrap": ("Interval",),
    "nestvec._evaluation.recommend": ("Recommendation",),
    "nestvec._evaluation.report": (
        *("DimensionsCurve", "DimensionsPoint", "DimensionsReport", "DimensionsSample"),
        *("FunnelReport", "SearchTimes"),
    ),
    "nestvec._hosts.agreement": ("Agreement",),
    "nestvec._migration.converting": (
        "ConversionProgress",
        "ConversionReport",
        "ConversionStage",
        "ConvertedCollection",
    ),
    "nestvec._migration.copy": ("CopyProgress", "CopyReport"),
    "nestvec._migration.dropping": ("DropReport",),
    "nestvec._migration.generations": ("GenerationRole",),
    "nestvec._migration.report": (
        *("MigrationPlan", "MigrationProgress", "MigrationReport", "MigrationStage"),
        "Overlap",
    ),
    "nestvec._migration.routes": ("Way",),
    "nestvec._migration.tidy": ("GenerationStatus", "Removal"),
    "nestvec.nesting.fitting": ("NestReport", "PrefixRecall"),
    "nestvec.types": ("FailedDocument", "FieldMisfit", "Hit", "Record", "Report", "Usage"),
}
__getattr__, __dir__ = lazy_names(__name__, _ROOMS)

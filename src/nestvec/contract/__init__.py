"""The contract between the core and its plugins.

The core's rules ask, a plugin answers: an `Embedder` answers `Encode`, an `Adapter` all other requests. Each request
names the method that answers it. Ten methods are obligatory (`nestvec.contract.adapters`); what else a database can do
is an optional power (`nestvec.contract.powers`). Adapters see vectors, never texts to embed and never tasks.

All vectors are `numpy.float32` arrays, one row for each record or query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec._lazy import lazy_names

if TYPE_CHECKING:
    from nestvec.contract.adapters import Adapter, Answer
    from nestvec.contract.collections import (
        MAX_NOTE,
        SYSTEM_FIELDS,
        CollectionInfo,
        Create,
        CreateExtended,
        Describe,
        Drop,
        DropAlias,
        ListCollections,
        ReadNote,
        ResolveAlias,
        SetAlias,
        Update,
        WriteNote,
    )
    from nestvec.contract.disks import ReadingOnly, disk_advice, forbids_writing, shared_lock
    from nestvec.contract.embedding import (
        Embedder,
        Encode,
        Encoded,
        EncodeFailure,
        Group,
    )
    from nestvec.contract.foreign import Adopt, ForeignLayout, ForeignPreset, field_path
    from nestvec.contract.foreign_records import foreign_record, lookup
    from nestvec.contract.misdirection import misdirected, perhaps_encrypted
    from nestvec.contract.plugins import (
        BackendPlugin,
        EmbedderPlugin,
        Event,
    )
    from nestvec.contract.powers import (
        POWERS,
        Adoption,
        Aliases,
        BackendRequest,
        FullAdapter,
        Funnels,
        Notes,
        Settling,
        Tenancy,
        Updates,
        VectorStorage,
    )
    from nestvec.contract.records import (
        GIVEN_TOLD,
        Batch,
        Count,
        Fetch,
        Found,
        ListTenants,
        Query,
        QueryStaged,
        Remove,
        Scroll,
        Settle,
        Stage,
        Write,
    )
    from nestvec.contract.vendor import ErrorContext, VendorClient
    from nestvec.types import GIVEN

__all__ = [
    "GIVEN",
    "GIVEN_TOLD",
    "MAX_NOTE",
    "POWERS",
    "SYSTEM_FIELDS",
    "Adapter",
    "Adopt",
    "Adoption",
    "Aliases",
    "Answer",
    "BackendPlugin",
    "BackendRequest",
    "Batch",
    "CollectionInfo",
    "Count",
    "Create",
    "CreateExtended",
    "Describe",
    "Drop",
    "DropAlias",
    "Embedder",
    "EmbedderPlugin",
    "Encode",
    "EncodeFailure",
    "Encoded",
    "ErrorContext",
    "Event",
    "Fetch",
    "ForeignLayout",
    "ForeignPreset",
    "Found",
    "FullAdapter",
    "Funnels",
    "Group",
    "ListCollections",
    "ListTenants",
    "Notes",
    "Query",
    "QueryStaged",
    "ReadNote",
    "ReadingOnly",
    "Remove",
    "ResolveAlias",
    "Scroll",
    "SetAlias",
    "Settle",
    "Settling",
    "Stage",
    "Tenancy",
    "Update",
    "Updates",
    "VectorStorage",
    "VendorClient",
    "Write",
    "WriteNote",
    "disk_advice",
    "field_path",
    "forbids_writing",
    "foreign_record",
    "lookup",
    "misdirected",
    "perhaps_encrypted",
    "shared_lock",
]

_ROOMS = {
    "nestvec.contract.adapters": (
        "Adapter",
        "Answer",
    ),
    "nestvec.contract.collections": (
        "MAX_NOTE",
        "SYSTEM_FIELDS",
        "CollectionInfo",
        "Create",
        "CreateExtended",
        "Describe",
        "Drop",
        "DropAlias",
        "ListCollections",
        "ReadNote",
        "ResolveAlias",
        "SetAlias",
        "Update",
        "WriteNote",
    ),
    "nestvec.contract.disks": (
        "ReadingOnly",
        "disk_advice",
        "forbids_writing",
        "shared_lock",
    ),
    "nestvec.contract.embedding": (
        "Embedder",
        "Encode",
        "Encoded",
        "EncodeFailure",
        "Group",
    ),
    "nestvec.contract.foreign": (
        "Adopt",
        "ForeignLayout",
        "ForeignPreset",
        "field_path",
    ),
    "nestvec.contract.foreign_records": (
        "foreign_record",
        "lookup",
    ),
    "nestvec.contract.misdirection": ("misdirected", "perhaps_encrypted"),
    "nestvec.contract.plugins": (
        "BackendPlugin",
        "EmbedderPlugin",
        "Event",
    ),
    "nestvec.contract.powers": (
        "POWERS",
        "Adoption",
        "Aliases",
        "BackendRequest",
        "FullAdapter",
        "Funnels",
        "Notes",
        "Settling",
        "Tenancy",
        "Updates",
        "VectorStorage",
    ),
    "nestvec.contract.records": (
        "GIVEN_TOLD",
        "Batch",
        "Count",
        "Fetch",
        "Found",
        "ListTenants",
        "Query",
        "QueryStaged",
        "Remove",
        "Scroll",
        "Settle",
        "Stage",
        "Write",
    ),
    "nestvec.contract.vendor": (
        "ErrorContext",
        "VendorClient",
    ),
    "nestvec.types": ("GIVEN",),
}
__getattr__, __dir__ = lazy_names(__name__, _ROOMS)

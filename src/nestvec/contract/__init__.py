"""The contract between the core and its plugins.

The core's rules ask, a plugin answers: an `Embedder` answers `Encode`, an `Adapter` all other requests. Each request
names the method that answers it. Ten methods are obligatory (`nestvec.contract.adapters`); what else a database can do
is an optional power (`nestvec.contract.powers`). Adapters see vectors, never texts to embed and never tasks.

All vectors are `numpy.float32` arrays, one row for each record or query.
"""

from __future__ import annotations

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
from nestvec.contract.misdirected import misdirected, perhaps_encrypted
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
    GIVEN,
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

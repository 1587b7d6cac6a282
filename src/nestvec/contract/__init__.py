"""The contract between the core and its plugins.

The core decides and yields *requests*; an `Embedder` answers `Encode`, an `Adapter` answers the others.
Each request names the method that answers it, so a driver is a few lines and an adapter is one method for
each request. Adapters see vectors, never texts to embed and never tasks.

All vectors are `numpy.float32` arrays, one row for each record or query.
"""

from __future__ import annotations

from nestvec.contract.adapters import (
    Adapter,
    AsyncAdapter,
    BackendRequest,
)
from nestvec.contract.collections import (
    MAX_NOTE,
    SYSTEM_FIELDS,
    CollectionInfo,
    Create,
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
from nestvec.contract.embedding import (
    AsyncEmbedder,
    Embedder,
    Encode,
    Encoded,
    EncodeFailure,
    Group,
)
from nestvec.contract.foreign import Adopt, ForeignLayout, lookup, pick
from nestvec.contract.plugins import (
    BackendPlugin,
    EmbedderPlugin,
    Event,
)
from nestvec.contract.records import (
    Batch,
    Count,
    Fetch,
    Found,
    Query,
    Remove,
    Scroll,
    Stage,
    Tenants,
    Write,
)
from nestvec.contract.single import AsyncSingleAdapter, SingleAdapter

__all__ = [
    "MAX_NOTE",
    "SYSTEM_FIELDS",
    "Adapter",
    "Adopt",
    "AsyncAdapter",
    "AsyncEmbedder",
    "AsyncSingleAdapter",
    "BackendPlugin",
    "BackendRequest",
    "Batch",
    "CollectionInfo",
    "Count",
    "Create",
    "Describe",
    "Drop",
    "DropAlias",
    "Embedder",
    "EmbedderPlugin",
    "Encode",
    "EncodeFailure",
    "Encoded",
    "Event",
    "Fetch",
    "ForeignLayout",
    "Found",
    "Group",
    "ListCollections",
    "Point",
    "Query",
    "ReadNote",
    "Remove",
    "ResolveAlias",
    "Scroll",
    "SetAlias",
    "SingleAdapter",
    "Stage",
    "Tenants",
    "Update",
    "Write",
    "WriteNote",
    "lookup",
    "pick",
]

"""What nestvec loads to get to know this backend. Imports no SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestvec.capabilities import BackendCapabilities
from nestvec.contract import BackendPlugin
from nestvec.hookspecs import hookimpl
from nestvec.names import NameRules
from nestvec_pinecone.options import PineconeOptions

if TYPE_CHECKING:
    from nestvec.contract import Adapter, AsyncAdapter

#: Pinecone's documented limits, each inclusive.
MAX_REQUEST_BYTES: Final = 2 * 1024 * 1024
MAX_RECORDS: Final = 1000
MAX_IDS: Final = 1000
MAX_TOP_K: Final = 10_000
MAX_METADATA_BYTES: Final = 40 * 1024
MAX_DIMENSIONS: Final = 20_000
_WHY_NOT: Final = {
    "funnels": "a record has one dense vector, and prefixes in a namespace of their own would make two writes of each, "
    "one of which can fail alone",
    "storage": "Pinecone itself decides how vectors are kept, and no other way can be asked for",
}


def capabilities(options: PineconeOptions) -> BackendCapabilities:
    """Declared capabilities."""
    return BackendCapabilities(
        native_async=True,
        max_dimensions=MAX_DIMENSIONS,
        names=NameRules(underscore=False, uppercase=False, max_length=45),
        read_after_write=False,
        native_aliases=False,
        adopts=True,
        collection_record=options.index_host is None,
        max_write_records=MAX_RECORDS,
        max_write_bytes=MAX_REQUEST_BYTES,
        max_fetch_ids=MAX_IDS,
        max_limit=MAX_TOP_K,
        max_metadata_bytes=MAX_METADATA_BYTES,
        why_not=_WHY_NOT,
    )


def _open(options: PineconeOptions) -> Adapter:
    from nestvec_pinecone.adapter import PineconeAdapter

    return PineconeAdapter(options)


def _open_async(options: PineconeOptions) -> AsyncAdapter:
    from nestvec_pinecone.adapter import AsyncPineconeAdapter

    return AsyncPineconeAdapter(options)


@hookimpl
def nestvec_backend() -> BackendPlugin:
    """Register the backend."""
    return BackendPlugin(
        name="pinecone",
        summary="Pinecone: serverless indexes, or namespaces of one index.",
        options=PineconeOptions,
        capabilities=capabilities,
        open=_open,
        open_async=_open_async,
        forms={"": {}, "one index": {"index_host": "https://docs-1a2b3c4.svc.pinecone.io"}},
    )

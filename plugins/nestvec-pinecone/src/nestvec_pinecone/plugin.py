"""What nestvec loads to get to know this backend. Imports no SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.contract import BackendPlugin
from nestvec.hookspecs import hookimpl
from nestvec_pinecone.options import PineconeOptions, capabilities
from nestvec_pinecone.presets import PRESETS

if TYPE_CHECKING:
    from nestvec_pinecone.adapter import PineconeAdapter


def _open(options: PineconeOptions) -> PineconeAdapter:
    from nestvec_pinecone.adapter import open_adapter

    return open_adapter(options, blocking=True)


def _open_async(options: PineconeOptions) -> PineconeAdapter:
    from nestvec_pinecone.adapter import open_adapter

    return open_adapter(options, blocking=False)


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
        presets=PRESETS,
    )

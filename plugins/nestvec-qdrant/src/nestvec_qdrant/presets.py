"""How frameworks lay out their collections in Qdrant, read from their sources.

langchain-qdrant 1.1 (`_build_payloads`), llama-index-vector-stores-qdrant 0.10 (`node_to_metadata_dict`),
qdrant-haystack 13 (`Document.to_dict`), mem0ai 2.2 (`_create_memory`), mcp-server-qdrant 0.8 (`QdrantConnector.store`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestvec.contract import ForeignPreset

if TYPE_CHECKING:
    from collections.abc import Mapping

PRESETS: Final[Mapping[str, ForeignPreset]] = {
    "langchain": ForeignPreset("page_content", "metadata", marks=("page_content", "metadata")),
    "llamaindex": ForeignPreset(
        "_node_content.text", "_node_content.metadata", json=("_node_content",), marks=("_node_content", "_node_type")
    ),
    "haystack": ForeignPreset("content", "meta", "id", marks=("id", "content", "meta")),
    "mem0": ForeignPreset("data", marks=("data", "hash")),
    "mcp-server-qdrant": ForeignPreset("document", "metadata", marks=("document", "metadata")),
}

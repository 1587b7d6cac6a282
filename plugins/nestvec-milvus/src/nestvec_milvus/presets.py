"""How frameworks lay out their collections in Milvus, read from their sources.

langchain-milvus 0.4 (`_add_metadata_fields`), llama-index-vector-stores-milvus 1.2 (`node_to_metadata_dict`),
milvus-haystack 0.1 (`write_documents`), mem0ai 2.2 (`MilvusDB.insert`). LangChain and Haystack differ in the name of
the primary key alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestvec.contract import ForeignPreset

if TYPE_CHECKING:
    from collections.abc import Mapping

PRESETS: Final[Mapping[str, ForeignPreset]] = {
    "langchain": ForeignPreset("text", marks=("text",)),
    "llamaindex": ForeignPreset(
        "text", "_node_content.metadata", json=("_node_content",), marks=("text", "_node_content", "_node_type")
    ),
    "haystack": ForeignPreset("text", marks=("text",)),
    "mem0": ForeignPreset("metadata.data", "metadata", marks=("metadata.data", "metadata.hash")),
}

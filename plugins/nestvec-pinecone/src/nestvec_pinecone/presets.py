"""How frameworks lay out their records in Pinecone, read from their sources.

langchain-pinecone 0.2 (`add_texts`), llama-index-vector-stores-pinecone 0.9 (`node_to_metadata_dict`),
pinecone-haystack 7 (`_convert_documents_to_pinecone_format`), mem0ai 2.2 (`PineconeDB.insert`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestvec.contract import ForeignPreset

if TYPE_CHECKING:
    from collections.abc import Mapping

PRESETS: Final[Mapping[str, ForeignPreset]] = {
    "langchain": ForeignPreset("text", marks=("text",)),
    "llamaindex": ForeignPreset(
        "_node_content.text", "_node_content.metadata", json=("_node_content",), marks=("_node_content", "_node_type")
    ),
    "haystack": ForeignPreset("content", marks=("content",)),
    "mem0": ForeignPreset("data", marks=("data", "hash")),
}

"""A collection as LlamaIndex's vector store makes it."""

from __future__ import annotations

from common import COLLECTION, client, given
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.vector_stores.qdrant import QdrantVectorStore

_, documents = given()
store = client()
nodes = [
    TextNode(
        id_=each["id"],
        text=each["text"],
        metadata=each["metadata"],
        embedding=each["vector"],
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="source-1")},
    )
    for each in documents
]
QdrantVectorStore(COLLECTION, client=store).add(nodes)
store.close()

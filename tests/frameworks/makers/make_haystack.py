"""A collection as Haystack's document store makes it."""

from __future__ import annotations

from common import COLLECTION, given
from haystack import Document
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

folder, documents = given()
store = QdrantDocumentStore(
    path=folder, index=COLLECTION, embedding_dim=len(documents[0]["vector"]), similarity="cosine", return_embedding=True
)
store.write_documents(
    [
        Document(id=each["id"], content=each["text"], meta=each["metadata"], embedding=each["vector"])
        for each in documents
    ]
)
store._client.close()

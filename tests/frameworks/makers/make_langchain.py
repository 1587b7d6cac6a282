"""A collection as LangChain's vector store makes it."""

from __future__ import annotations

from common import COLLECTION, client, given, vectors
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_qdrant import QdrantVectorStore
from qdrant_client import models


class Known(Embeddings):
    """Vectors that are known beforehand."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        known = vectors()
        return [known[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


_, documents = given()
store = client()
params = models.VectorParams(size=len(documents[0]["vector"]), distance=models.Distance.COSINE)
store.create_collection(COLLECTION, vectors_config=params)
made = QdrantVectorStore(store, COLLECTION, Known(), validate_collection_config=False)
made.add_documents(
    [Document(page_content=each["text"], metadata=each["metadata"]) for each in documents],
    ids=[each["id"] for each in documents],
)
store.close()

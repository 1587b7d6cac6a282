"""How thin a vector store for LangChain is over nestvec: LangChain's own suite is run against it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

import nestvec


class NestvecVectorStore(VectorStore):
    """Documents of LangChain in a collection of nestvec, called or awaited."""

    def __init__(self, collection: nestvec.Collection, embedding: Embeddings) -> None:
        self.collection = collection
        self._embedding = embedding

    @property
    def embeddings(self) -> Embeddings:
        return self._embedding

    @classmethod
    def from_texts(
        cls, texts: list[str], embedding: Embeddings, metadatas: list[dict] | None = None, **kwargs: Any
    ) -> NestvecVectorStore:
        store = cls(nestvec.collection("docs", embedder=embedding, model="theirs", empty="keep"), embedding)
        store.add_texts(texts, metadatas, **kwargs)
        return store

    def add_texts(
        self, texts: Iterable[str], metadatas: list[dict] | None = None, *, ids: list[str] | None = None, **_: Any
    ) -> list[str]:
        given = self._ours(list(texts), metadatas, ids)
        self.collection.upsert(given, duplicates="last")
        return [each.id for each in given]

    async def aadd_texts(
        self, texts: Iterable[str], metadatas: list[dict] | None = None, *, ids: list[str] | None = None, **_: Any
    ) -> list[str]:
        given = self._ours(list(texts), metadatas, ids)
        await self.collection.aio.upsert(given, duplicates="last")
        return [each.id for each in given]

    def delete(self, ids: list[str] | None = None, **_: Any) -> bool:
        self.collection.delete(ids) if ids else self.collection.delete(everything=ids is None)
        return True

    async def adelete(self, ids: list[str] | None = None, **_: Any) -> bool:
        await (self.collection.aio.delete(ids) if ids else self.collection.aio.delete(everything=ids is None))
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        return [_theirs(each) for each in self.collection.get_many(ids)]

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        return [_theirs(each) for each in await self.collection.aio.get_many(ids)]

    def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> list[tuple[Document, float]]:
        hits = self.collection.search(query, limit=k, where=kwargs.get("filter"), documents=True)
        return [(_theirs(hit.document), hit.score) for hit in hits]

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        hits = await self.collection.aio.search(query, limit=k, where=kwargs.get("filter"), documents=True)
        return [(_theirs(hit.document), hit.score) for hit in hits]

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        return [document for document, _ in await self.asimilarity_search_with_score(query, k, **kwargs)]

    def similarity_search_by_vector(self, embedding: list[float], k: int = 4, **kwargs: Any) -> list[Document]:
        hits = self.collection.search(vector=embedding, limit=k, where=kwargs.get("filter"), documents=True)
        return [_theirs(hit.document) for hit in hits]

    def _ours(self, texts: list[str], metadatas: list[dict] | None, ids: list[str] | None) -> list[nestvec.Document]:
        keys = [key or str(uuid.uuid4()) for key in (ids or [None] * len(texts))]
        return [
            nestvec.Document(key, text, metadata)
            for key, text, metadata in zip(keys, texts, metadatas or [{}] * len(texts), strict=True)
        ]


def _theirs(document: nestvec.Document) -> Document:
    return Document(id=document.id, page_content=document.text or "", metadata=dict(document.metadata))

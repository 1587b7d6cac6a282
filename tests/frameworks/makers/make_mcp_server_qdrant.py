"""A collection as Qdrant's MCP server makes it."""

from __future__ import annotations

import asyncio

from common import COLLECTION, given, vectors
from mcp_server_qdrant.embeddings.base import EmbeddingProvider
from mcp_server_qdrant.qdrant import Entry, QdrantConnector

folder, documents = given()


class Known(EmbeddingProvider):
    """Vectors that are known beforehand."""

    async def embed_documents(self, documents: list[str]) -> list[list[float]]:
        known = vectors()
        return [known[text] for text in documents]

    async def embed_query(self, query: str) -> list[float]:
        return (await self.embed_documents([query]))[0]

    def get_vector_name(self) -> str:
        return "fast-bge-small-en"

    def get_vector_size(self) -> int:
        return len(documents[0]["vector"])


async def main() -> None:
    """Store the documents one by one, as the server's tool does."""
    connector = QdrantConnector(None, None, COLLECTION, Known(), folder)
    for each in documents:
        await connector.store(Entry(content=each["text"], metadata=each["metadata"] or None))
    await connector._client.close()


asyncio.run(main())

"""The Jina embeddings API, and servers that speak its protocol."""

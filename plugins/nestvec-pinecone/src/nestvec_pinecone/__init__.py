"""Pinecone backend for nestvec. The entry module is `nestvec_pinecone.plugin`."""

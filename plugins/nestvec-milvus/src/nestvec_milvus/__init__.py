"""Milvus backend for nestvec."""

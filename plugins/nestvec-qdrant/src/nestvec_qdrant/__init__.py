"""Qdrant backend for nestvec."""

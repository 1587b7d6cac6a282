"""Embedding models in this process, through transformers, as embedders of nestvec."""

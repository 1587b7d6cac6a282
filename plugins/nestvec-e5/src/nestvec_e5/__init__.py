"""Embedded multilingual-e5-small for nestvec."""

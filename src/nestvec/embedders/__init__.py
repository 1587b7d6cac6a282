"""Embedders that the core brings along: those that need nothing but HTTP."""

"""Nesting: a rotation that gives useful prefixes to a model that was not trained for them."""

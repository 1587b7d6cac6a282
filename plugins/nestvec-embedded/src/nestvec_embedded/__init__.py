"""The embedded default backend for nestvec."""

"""SQLite backend for nestvec."""

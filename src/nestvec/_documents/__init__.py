"""Documents: how they lie in a database, storing, reading, searching and deleting them."""

"""A real Milvus server for tests; see `nestvec_milvus.testing.server`."""

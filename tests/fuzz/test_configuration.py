"""Configuration files: bytes that were a configuration once, and structures in its shape."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from tests.fuzz.campaigns import fuzz, ours
from tests.fuzz.inputs import OBJECTS, damaged, replaced

from nestvec.config import Config, load_config, parse_config
from nestvec_testing.registry import test_registry as registry_for_tests

WHOLE = b"""
artifacts = "here"
[limits]
document = "32 MB"
rows = 5
[backends.store]
use = "memory"
attempts = 3
deadline = 2.5
[backends.qdrant]
use = "qdrant"
url = "http://localhost:6333"
api_key = { env = "KEY" }
[backends.pinecone]
use = "pinecone"
index_host = "https://x.svc.pinecone.io"
api_key = { file = "key" }
[backends.milvus]
use = "milvus"
uri = "http://localhost:19530"
[embedders.model]
use = "recording"
price = 0.02
nesting = "0123456789abcdef"
[embedders.model.cache]
path = "cache"
size = "1 GB"
[embedders.jina]
use = "jina"
api_key = { env = "KEY" }
base_url = "http://localhost:1/v1"
timeout = 3.5
[collections.docs]
backend = "store"
embedder = "jina"
purpose = "retrieval"
dimensions = 64
metric = "cosine"
storage = "float32"
funnel = [8, 16]
oversampling = 4.0
chunking = { unit = "characters", size = 1000, overlap = 10, format = "auto" }
fields = { lang = "keyword", seen = "datetime[]" }
previous = { dimensions = 32 }
[collections.docs.qdrant]
on_disk = true
[collections.other]
backend = "qdrant"
embedder = "jina"
adopt = true
foreign = { preset = "langchain", id = "x", fields = { lang = "metadata.lang" } }
fields = { lang = "keyword" }
[collections.third]
backend = "pinecone"
embedder = "jina"
tasks = { index = "text-matching", query = "text-matching" }
"""
SMALL = b'[backends.b]\nuse = "memory"\n[embedders.e]\nuse = "recording"\n[collections.docs]\ndimensions = 32\n'
REGISTRY = registry_for_tests()


@fuzz(damaged([WHOLE, SMALL]))
def test_bytes(folder: Path, data: bytes) -> None:
    """Bytes that were a configuration file."""
    file = folder / "nestvec.toml"
    file.write_bytes(data)
    assert isinstance(ours(lambda: load_config(file, REGISTRY)), Config | None)


@fuzz(replaced(tomllib.loads(WHOLE.decode()), OBJECTS))
def test_values(folder: Path, data: Any) -> None:
    """A configuration of which some keys or values are others."""
    if isinstance(data, dict):
        ours(lambda: parse_config(data, REGISTRY, path=folder / "nestvec.toml"))


@fuzz(st.dictionaries(st.sampled_from(["backends", "embedders", "collections", "limits", "artifacts"]), OBJECTS))
def test_structures(folder: Path, data: Any) -> None:
    """Anything under the names of the tables."""
    ours(lambda: parse_config(data, REGISTRY))

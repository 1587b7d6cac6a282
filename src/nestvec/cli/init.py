"""`init`."""

from __future__ import annotations

from pathlib import Path

import click

from nestvec.cli.output import print_json, say
from nestvec.cli.session import DEFAULT_CONFIG, Session, command
from nestvec.errors import ConfigError

TEMPLATE = """\
# What nestvec works with. Check it with `nestvec doctor`; see what it would do with `nestvec plan`.

# ---- Embedders turn texts into vectors.

# The embedded default: a multilingual model in this process. No key, no server, no download.
[embedders.local]
use = "e5"

# The Jina API. A secret never stands here itself: name an environment variable, or a file.
# [embedders.jina]
# use = "jina"
# model = "jina-embeddings-v3"
# api_key = { env = "JINA_API_KEY" }

# ---- Backends keep the vectors.

# The embedded default: Qdrant in this process, one process at a time. The folder counts from this file.
[backends.local]
use = "qdrant"
path = "nestvec-data"

# A Qdrant server.
# [backends.search]
# use = "qdrant"
# url = "http://localhost:6333"
# api_key = { env = "QDRANT_API_KEY" }

# ---- Collections: one block each. `nestvec apply` creates them.

[collections.docs]
backend = "local"
embedder = "local"

# What it is for: "retrieval" (questions find texts), "matching", "clustering" or "classification".
# It decides which tasks texts and questions are embedded with.
purpose = "retrieval"

# Length of the stored vectors. Shorter is smaller and faster, and finds a little less.
dimensions = 256

# metric = "cosine"          # or "dot", "euclidean"
# late_chunking = true       # for models that offer it: each chunk knows the rest of its document
# namespaces = true          # keep tenants apart; every call then names one
# store_text = false         # keep the texts out of the database

# How documents are split.
# [collections.docs.chunking]
# size = 1000
# unit = "characters"        # or "tokens"

# Metadata fields to filter on: keyword, integer, float, boolean, datetime, or lists such as keyword[].
[collections.docs.fields]
lang = "keyword"
year = "integer"
"""


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@command
def init(session: Session, path: Path | None) -> None:
    """Write a commented configuration with the embedded default to PATH (a file or a folder).

    Without PATH it goes where --config points, which is ./nestvec.toml if nothing else is said. An existing
    file is never overwritten.
    """
    target = path if path is not None else session.path
    file = target / DEFAULT_CONFIG if target.is_dir() else target
    write(file)
    if session.json:
        print_json({"path": str(file)})
        return
    say(f"Wrote {file}.")
    option = "" if str(file) == DEFAULT_CONFIG else f" -c {file}"
    say(f"Next: nestvec{option} apply, then nestvec{option} ingest docs FILES…")


def write(file: Path) -> None:
    """Write the template. Raises `ConfigError` if the file exists or can not be written."""
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(TEMPLATE)
    except FileExistsError as error:
        raise ConfigError(f"{file} exists already and was left alone; remove it first, or name another path") from error
    except OSError as error:
        raise ConfigError(f"{file} can not be written: {error.strerror or error}; name another path") from error

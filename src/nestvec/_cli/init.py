"""`init`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nestvec._cli.invocation import DEFAULT_CONFIG, Invocation, command
from nestvec._cli.output import print_json, say
from nestvec.errors import ConfigError

if TYPE_CHECKING:
    from nestvec.registry import Registry

TEMPLATE = """\
# What nestvec works with. Check it with `nestvec doctor`; see what it would do with `nestvec plan`.

# ---- Embedders turn texts into vectors.

# {embedder_summary}
[embedders.local]
{embedder}

# Keep its vectors on disk, too, so that no text is embedded twice. Needs pip install 'nestvec[cache]'.
# [embedders.local.cache]
# path = "nestvec-cache"
# size = "1 GB"
{embedder_examples}
# A secret never stands here itself: api_key = {{ env = "NAME" }}, or {{ file = "path" }}.

# ---- Backends keep the vectors.

# The embedded default, one process at a time; a relative path counts from this file's folder.
[backends.local]
{backend}
{backend_examples}
# ---- Collections: one block each. `nestvec apply` creates them.

[collections.docs]
backend = "local"
embedder = "local"

# What it is for: "retrieval" (questions find texts), "matching", "clustering" or "classification".
# It decides which tasks texts and questions are embedded with.
purpose = "retrieval"

# Length of the stored vectors. Shorter is smaller and faster, and finds a little less.
dimensions = {dimensions}

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
_DIMENSIONS = 256


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@command
def init(invocation: Invocation, path: Path | None) -> None:
    """Write a commented configuration with the embedded default to PATH (a file or a folder).

    Without PATH it goes where --config points, which is ./nestvec.toml if nothing else is said. An existing
    file is never overwritten.
    """
    target = path if path is not None else invocation.path
    file = target / DEFAULT_CONFIG if target.is_dir() else target
    write(file, template(invocation.runtime.registry))
    if invocation.json:
        print_json({"path": str(file)})
        return
    say(f"Wrote {file}.")
    option = "" if str(file) == DEFAULT_CONFIG else f" -c {file}"
    say(f"Next: nestvec{option} apply, then nestvec{option} ingest docs FILES…")


def template(registry: Registry) -> str:
    """A configuration on the embedded default that is installed, and what else the installed plugins offer."""
    from nestvec._client.configuring import default_plugins
    from nestvec.registry import BACKENDS, EMBEDDERS

    backend, embedder = default_plugins(registry)
    model = embedder.capabilities(embedder.options(**embedder.embedded))
    return TEMPLATE.format(
        embedder=_block(embedder.name, embedder.embedded),
        embedder_summary=embedder.summary,
        embedder_examples=_examples(registry.embedder(name) for name in registry.names(EMBEDDERS)),
        backend=_block(backend.name, backend.embedded(Path("nestvec-data"))),
        backend_examples=_examples(registry.backend(name) for name in registry.names(BACKENDS)),
        dimensions=min(_DIMENSIONS, model.dimensions),
    )


def _block(name: str, options: Mapping[str, Any]) -> str:
    lines = {"use": name, **options}
    return "\n".join(f"{key} = {json.dumps(value, default=str)}" for key, value in lines.items())


def _examples(plugins: Iterable[Any]) -> str:
    offers = (["", plugin.summary, *plugin.example.strip().splitlines()] for plugin in plugins if plugin.example)
    return "".join(f"# {line}\n" if line else "\n" for lines in offers for line in lines)


def write(file: Path, text: str) -> None:
    """Write the file. Raises `ConfigError` if it exists or cannot be written."""
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise ConfigError(f"{file} exists already and was left alone; remove it first, or name another path") from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror or error}; name another path") from error

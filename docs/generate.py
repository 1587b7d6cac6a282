"""Write the reference pages that come from the code; with --check, fail if they are not up to date."""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from contract_reference import BEGIN, END, contract_chapters
from python_reference import async_page, python_page

from nestvec._cli.plugins import forms_of
from nestvec.capabilities import BackendCapabilities, Power
from nestvec.config.additions import CacheBlock, NestingBlock, RetryBlock
from nestvec.config.blocks import (
    ChunkingBlock,
    CollectionBlock,
    FileBlock,
    ForeignBlock,
    LimitsBlock,
    TasksBlock,
)
from nestvec.registry import BACKENDS, EMBEDDERS, default_registry

BACKEND_NAMES = ("embedded", "milvus", "pinecone", "qdrant")
EMBEDDER_NAMES = ("e5", "jina", "sagemaker", "sentence-transformers", "transformers")
HERE = Path(__file__).parent / "reference"
_ARTIFACTS = FileBlock.model_fields["artifacts"].default
NOTE = "<!-- Written by docs/generate.py from the code; edit the docstrings instead. -->"


def configuration_page() -> str:
    """Every key of the configuration file."""
    registry = default_registry()
    parts = [
        NOTE,
        "# Configuration",
        "",
        "A TOML file with the tables `[embedders.NAME]`, `[backends.NAME]`, `[collections.NAME]` and `[limits]`.",
        "Unknown keys are errors; all errors of a file are reported at once. Secrets are references:",
        '`{ env = "NAME" }` or',
        '`{ file = "path" }`, read when the component that needs them opens. Relative paths count from the file\'s',
        "folder. `nestvec config schema` prints the JSON Schema for your editor.",
        "",
        f"One key stands above the tables: `artifacts`, the folder of nesting rotations (default `{_ARTIFACTS}`).",
        "",
        "## `[collections.NAME]`",
        "",
        *_table(CollectionBlock),
        "",
        "`fields` maps names to `keyword`, `integer`, `float`, `boolean`, `datetime`, or a list of them: `keyword[]`.",
        "",
        "### `tasks`",
        "",
        *_table(TasksBlock),
        "",
        "### `chunking`",
        "",
        *_table(ChunkingBlock),
        "",
        "### `foreign`",
        "",
        "With `adopt = true`; see [how to adopt](../how-to/adopt.md).",
        "",
        *_table(ForeignBlock),
        "",
        "## `[embedders.NAME.cache]`",
        "",
        "For an embedder of any plugin; see [how to cache embeddings](../how-to/cache-embeddings.md).",
        "",
        *_table(CacheBlock),
        "",
        "## `[embedders.NAME.nesting]`",
        "",
        'For an embedder of any plugin, or shorter: `nesting = "FINGERPRINT"`; see',
        "[how to nest a model](../how-to/nest-a-model.md).",
        "",
        *_table(NestingBlock),
        "",
        "## `[limits]`",
        "",
        "For the files that `ingest`, `migrate`, `nest` and `dimensions` read. Reaching a limit is one failure that",
        "names the file and the key. A configuration file has at most 1 MB and 16 levels, a secret 64 kB, certificates",
        "16 MB. Pipes, devices and sockets are not read: lead what comes out of them to standard input.",
        "",
        *_table(LimitsBlock),
        "",
        "## `[backends.NAME]`",
        "",
        "For a backend of any plugin: how requests to it are repeated. `timeout`, where a backend has it, is for one",
        "attempt.",
        "",
        *_table(RetryBlock),
    ]
    for group, load in ((EMBEDDERS, registry.embedder), (BACKENDS, registry.backend)):
        for name in EMBEDDER_NAMES if group == EMBEDDERS else BACKEND_NAMES:
            plugin = load(name)
            parts += ["", f'## `use = "{name}"`', "", plugin.summary, "", *_table(plugin.options)]
            own = getattr(plugin, "collection_options", None)
            if own is not None:
                parts += ["", f"### `[collections.NAME.{name}]`", "", *_table(own)]
    return "\n".join(parts) + "\n"


def _table(model: Any) -> list[str]:
    rows = ["| key | type | default | |", "|---|---|---|---|"]
    properties = model.model_json_schema().get("properties", {})
    for key, field in model.model_fields.items():
        kind = _kind(properties.get(key, {}))
        default = (
            ""
            if field.is_required() or field.default is None
            else f"`{_plain(field.get_default(call_default_factory=True))}`"
        )
        rows.append(f"| `{key}` | {kind} | {default} | {field.description or ''} |")
    return rows


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_kind(part) for part in schema["anyOf"] if part.get("type") != "null")
    if "$ref" in schema:
        return schema["$ref"].rsplit("/", 1)[-1].removesuffix("Block").lower()
    return {"object": "table", "integer": "whole number", "boolean": "true or false"}.get(
        schema.get("type", ""), schema.get("type", "")
    )


def _plain(value: Any) -> str:
    if hasattr(value, "model_dump"):
        return "{}"
    return json.dumps(value, default=str)


def capabilities_page() -> str:
    """What each backend declares that it can do, in each of its forms."""
    declared: dict[str, dict[str, Any]] = {}
    for name in BACKEND_NAMES:
        declared |= forms_of(default_registry().backend(name))
    rows = [f"| | {' | '.join(declared)} |", f"|---|{'---|' * len(declared)}"]
    for power in Power:
        cells = [_cell(power in values["powers"]) for values in declared.values()]
        rows.append(f"| power `{power}` | {' | '.join(cells)} |")
    for field in fields(BackendCapabilities):
        if field.name not in ("names", "powers"):
            cells = [_cell(values[field.name]) for values in declared.values()]
            rows.append(f"| `{field.name}` | {' | '.join(cells)} |")
    intro = (
        "What the backends declare, before connecting; what a server really can is asked of it (`nestvec doctor`). "
        "`nestvec plugins --capabilities --json` prints the same for every installed plugin. What each row means: "
        "`nestvec.capabilities.BackendCapabilities`. A power is what the database has of its own; what there is "
        "without it, [the contract](hooks.md#powers) says. Limits are inclusive, sizes in bytes; empty: no limit known."
    )
    return "\n".join([NOTE, "# Capabilities", "", intro, "", *rows]) + "\n"


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, dict):
        return "; ".join(f"{key}: {item}" for key, item in value.items())
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def hooks_page() -> str:
    """The page as it is written, with the contract's chapters made anew."""
    text = (HERE / "hooks.md").read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    return before + contract_chapters() + rest.partition(END)[2]


PAGES = {
    "hooks.md": hooks_page,
    "python.md": lambda: f"{NOTE}\n{python_page()}",
    "python-async.md": lambda: f"{NOTE}\n{async_page()}",
    "configuration.md": configuration_page,
    "capabilities.md": capabilities_page,
}


def main() -> int:
    """Write or check every page."""
    stale = []
    for name, make in PAGES.items():
        path, text = HERE / name, make()
        if "--check" not in sys.argv:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        print(f"out of date: {', '.join(stale)}; run `make docs`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())

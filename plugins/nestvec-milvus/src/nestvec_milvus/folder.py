"""A folder of Milvus Lite's, looked at before the engine opens it.

Its files are data: Parquet, Arrow, JSON. But the engine goes wherever its manifests say that files are, and removes
them there when it merges them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from nestvec.errors import BackendRefused
from nestvec.folders import Untrusted, check_tree, leads_out

_ADVICE: Final = "nothing was changed; restore it from a copy that you trust, or choose another path"


def check_folder(folder: Path, place: str) -> None:
    """Raises `BackendRefused` for links, pipes and devices below a folder, and for names that lead out of it."""
    try:
        check_tree(folder)
    except Untrusted as error:
        raise BackendRefused(f"{place} is not as Milvus Lite leaves it: {error}") from error
    for path, name in _names(folder, place):
        if leads_out(name):
            raise BackendRefused(
                f"{place} is not as Milvus Lite leaves it: {path.relative_to(folder)} names {name!r:.100}, which would "
                f"lie outside of its folder; {_ADVICE}"
            )


def _names(folder: Path, place: str) -> Iterator[tuple[Path, str]]:
    """What the engine makes paths of, and the file that says so."""
    for path in sorted(folder.rglob("manifest.json*")):
        yield from ((path, name) for name in _of_manifest(_read(path, place)))
    for path in sorted(folder.rglob("aliases.json*")):
        yield from ((path, name) for name in _strings(_read(path, place)))


def _of_manifest(manifest: Any) -> Iterator[str]:
    partitions = manifest.get("partitions") if isinstance(manifest, dict) else None
    yield from _strings(partitions)
    specs = manifest.get("index_specs") if isinstance(manifest, dict) else None
    yield from specs if isinstance(specs, dict) else ()


def _strings(value: Any) -> Iterator[str]:
    """Every key and every string, at whatever depth."""
    rest = [value]
    while rest:
        match rest.pop():
            case str() as text:
                yield text
            case list() as items:
                rest += items
            case dict() as table:
                rest += [*table.keys(), *table.values()]


def _read(path: Path, place: str) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        if path.suffix != ".json":
            return None  # a copy that the engine takes where the file itself is damaged
        raise BackendRefused(
            f"{place} is damaged, or not Milvus Lite's ({path.name}: {type(error).__name__}); {_ADVICE}"
        ) from error

"""`cache status` and `cache clear`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nestvec._cli.invocation import Invocation, command
from nestvec._cli.output import amount, megabytes, print_json, say, table
from nestvec.errors import ConfigError

if TYPE_CHECKING:
    from nestvec._caching.disk import CacheState

_NONE = "No embedder of the configuration has a cache."


@dataclass(slots=True)
class Folder:
    """A folder that embedders of the configuration cache in."""

    path: Path
    size: int
    embedders: list[str] = field(default_factory=list)

    def inspect(self) -> CacheState:
        """What it holds."""
        from nestvec._caching.disk import inspect

        return inspect(self.path, self.size)

    def clear(self) -> int | None:
        """Empty it. Raises `ConfigError`."""
        from nestvec._caching.disk import clear

        return clear(self.path, self.size)

    def to_dict(self) -> dict[str, Any]:
        """As it begins in JSON output."""
        return {"path": str(self.path), "embedders": self.embedders, "size": self.size}


@click.group()
def cache() -> None:
    """The vectors that embedders keep on disk: how many there are, and how to be rid of them."""


@cache.command()
@command
def status(invocation: Invocation) -> None:
    """Show what each cache of the configuration holds."""
    folders = _folders(invocation, ())
    states = [(folder, folder.inspect()) for folder in folders]
    if invocation.json:
        print_json({"caches": [folder.to_dict() | _state_json(state) for folder, state in states]})
        return
    if not states:
        say(_NONE)
        return
    rows = [
        (", ".join(folder.embedders), f"{state.vectors:,}", megabytes(state.used), megabytes(folder.size), folder.path)
        for folder, state in states
    ]
    say(table(("embedders", "vectors", "used", "size", "path"), rows))
    for folder, state in states:
        if state.problem is not None:
            say(f"{folder.path} cannot be used: {state.problem}")


def _state_json(state: CacheState) -> dict[str, Any]:
    return {"vectors": state.vectors, "bytes": state.used, "problem": state.problem}


@cache.command()
@click.argument("embedders", nargs=-1)
@command
def clear(invocation: Invocation, embedders: tuple[str, ...]) -> None:
    """Remove all cached vectors (or only those of the named EMBEDDERS, and of whoever shares their folders).

    Collections are not touched. Other processes may use the cache meanwhile.
    """
    removed = [(folder, folder.clear()) for folder in _folders(invocation, embedders)]
    if invocation.json:
        print_json({"caches": [folder.to_dict() | {"removed": count} for folder, count in removed]})
        return
    if not removed:
        say(_NONE)
    for folder, count in removed:
        what = "a damaged database" if count is None else amount(count, "vector")
        say(f"{what} removed from {folder.path}")


def _folders(invocation: Invocation, names: Sequence[str]) -> list[Folder]:
    """The folders, each once. Raises `ConfigError` for a named embedder that has none."""
    from nestvec.config.problems import did_you_mean

    config = invocation.load()
    folders: dict[Path, Folder] = {}
    for name, connection in config.embedders.items():
        block = connection.cache
        if block is not None:
            folders.setdefault(block.path, Folder(block.path, block.size)).embedders.append(name)
    cached = [name for folder in folders.values() for name in folder.embedders]
    for name in names:
        if name not in cached:
            raise ConfigError(f"there is no [embedders.{name}.cache]{did_you_mean(name, cached)}")
    return [folder for folder in folders.values() if not names or set(names) & set(folder.embedders)]

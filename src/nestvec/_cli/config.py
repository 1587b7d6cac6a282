"""`config schema` and `config check`."""

from __future__ import annotations

import click

from nestvec._cli.invocation import Invocation, command
from nestvec._cli.output import amount, print_json, say


@click.group()
def config() -> None:
    """The configuration file: its JSON Schema, and whether it is valid."""


@config.command()
@command
def schema(invocation: Invocation) -> None:
    """Print the file's JSON Schema, with the options of every installed plugin (--json is implied)."""
    from nestvec.config import json_schema

    print_json(json_schema(invocation.registry), indent=None if invocation.json else 2)


@config.command()
@command
def check(invocation: Invocation) -> None:
    """Read the file as every command does: nothing is opened, and no secret read."""
    loaded = invocation.load()
    counts = {
        "backends": len(loaded.backends),
        "embedders": len(loaded.embedders),
        "collections": len(loaded.collections),
    }
    if invocation.json:
        print_json({"valid": True, "path": str(invocation.path), **counts})
    else:
        listed = ", ".join(amount(number, name.removesuffix("s")) for name, number in counts.items())
        say(f"{invocation.path} is valid: {listed}")

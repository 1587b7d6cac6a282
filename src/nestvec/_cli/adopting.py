"""`adopt`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nestvec._cli.invocation import Invocation, command
from nestvec._cli.output import amount, clean, print_json, say

if TYPE_CHECKING:
    from nestvec._collections.looking import ForeignLook


@click.command()
@click.argument("collection")
@click.option("--look", is_flag=True, required=True, help="Look at it, and print the block that would adopt it.")
@click.option("--backend", metavar="NAME", help="The block of the backend that has it; default: the only one.")
@click.option("--vector", metavar="NAME", help="The vector that is meant, where it has several.")
@click.option("--namespace", metavar="NAME", help="The part that is meant, on backends that have such.")
@command
def adopt(
    invocation: Invocation,
    collection: str,
    look: bool,  # noqa: ARG001 - the only thing that this does: adopting itself is done by `apply`
    backend: str | None,
    vector: str | None,
    namespace: str | None,
) -> None:
    """Look at COLLECTION, which somebody else made, and print the block to paste into the configuration.

    A sample of its records is read. Nothing is changed: `nestvec apply` adopts what the configuration says.
    """
    with invocation.connect() as nv:
        found = nv.look(collection, backend=backend, vector=vector, namespace=namespace)
    if invocation.json:
        print_json(found.to_dict())
    else:
        _show(found)


def _show(found: ForeignLook) -> None:
    """Everything but the block is a comment, so that the output may be appended to a file."""
    made = f"as {found.preset} lays them out" if found.preset else "in a layout that no preset knows: check the names"
    say(f"# {clean(found.collection)}: {amount(found.records, 'record')}, {made}")
    for name, kinds in found.names.items():
        say(f"#   {clean(name)}: {', '.join(kinds)}")
    for each in found.unread:
        say(f"# not read: {clean(each)}")
    say(found.block.rstrip())

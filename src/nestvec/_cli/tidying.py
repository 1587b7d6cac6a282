"""`generations` and `cleanup`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from nestvec._cli.invocation import Invocation, command
from nestvec._cli.output import amount, clean, confirm, print_json, say, table

if TYPE_CHECKING:
    from nestvec._migration.tidy import GenerationStatus, Removal

_HEADERS = ("collection", "backend", "no.", "physical", "state", "model", "dimensions", "storage", "chunks", "since")


@click.command()
@click.argument("collections", nargs=-1)
@command
def generations(invocation: Invocation, collections: tuple[str, ...]) -> None:
    """Show the generations of all collections, or of those named: what migrations made and left.

    They are looked for on a collection's backend, and on that of [collections.NAME.previous].
    """
    with invocation.connect() as nv:
        found = nv.generations(*collections)
    if invocation.json:
        print_json({"generations": [each.to_dict() for each in found]})
    elif not found:
        say("Nothing is there yet: `nestvec apply` creates collections.")
    else:
        say(table(_HEADERS, [_row(each) for each in found]))


def _row(each: GenerationStatus) -> list[str]:
    return [
        each.collection,
        each.backend,
        str(each.generation),
        each.physical,
        each.role.value,
        each.model or "?",
        str(each.dimensions or "?"),
        each.storage or "?",
        f"{each.chunks:,}",
        each.since.isoformat(timespec="seconds") if each.since is not None else "",
    ]


@click.command()
@click.argument("collection")
@click.option("--generation", type=int, metavar="N", help="This one alone, even if a migration would go on with it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
def cleanup(invocation: Invocation, collection: str, generation: int | None, yes: bool) -> int:
    """Remove what migrations left of COLLECTION: the generations before, and what was broken off.

    Shows what would be removed, and asks. The live generation is never removed, nor one that readers may still be on.
    Afterwards `nestvec rollback` cannot go back to what is gone.
    """
    if invocation.json and not yes:
        raise click.UsageError("--json does not ask: say --yes, too.")
    with invocation.connect() as nv:
        agreed = None
        if not yes:
            due = nv.cleanup(collection, generation=generation, dry=True)
            show_removals(due, "would be removed")
            agreed = [each.generation for each in due if each.removed]
            if not agreed:
                return 0
            _ask(collection)
        done = nv.cleanup(collection, generation=generation, among=agreed)
    if invocation.json:
        print_json({"collection": collection, "generations": [each.to_dict() for each in done]})
    else:
        show_removals(done, "removed")
    return 0


def _ask(collection: str) -> None:
    """Ends the command unless somebody says yes."""
    if not somebody_there():
        raise click.UsageError("nobody can be asked here: say --yes to remove them.")
    confirm(f"Remove them? There is no way back for {clean(collection)} afterwards, and no copy")


def somebody_there() -> bool:
    """Whether standard input is a terminal."""
    return sys.stdin.isatty()


def show_removals(removals: Sequence[Removal], word: str) -> None:
    """A line for each generation: what was done with it, or would be."""
    if not removals:
        say("nothing to remove: there is only the live generation")
    for each in removals:
        what = each.generation
        size = amount(what.chunks, "chunk")
        why = "" if each.reason == what.role.value else f": {each.reason}"
        mark, done = ("-", word) if each.removed else ("=", "stays")
        say(f"{mark} {what.physical} on backend {what.backend} ({what.role.value}, {size}) {done}{why}")

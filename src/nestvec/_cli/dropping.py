"""`drop`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nestvec._cli.invocation import Invocation, command
from nestvec._cli.output import amount, clean, confirm, print_json, say
from nestvec._cli.tidying import show_removals, somebody_there

if TYPE_CHECKING:
    from nestvec._migration.dropping import DropReport


@click.command()
@click.argument("collection")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only show what would go.")
@command
def drop(invocation: Invocation, collection: str, yes: bool, dry_run: bool) -> int:
    """Remove COLLECTION with all its documents: every generation, its alias and its notes.

    Shows what goes, and asks. There is no way back: `nestvec export` keeps a copy. Of an adopted collection only
    nestvec's record goes, and what others wrote stays. The configuration is left as it is. Refused while a migration is
    at work.
    """
    if invocation.json and not (yes or dry_run):
        raise click.UsageError("--json does not ask: say --yes, or --dry-run, too.")
    with invocation.connect() as nv:
        agreed = None
        if dry_run or not yes:
            due = nv.drop(collection, dry=True)
            agreed = [each.generation for each in due.generations]
            if not invocation.json:
                _show(due, "would be removed")
        if not (dry_run or yes):
            _ask(due)
        report = due if dry_run else nv.drop(collection, among=agreed)
    if invocation.json:
        print_json(report.to_dict())
    elif not dry_run:
        _show(report, "removed")
    return 0 if report.done else 1


def _ask(due: DropReport) -> None:
    """Ends the command unless somebody says yes."""
    if not somebody_there():
        raise click.UsageError("nobody can be asked here: say --yes to drop it.")
    if due.adopted is not None:
        confirm(f"Remove nestvec's record of {clean(due.adopted)}? It can be adopted again afterwards")
        return
    confirm(f"Drop {clean(due.collection)} with {amount(due.documents, 'document')}? There is no way back, and no copy")


def _show(report: DropReport, word: str) -> None:
    name = clean(report.collection)
    if report.adopted is not None:
        say(
            f"- nestvec's record of {clean(report.adopted)} on backend {clean(report.backend)} {word}; the collection "
            f"itself is somebody else's and stays, with {amount(report.documents, 'record')}"
        )
        return
    show_removals(report.generations, word)
    say(f"- the alias {name} on backend {clean(report.backend)}, and {amount(report.documents, 'document')} {word}")

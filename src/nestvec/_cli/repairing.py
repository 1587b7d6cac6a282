"""`repair`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nestvec._cli.invocation import Invocation, command
from nestvec._cli.manage import open_collection
from nestvec._cli.output import amount, clean, print_json, say, warn
from nestvec._cli.progress import progress

if TYPE_CHECKING:
    from nestvec._client.sync_collection import Collection
    from nestvec._documents.repair import RepairProgress, RepairReport

_NAMED = 5


@click.command()
@click.argument("collections", metavar="[COLLECTION]...", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Change nothing, only tell what is not in order.")
@click.option("--namespace", metavar="NAME", help="One tenant only; otherwise all of them.")
@command
def repair(invocation: Invocation, collections: tuple[str, ...], dry_run: bool, namespace: str | None) -> int:
    """Find and remove what writers left that died or met: of all collections, or of those named.

    Reads every record, and is safe beside writers. Exits with 1 where something is left that only ingesting again puts
    right: documents that are not whole, records without their text; with --dry-run also where any would be removed.
    """
    with invocation.connect() as nv:
        names = collections or tuple(name for name, spec in nv.config.collections.items() if spec.foreign is None)
        reports = {name: _repaired(open_collection(nv, name, namespace), dry_run=dry_run) for name in names}
    if invocation.json:
        print_json({"collections": [{"collection": name, **report.to_dict()} for name, report in reports.items()]})
    else:
        for name, report in reports.items():
            _show(name, report)
    return 0 if all(report.sound for report in reports.values()) else 1


def _repaired(collection: Collection, *, dry_run: bool) -> RepairReport:
    with progress(None, unit=" records", noun="record", verb="read") as shown:

        def hear(step: RepairProgress) -> None:
            shown.advance(step.seen, step.seen)

        return collection.repair(dry_run=dry_run, progress=hear)


def _show(name: str, report: RepairReport) -> None:
    done = "would be removed" if report.dry_run else "removed"
    say(f"{clean(name)}: {amount(report.documents, 'document')}, {amount(report.records, 'record')} read")
    if report.leftovers:
        say(f"  {amount(report.leftovers, 'record')} of no document's current version {done}")
    if report.intents:
        say(f"  {amount(report.intents, 'intent')} of dead writers {done}")
    if report.in_progress:
        say(f"  {amount(report.in_progress, 'record')} being written, left alone")
    for note in report.notes:
        say(f"  {clean(note)}")
    if not (report.leftovers or report.intents or report.in_progress or report.notes):
        say("  nothing to repair")
    if report.torn:
        shown = ", ".join(clean(key) for key in report.torn[:_NAMED])
        more = f", and {len(report.torn) - _NAMED} more" if len(report.torn) > _NAMED else ""
        warn(f"{clean(name)}: not whole, ingest them again: {shown}{more}")
    if report.without_text:
        warn(f"{clean(name)}: {amount(report.without_text, 'record')} without text; ingest their documents again")

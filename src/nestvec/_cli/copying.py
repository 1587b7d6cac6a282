"""`copy`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nestvec._cli.invocation import Invocation, command
from nestvec._cli.output import amount, clean, print_json, say
from nestvec._cli.progress import progress

if TYPE_CHECKING:
    from nestvec._migration.copy import CopyProgress


@click.command("copy")
@click.argument("source")
@click.argument("target")
@click.option("--namespace", metavar="NAME", help="Copy only this one; default: all, one after the other.")
@command
def copy_collection(invocation: Invocation, source: str, target: str, namespace: str | None) -> None:
    """Copy the collection SOURCE into TARGET, which may be on another backend. Nothing is embedded.

    Both stand in the configuration and share one embedding space. TARGET is created if it is not there. Records
    that it has already are left alone, so an interrupted copy goes on when it is started again. At the end the
    counts and a sample are compared.
    """
    with invocation.connect() as nv, progress(None, unit=" records", noun="record", verb="copied") as shown:

        def advance(state: CopyProgress) -> None:
            shown.advance(state.written + state.unchanged, state.written)

        report = nv.copy(source, target, namespace=namespace, progress=advance)
    if invocation.json:
        values = {"source": source, "target": target, "records": report.records, "written": report.written}
        counts = {"unchanged": report.unchanged, "verified": report.verified}
        print_json({**values, **counts, "unread": list(report.unread), "leftovers": report.leftovers})
        return
    say(
        f"{amount(report.records, 'record')} in {clean(target)}: {report.written:,} copied, {report.unchanged:,} were "
        f"there already; {report.verified:,} compared with {clean(source)}"
    )
    if report.leftovers:
        say(
            f"{amount(report.leftovers, 'record')} of no document's current version not copied; nestvec repair "
            f"removes them from {clean(source)}"
        )
    for each in report.unread:
        say(f"not copied, for nestvec does not read it: {clean(each)}")

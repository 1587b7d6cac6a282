"""`export` and `import`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from nestvec._cli.invocation import Invocation, command
from nestvec._cli.manage import open_collection
from nestvec._cli.output import amount, clean, print_json, say, warn
from nestvec._cli.progress import progress

if TYPE_CHECKING:
    from nestvec.types import Report


@click.command("export")
@click.argument("collection")
@click.argument("file")
@click.option("--namespace", metavar="NAME", help="The tenant whose documents are meant.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@command
def export_collection(invocation: Invocation, collection: str, file: str, namespace: str | None, force: bool) -> None:
    """Write the documents of COLLECTION into FILE (*.jsonl or *.parquet): texts, metadata, vectors and their space.

    The file is there when all is written, and holds a checksum of it. `nestvec import` stores it, here or elsewhere.
    """
    with invocation.connect() as nv, progress(None, unit=" documents", noun="document", verb="written") as shown:
        target = open_collection(nv, collection, namespace)
        report = target.export_to(file, overwrite=force, progress=lambda done: shown.advance(done, done))
    if invocation.json:
        print_json({"collection": collection, **asdict(report)})
    else:
        say(f"{amount(report.documents, 'document')} ({amount(report.chunks, 'chunk')}) written to {clean(file)}")


@click.command("import")
@click.argument("collection")
@click.argument("file")
@click.option("--namespace", metavar="NAME", help="The tenant that the documents belong to.")
@command
def import_collection(invocation: Invocation, collection: str, file: str, namespace: str | None) -> int:
    """Store in COLLECTION what `nestvec export` wrote into FILE. Nothing is embedded.

    The whole file is checked first, its space among it. What is there already is left alone, so an interrupted import
    goes on when it is started again.
    """
    done = 0
    with invocation.connect() as nv, progress(None, unit=" documents", noun="document", verb="stored") as shown:
        target = open_collection(nv, collection, namespace)

        def advance(report: Report) -> None:
            nonlocal done
            done += report.documents
            shown.advance(done, done)

        report = target.import_from(file, on_failure="report", progress=advance)
    failed = [asdict(each) for each in report.failed]
    if invocation.json:
        counts = {"documents": report.documents, "written": report.given, "unchanged": report.unchanged}
        print_json({"collection": collection, **counts, "failed": failed})
    else:
        say(
            f"{amount(report.documents, 'document')} in {clean(collection)}: {amount(report.given, 'chunk')} written, "
            f"{report.unchanged:,} were there already"
        )
    for each in report.failed:
        warn(f"error: {clean(each.error)}")
    return 1 if report.failed else 0

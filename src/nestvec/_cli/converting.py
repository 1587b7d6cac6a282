"""`convert`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nestvec._cli.invocation import Invocation, command
from nestvec._cli.output import amount, clean, print_json, say
from nestvec._cli.progress import progress

if TYPE_CHECKING:
    from nestvec._migration.copy import CopyProgress


@click.command("convert")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--from", "source", metavar="BACKEND", help="What made OLD; default: told by what is in it.")
@click.option("--to", metavar="BACKEND", help="What NEW is for; default: the embedded default.")
@click.option("--leave-foreign", is_flag=True, help="Leave out collections that other programs made.")
@command
def convert_store(
    invocation: Invocation, old: Path, new: Path, source: str | None, to: str | None, leave_foreign: bool
) -> None:
    """Convert the folder OLD of an embedded store into the folder NEW of another backend. Nothing is embedded.

    All generations are carried, with their records, vectors, namespaces, notes and aliases, and compared at the end.
    OLD is only read. NEW must not be there, and appears when all is done. The configuration is left as it is: the last
    line says what to change in it.
    """
    from nestvec._client.configuring import default_backend
    from nestvec._client.converting import convert_store as convert

    with progress(None, unit=" records", noun="record", verb="carried") as shown:

        def advance(state: CopyProgress) -> None:
            shown.advance(state.written, state.written)

        report = convert(
            old,
            new,
            source=source,
            to=to,
            leave_foreign=leave_foreign,
            progress=advance,
            runtime=invocation.runtime,
        )
    name = to if to is not None else default_backend(invocation.registry).name
    if invocation.json:
        print_json({**asdict(report), "use": name, "path": str(new)})
        return
    for each in report.left:
        say(f"left out, for another program made it: {clean(each)}")
    say(
        f"{amount(report.records, 'record')} of {amount(len(report.collections), 'collection')} carried to "
        f"{clean(str(new))} and compared; {clean(str(old))} is as it was"
    )
    say(f'in the configuration, write: use = "{clean(name)}", path = "{clean(str(new))}"')

"""`convert`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import click

from nestvec._cli.invocation import Invocation, command
from nestvec._cli.output import amount, clean, print_json, say, warn
from nestvec._cli.progress import Progress, progress

if TYPE_CHECKING:
    from nestvec._migration.converting import ConversionProgress, ConversionReport, ConversionStage

_VERBS = {"converting": "converted", "comparing": "compared"}


@click.command("convert")
@click.argument("old", metavar="OLD_FOLDER")
@click.argument("new", metavar="NEW_FOLDER")
@click.option("--to", metavar="BACKEND", help="What the new store is for; default: the default backend.")
@click.option("--from", "source", metavar="BACKEND", help="What made the old one; default: told by looking at it.")
@click.option("--leave-foreign", is_flag=True, help="Leave out collections that other programs made.")
@command
def convert(
    invocation: Invocation, old: str, new: str, to: str | None, source: str | None, leave_foreign: bool
) -> None:
    """Convert the embedded store in OLD_FOLDER into one of another backend in NEW_FOLDER. Nothing is embedded.

    All generations of all collections are brought over, with tenants, aliases and notes, and compared record by record.
    NEW_FOLDER is there when all is done; OLD_FOLDER is only read. Needs no configuration. Stop whoever writes first.
    """
    from nestvec._client.converting import convert_store

    with _Stages() as shown:
        report = convert_store(
            old,
            new,
            to=to,
            source=source,
            leave_foreign=leave_foreign,
            progress=shown.hear,
            runtime=invocation.runtime,
        )
    if invocation.json:
        print_json(report.to_dict())
    else:
        _show(report, old)


class _Stages:
    """One line of progress for each stage."""

    def __init__(self) -> None:
        self._stage: ConversionStage | None = None
        self._shown: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._shown is not None:
            self._shown.close()

    def hear(self, state: ConversionProgress) -> None:
        """Show it."""
        if self._shown is None or state.stage is not self._stage:
            self.__exit__()
            verb = _VERBS[state.stage.value]
            self._stage, self._shown = state.stage, progress(state.total, unit=" records", noun="record", verb=verb)
        self._shown.advance(state.done, state.done)


def _show(report: ConversionReport, old: str) -> None:
    if report.replaced is not None:
        warn(f"removed {clean(report.replaced)}, which an interrupted conversion had left")
    for each in report.collections:
        tenants = f" of {amount(each.tenants, 'tenant')}" if each.tenants else ""
        say(f"- {clean(each.physical)}: {amount(each.records, 'record')}{tenants}")
    for name in report.left_out:
        say(f"- {clean(name)}: left out, other programs made it")
    say(
        f"{amount(report.records, 'record')} converted from {clean(report.source)} to {clean(report.target)}, and "
        f"compared. {clean(old)} is still there. Now write into the backend's block of the configuration, whose name "
        f"stays:",
        *(f"  {line}" for line in report.config.splitlines()),
    )
    if report.renamed:
        say(
            f"But a block that is called {clean(report.source)} must be called {clean(report.target)} from now on: "
            f"that is the backend's name without a configuration, and migrations note it."
        )

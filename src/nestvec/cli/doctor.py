"""`doctor`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from nestvec.cli.output import print_json, say
from nestvec.cli.session import Session, command

if TYPE_CHECKING:
    from nestvec.cli.checks import Check

_MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


@click.command()
@command
def doctor(session: Session) -> int:
    """Check the installation and the configuration, and say how to mend what is wrong.

    Opens every backend and embedder, and embeds one text for each task. Without a configuration file the
    embedded default is checked. Exits with 1 if anything fails.
    """
    from nestvec.cli.checks import examine

    checks: list[Check] = []
    for check in examine(session):
        checks.append(check)
        if not session.json:
            _show(check)
    counted: Counter[str] = Counter(check.status for check in checks)
    if session.json:
        print_json({"checks": [check.to_dict() for check in checks], "healthy": not counted["fail"]})
    else:
        say(_verdict(counted, checks))
    return 1 if counted["fail"] else 0


def _show(check: Check) -> None:
    detail = check.detail.replace("\n", "\n       ")
    say(f"{_MARKS[check.status]}  {check.subject}: {detail}")
    if check.mend:
        say(f"      → {check.mend}")


def _verdict(counted: Counter[str], checks: Sequence[Check]) -> str:
    if not counted["fail"] and not counted["warn"]:
        return f"\nAll {len(checks)} checks are fine."
    return f"\n{len(checks)} checks: {counted['ok']} ok, {counted['warn']} to look at, {counted['fail']} failed."

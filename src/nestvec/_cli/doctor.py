"""`doctor`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from nestvec._cli.invocation import Invocation, command
from nestvec._cli.output import print_json, say

if TYPE_CHECKING:
    from nestvec._cli.checks import Check
    from nestvec._cli.embedder_checks import EmbedderProbe

_MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


@click.command()
@click.option("--embedder", metavar="NAME", help="Examine this embedder only, and thoroughly.")
@click.option("--against", metavar="NAME", help="Compare it with this one: may a collection be embedded by either?")
@command
def doctor(invocation: Invocation, embedder: str | None, against: str | None) -> int:
    """Check the installation and the configuration, and say how to mend what is wrong.

    Opens every backend and embedder, and embeds one text for each task. Without a configuration file the
    embedded default is checked. Exits with 1 if anything fails.

    --embedder NAME checks one embedder with about twenty small requests: lengths, order, repetition, the two sides of
    retrieval, prefixes, late chunking, speed. With --against OTHER both embed the same texts, and the exit code is 1
    unless their vectors are of one space.
    """
    if embedder is not None and against is not None:
        return _compare(invocation, embedder, against)
    if against is not None:
        raise click.UsageError("--against compares with --embedder NAME: give both.")
    return _judge(invocation, _examine(invocation, embedder))


def _examine(invocation: Invocation, embedder: str | None) -> Iterator[Check]:
    from nestvec._cli.checks import examine

    if embedder is None:
        yield from examine(invocation)
        return
    from nestvec._cli.embedder_checks import examine_embedder

    with _probes(invocation, embedder) as (probe,):
        yield from examine_embedder(probe)


def _compare(invocation: Invocation, embedder: str, against: str) -> int:
    from nestvec._cli.hosts import pair_up

    with _probes(invocation, embedder, against) as (one, other):
        pairing = pair_up(one, other)
    if invocation.json:
        print_json(pairing.to_dict())
    else:
        say(*pairing.lines())
    return 0 if pairing.interchangeable else 1


@contextmanager
def _probes(invocation: Invocation, *names: str) -> Iterator[list[EmbedderProbe]]:
    """Embedders of the configuration, by name. Raises `ConfigError`."""
    from nestvec._cli.checks import configured
    from nestvec._cli.embedder_checks import EmbedderProbe
    from nestvec._client.sync import Nestvec
    from nestvec._collections.describing import embedder_named

    config = configured(invocation)
    with Nestvec(config, invocation.runtime) as nv:
        yield [EmbedderProbe(nv, embedder_named(config, name)) for name in names]


def _judge(invocation: Invocation, found: Iterable[Check]) -> int:
    checks: list[Check] = []
    for check in found:
        checks.append(check)
        if not invocation.json:
            _show(check)
    counted: Counter[str] = Counter(check.status for check in checks)
    if invocation.json:
        print_json({"checks": [check.to_dict() for check in checks], "healthy": not counted["fail"]})
    else:
        say("", _verdict(counted, checks))
    return 1 if counted["fail"] else 0


def _show(check: Check) -> None:
    detail = check.detail.replace("\n", "\n       ")
    say(f"{_MARKS[check.status]}  {check.subject}: {detail}")
    if check.mend:
        say(f"      → {check.mend}")


def _verdict(counted: Counter[str], checks: Sequence[Check]) -> str:
    if not counted["fail"] and not counted["warn"]:
        return f"All {len(checks)} checks are fine."
    return f"{len(checks)} checks: {counted['ok']} ok, {counted['warn']} to look at, {counted['fail']} failed."

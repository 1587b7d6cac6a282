"""`nest`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from nestvec._artifacts import DEFAULT_SAMPLE
from nestvec._cli.invocation import Invocation, command, refuse_file
from nestvec._cli.output import print_json, say, table, warn
from nestvec._cli.progress import progress

if TYPE_CHECKING:
    from nestvec._limits import ReadLimits
    from nestvec.nesting.fitting import NestReport


@click.command("nest")
@click.argument("sources", metavar="COLLECTION | FILE...", nargs=-1, required=True)
@click.option("--embedder", metavar="NAME", help="Fit on the texts of files, embedded by this one.")
@click.option("--task", metavar="TASK", help="What texts are embedded for. [default: stored texts, in retrieval]")
@click.option(
    "--sample", type=click.IntRange(1), default=DEFAULT_SAMPLE, show_default=True, help="Vectors to use at most."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another sample for another number.")
@command
def nest(
    invocation: Invocation, sources: tuple[str, ...], embedder: str | None, task: str | None, sample: int, seed: int
) -> None:
    """Fit a rotation that makes prefixes of a model's vectors usable, though it was not trained for them.

    Reads the vectors of a full-size COLLECTION, without embedding anything; or with --embedder embeds the texts of
    FILES. Keeps the rotation as an artifact, and prints what it gains and the lines that put it to use.
    """
    if embedder is None and (len(sources) != 1 or task is not None):
        raise click.UsageError("Name one COLLECTION, or --embedder NAME and FILES.")
    if embedder is None:
        refuse_file(invocation, sources[0])
    verb = "read" if embedder is None else "embedded"
    with invocation.connect() as nv, progress(None, unit=" vectors", noun="vector", verb=verb) as shown:

        def advance(done: int, _: int) -> None:
            shown.advance(done, done)

        collection, texts = (sources[0], None) if embedder is None else (None, _texts(sources, nv.config.limits))
        report = nv.nest(
            collection, texts=texts, embedder=embedder, task=task, sample=sample, seed=seed, progress=advance
        )
    if invocation.json:
        print_json(report.to_dict())
        return
    _show(report)


def _texts(paths: Sequence[str], limits: ReadLimits) -> Iterator[str]:
    """The chunks of all documents. Raises `InvalidInput` for what cannot be read: nothing of the sample is lost."""
    from nestvec._chunking import Chunking, Splitter
    from nestvec._readers import Mapping, ReadFailure, read
    from nestvec.errors import InvalidInput

    splitter = Splitter(Chunking())
    for item in read(paths, Mapping(), limits=limits):
        if isinstance(item, ReadFailure):
            raise InvalidInput(f"{item.error}; mend it or leave that file out. No rotation was kept.")
        text = item.document.text or ""
        if text.strip():
            yield from (text[start:end] for start, end in splitter.split(str(item.document.id), text))


def _show(report: NestReport) -> None:
    there = "" if report.new else "was kept already, nothing was written: "
    say(f"rotation {report.fingerprint} of {report.model}, fitted on {report.vectors:,} vectors: {there}{report.path}")
    if report.recall:
        rows = [(each.dimensions, f"{each.plain:.3f}", f"{each.nested:.3f}") for each in report.recall]
        say("", f"recall@10 against exact search at {report.dimensions}: {report.questions:,} questions among")
        say(f"{report.searched:,} vectors, all of them held out when it was fitted:", "")
        say(table(("dimensions", "plain", "nested"), rows))
    for warning in report.warnings:
        warn(f"warning: {warning}")
    say(
        "",
        "To use it, write the lines below. Collections of this embedder that are there already are refused under them",
        "until `nestvec migrate NAME` has turned their vectors, without embedding:",
        "",
        *report.config.split("\n"),
    )

"""`migrate`, `shrink` and `rollback`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nestvec._cli.invocation import INTERRUPTED, Invocation, command, describe_interrupt
from nestvec._cli.manage import CHANGES
from nestvec._cli.output import clean, print_json, warn
from nestvec._cli.stages import Stages

if TYPE_CHECKING:
    from nestvec._limits import ReadLimits
    from nestvec._migration.report import MigrationPlan, MigrationReport, ProgressCallback
    from nestvec._readers import Mapping
    from nestvec.types import Document

_FORMATS = ("jsonl", "csv", "text", "markdown", "parquet")
_SHOWN = 5
_QUESTIONS = click.option(
    "--questions",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Questions (.txt, one a line, or .jsonl): whether they find the same before and after.",
)


@click.command()
@click.argument("collection")
@click.option("--plan", "only_plan", is_flag=True, help="Show what it would do and cost; change nothing.")
@_QUESTIONS
@click.option("--from", "sources", metavar="PATH", multiple=True, help="Files that have the texts (repeatable).")
@click.option("--format", "format_", type=click.Choice(_FORMATS), help="What those files are, whatever their suffix.")
@click.option("--id", "id_", metavar="FIELD", help="The field with the id. [default: id, _id or document_id]")
@click.option("--text", metavar="FIELD", help="The field with the text. [default: text, content or body]")
@command
def migrate(
    invocation: Invocation,
    collection: str,
    only_plan: bool,
    questions: Path | None,
    sources: tuple[str, ...],
    format_: str | None,
    id_: str | None,
    text: str | None,
) -> int:
    """Bring COLLECTION from what is in the database to what the configuration says, while it is in use.

    Another model, other tasks, dimensions, metric, storage, or another backend: a new generation is filled, compared
    with the old one and switched to; the old one stays. Run again after an interruption, it goes on. With --plan, exits
    with 3 if there is something to do, else 0.
    """
    if not sources and (format_ or id_ or text):
        raise click.UsageError("--format, --id and --text say how to read the files of --from: name some.")
    from nestvec._readers import Mapping

    with invocation.connect() as nv:
        documents = _documents(sources, format_, Mapping(id_, text), nv.config.limits) if sources else iter(())
        if only_plan:
            return _tell(invocation, nv.plan_migration(collection, documents=documents))
        asked = _questions(questions, nv.config.limits)
        return _run(
            invocation,
            collection,
            lambda hears: nv.migrate(collection, questions=asked, documents=documents, progress=hears),
            asked=bool(asked),
        )


def _tell(invocation: Invocation, plan: MigrationPlan) -> int:
    from nestvec._cli.migration_reports import show_plan

    if invocation.json:
        print_json(plan.to_dict())
    else:
        show_plan(plan)
    return 0 if plan.way is None else CHANGES


@click.command()
@click.argument("collection")
@click.option("--dimensions", type=click.IntRange(min=1), required=True, help="The size to shrink its vectors to.")
@_QUESTIONS
@command
def shrink(invocation: Invocation, collection: str, dimensions: int, questions: Path | None) -> int:
    """Give COLLECTION shorter vectors, computed from those that are stored: nothing is embedded.

    For models with Matryoshka prefixes, their own or those of a rotation (nestvec nest). A new generation is filled,
    compared with the old one and switched to; the old one stays. Run again after an interruption, it goes on.
    """
    with invocation.connect() as nv:
        asked = _questions(questions, nv.config.limits)
        return _run(
            invocation,
            collection,
            lambda hears: nv.shrink(collection, dimensions, questions=asked, progress=hears),
            asked=bool(asked),
            shrunk=dimensions,
        )


@click.command()
@click.argument("collection")
@click.option("--discard", is_flag=True, help="Go back without what was written since, if it cannot be brought over.")
@command
def rollback(invocation: Invocation, collection: str, discard: bool) -> int:
    """Go back to the generation that COLLECTION was migrated from, with what was written since.

    What was written since is embedded as that generation is, so its embedder has to be in the configuration
    ([collections.NAME.previous]).
    """
    with invocation.connect() as nv:
        return _run(
            invocation, collection, lambda hears: nv.rollback(collection, discard=discard, progress=hears), back=True
        )


def _run(
    invocation: Invocation,
    collection: str,
    work: Callable[[ProgressCallback], MigrationReport],
    *,
    asked: bool = False,
    shrunk: int | None = None,
    back: bool = False,
) -> int:
    """Run it, show how far it is, and tell what it did."""
    from nestvec._cli.migration_reports import interruption, show_report

    with Stages() as shown:
        try:
            report = work(shown)
        except KeyboardInterrupt:
            shown.close()
            message = interruption(collection, shown.stage)
            warn(message)
            if invocation.json:
                print_json({"error": describe_interrupt(message)})
            return INTERRUPTED
    if asked and report.overlap is not None and not report.overlap.asked:
        warn(
            "warning: the questions could not be asked of both generations, so stored documents asked: both embedders "
            f"have to be in the configuration ([collections.{clean(collection)}.previous])"
        )
    if invocation.json:
        print_json(report.to_dict())
    else:
        show_report(report, shrunk=shrunk, back=back)
    return 1 if report.failed else 0


def _questions(path: Path | None, limits: ReadLimits) -> Sequence[str]:
    """The questions of a file. Raises `InvalidInput` where there are none, or it cannot be read."""
    from nestvec._readers.questions import read_questions

    return [] if path is None else [question.text for question in read_questions(path, limits)]


def _documents(paths: Sequence[str], format_: str | None, mapping: Mapping, limits: ReadLimits) -> Iterator[Document]:
    """The documents of files; what is none is named and passed over, for it may be none of the collection's."""
    from nestvec._readers import ReadFailure, discover, read

    bad = 0
    for item in read(discover(paths, format=format_), mapping, limits=limits):
        if not isinstance(item, ReadFailure):
            yield item.document
            continue
        bad += 1
        if bad <= _SHOWN:
            warn(f"warning: {clean(item.error)}")
    if bad > _SHOWN:
        warn(f"warning: … and {bad - _SHOWN:,} more that cannot be read")

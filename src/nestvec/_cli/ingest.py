"""`ingest`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from nestvec._cli.invocation import INTERRUPTED, Invocation, command, describe, describe_interrupt
from nestvec._cli.manage import open_collection
from nestvec._cli.output import amount, clean, misfit_told, print_json, say, warn
from nestvec._cli.progress import progress
from nestvec.errors import InvalidInput, NestvecError

if TYPE_CHECKING:
    from nestvec._cli.intake import Ingestion
    from nestvec._client.sync_collection import Collection
    from nestvec._documents.upsert import OnExisting
    from nestvec._limits import ReadLimits
    from nestvec._readers import Inputs, Mapping
    from nestvec.types import FailedDocument, Report

_FORMATS = ("jsonl", "csv", "text", "markdown", "parquet")
_SHOWN = 20


@dataclass(slots=True)
class Job:
    """What to ingest, where to, and since when."""

    invocation: Invocation
    collection: Collection
    inputs: Inputs
    mapping: Mapping
    limits: ReadLimits
    settle: float
    on_existing: OnExisting
    started: float = field(default_factory=time.perf_counter)


@click.command()
@click.argument("collection")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--format", "format_", type=click.Choice(_FORMATS), help="What the inputs are, whatever their suffix.")
@click.option("--id", "id_", metavar="FIELD", help="The field that holds the id. [default: id, _id or document_id]")
@click.option("--text", metavar="FIELD", help="The field that holds the text. [default: text, content or body]")
@click.option("--metadata", metavar="FIELD", multiple=True, help="A field to keep (repeatable). [default: all others]")
@click.option("--namespace", metavar="NAME", help="The tenant that the documents belong to.")
@click.option(
    "--settle",
    type=click.FloatRange(min=0),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait at the end until searches find everything, on backends where that takes its time; 0: do not wait.",
)
@click.option(
    "--on-existing",
    type=click.Choice(("replace", "skip", "fail")),
    default="replace",
    show_default=True,
    help="What becomes of documents whose ids are stored already.",
)
@click.option("--strict", is_flag=True, help="Check everything first; store nothing if anything is wrong.")
@command
def ingest(
    invocation: Invocation,
    collection: str,
    paths: tuple[str, ...],
    format_: str | None,
    id_: str | None,
    text: str | None,
    metadata: tuple[str, ...],
    namespace: str | None,
    settle: float,
    on_existing: OnExisting,
    strict: bool,
) -> int:
    """Store the documents of files, folders or standard input (-) in COLLECTION.

    Unchanged documents are left alone, so an interrupted run goes on when it is started again. Documents that
    cannot be stored are named and do not stop the others; the exit code is then 1.
    """
    from nestvec._readers import Mapping, discover

    with invocation.connect() as nv:
        target = open_collection(nv, collection, namespace)
        inputs = discover(paths, format=format_)
        if inputs.skipped:
            warn(f"skipped {amount(len(inputs.skipped), 'file')} of unknown type")
        mapping = Mapping(id_, text, metadata or None)
        job = Job(invocation, target, inputs, mapping, nv.config.limits, settle, on_existing)
        return _strictly(job) if strict else _store(job, None)


def _strictly(job: Job) -> int:
    from nestvec._cli.intake import Feed, check, twice

    with twice(job.inputs) as stdin:
        failed = check(Feed(job.inputs, job.mapping, job.collection, stdin(), job.limits), job.collection)
        if failed:
            return _refuse(job, failed)
        return _store(job, stdin())


def _refuse(job: Job, failed: Sequence[FailedDocument]) -> int:
    from nestvec.types import Report

    message = f"nothing was stored (--strict): {amount(len(failed), 'document')} cannot be stored; mend or remove them"
    _name(failed, message)
    if job.invocation.json:
        print_json(_report_json(job, Report(), failed) | {"error": describe(InvalidInput(message))})
    return 1


def _store(job: Job, stdin: BinaryIO | None) -> int:
    from nestvec._cli.intake import Feed, Ingestion

    feed = Feed(job.inputs, job.mapping, job.collection, stdin, job.limits)
    with progress(job.inputs.size) as shown:
        run = Ingestion(job.collection, feed, shown, job.settle, job.on_existing)
        try:
            run.run()
        except NestvecError as error:
            shown.close()
            return _stopped(job, run, error)
        except KeyboardInterrupt:
            shown.close()
            return _interrupted(job, run)
    return _finished(job, run)


def _finished(job: Job, run: Ingestion) -> int:
    failed = run.failed
    if job.invocation.json:
        print_json(_report_json(job, run.stored, failed))
    else:
        say(_summary(job, run.stored))
    if run.stored.unsettled is not None:
        warn(f"warning: {run.stored.unsettled}")
    for misfit in run.stored.misfits:
        warn(f"warning: {misfit_told(misfit)}")
    if failed:
        _name(failed, f"{amount(len(failed), 'document')} not stored (all others are):")
    return 1 if failed else 0


def _stopped(job: Job, run: Ingestion, error: NestvecError) -> int:
    warn(f"error: {error}")
    if run.stored.documents:
        warn(_resume(run))
    if job.invocation.json:
        print_json(_report_json(job, run.stored, run.failed) | {"error": describe(error)})
    return 1


def _interrupted(job: Job, run: Ingestion) -> int:
    message = f"interrupted: {_resume(run)}"
    warn(message)
    if job.invocation.json:
        print_json(_report_json(job, run.stored, run.failed) | {"error": describe_interrupt(message)})
    return INTERRUPTED


def _resume(run: Ingestion) -> str:
    stored = amount(run.stored.documents, "document")
    return f"{stored} stored so far; run the same command again to go on, nothing is embedded twice"


def _name(failed: Sequence[FailedDocument], message: str) -> None:
    """Say which documents failed: the first ones, and how many more there are."""
    warn(f"error: {message}")
    for failure in failed[:_SHOWN]:
        warn("  " + clean(_sentence(failure)))
    if len(failed) > _SHOWN:
        warn(f"  … and {len(failed) - _SHOWN:,} more (--json names all of them)")


def _sentence(failure: FailedDocument) -> str:
    if failure.path is None or failure.line is None or failure.error.startswith((f"{failure.path}:", "standard input")):
        return failure.error
    return f"{failure.path}:{failure.line}: {failure.error}"


def _summary(job: Job, report: Report) -> str:
    usage = [amount(number, noun) for number, noun in _usage(report) if number]
    return (
        f"{amount(report.documents, 'document')} stored in {clean(job.collection.spec.name)}: "
        f"{amount(report.chunks, 'chunk')} ({report.embedded:,} embedded, {report.unchanged:,} unchanged"
        f"{_given(report)}), "
        f"{amount(report.deleted, 'old chunk')} deleted, in {_seconds(job):.1f} s"
        + (f"; {amount(report.superseded, 'document')} superseded by another writer" if report.superseded else "")
        + (f"; {amount(report.skipped, 'document')} left as they were" if report.skipped else "")
        + (f" ({', '.join(usage)})" if usage else "")
    )


def _given(report: Report) -> str:
    return f", {report.given:,} with vectors that were given" if report.given else ""


def _usage(report: Report) -> list[tuple[int, str]]:
    used = report.usage
    numbers = [(used.tokens, "token"), (used.requests, "request"), (used.windows, "window")]
    return [*numbers, (used.retries, "repeated request"), (used.cached, "cached chunk")]


def _seconds(job: Job) -> float:
    return time.perf_counter() - job.started


def _report_json(job: Job, report: Report, failed: Sequence[FailedDocument]) -> dict[str, Any]:
    return {
        "collection": job.collection.spec.name,
        "documents": report.documents,
        "chunks": report.chunks,
        "embedded": report.embedded,
        "unchanged": report.unchanged,
        "given": report.given,
        "deleted": report.deleted,
        "superseded": report.superseded,
        "failed": [_failed_json(failure) for failure in failed],
        "skipped": list(job.inputs.skipped),
        "left": report.skipped,
        "seconds": round(_seconds(job), 3),
        "tokens": report.usage.tokens,
        "requests": report.usage.requests,
        "retries": report.usage.retries,
        "windows": report.usage.windows,
        "cached": report.usage.cached,
        "unsettled": report.unsettled,
        "misfits": [asdict(misfit) for misfit in report.misfits],
    }


def _failed_json(failure: FailedDocument) -> dict[str, Any]:
    return {
        "document_id": failure.document_id,
        "path": failure.path,
        "line": failure.line,
        "error": failure.error,
    }

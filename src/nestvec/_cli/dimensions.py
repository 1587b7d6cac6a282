"""`dimensions`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nestvec._cli.invocation import Invocation, command, refuse_file
from nestvec._cli.output import amount, print_json, say, table, warn
from nestvec._cli.progress import progress

if TYPE_CHECKING:
    from nestvec._evaluation.bootstrap import Interval
    from nestvec._evaluation.report import DimensionsCurve, DimensionsPoint, DimensionsReport, FunnelReport
    from nestvec._limits import ReadLimits
    from nestvec.types import Document


def _numbers(_: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    """Callback of an option that lists whole numbers."""
    try:
        return tuple(int(part) for part in value.split(",")) if value is not None else ()
    except ValueError as error:
        raise click.BadParameter(
            f"expected numbers and commas, as in 64,256; not {value!r}", param=parameter
        ) from error


def _funnels(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    return tuple(_numbers(context, parameter, value) for value in values)


def _share(_: click.Context, parameter: click.Parameter, value: float) -> float:
    if 0 < value < 1 or (value == 1 and parameter.name == "keep"):
        return value
    raise click.BadParameter(f"expected a share, as in 0.95; not {value:g}", param=parameter)


@click.command("dimensions")
@click.argument("sources", metavar="COLLECTION | FILE...", nargs=-1, required=True)
@click.option("--embedder", metavar="NAME", help="Measure on the texts of files, embedded by this one.")
@click.option("--backend", metavar="NAME", help="With --embedder: where --time and --funnel measure.")
@click.option("--queries", type=click.Path(path_type=Path), metavar="FILE", help="Real questions: .txt, or .jsonl.")
@click.option("--dimensions", "sizes", callback=_numbers, metavar="N,N...", help="Sizes. [default: powers of two]")
@click.option("--k", type=click.IntRange(1), default=10, show_default=True, help="Neighbours that count.")
@click.option("--keep", type=float, callback=_share, default=0.99, show_default=True, help="Share of quality wanted.")
@click.option("--confidence", type=float, callback=_share, default=0.95, show_default=True, help="Of the intervals.")
@click.option("--resamples", type=click.IntRange(1), default=1000, show_default=True, help="Of the questions.")
@click.option("--sample", type=click.IntRange(2), default=5000, show_default=True, help="Texts to use at most.")
@click.option("--questions", type=click.IntRange(1), default=500, show_default=True, help="Questions at most.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another sample for another number.")
@click.option("--expect", type=click.IntRange(1), metavar="N", help="Vectors to sum storage up for. [default: all]")
@click.option("--rotation", metavar="FINGERPRINT", help="Measure the nested curve with this artifact.")
@click.option("--time", is_flag=True, help="Measure search time on the backend, in a temporary collection.")
@click.option("--funnel", "funnels", callback=_funnels, multiple=True, metavar="N,N...", help="Measure coarse to fine.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write a page, too.")
@command
def dimensions(
    invocation: Invocation,
    sources: tuple[str, ...],
    embedder: str | None,
    backend: str | None,
    queries: Path | None,
    sizes: tuple[int, ...],
    html: Path | None,
    **options: Any,
) -> None:
    """Measure which size suffices, on your own data, and recommend one.

    Reads vectors of a full-size COLLECTION, without embedding anything; or with --embedder embeds the texts of FILES.
    Without --queries some of the texts are held out as questions. Changes nothing; --time and --funnel write into a
    temporary collection, which is dropped afterwards.
    """
    from nestvec._evaluation.options import DimensionsOptions
    from nestvec._readers.questions import read_questions

    if embedder is None and len(sources) != 1:
        raise click.UsageError("Name one COLLECTION, or --embedder NAME and FILES.")
    if embedder is None and backend is not None:
        raise click.UsageError("--backend goes with --embedder: a collection is measured on its own backend.")
    if embedder is None:
        refuse_file(invocation, sources[0])
    render = _renderer(html) if html is not None else None
    with invocation.connect() as nv, progress(None, unit=" vectors", noun="vector", verb="ready") as shown:
        asked = read_questions(queries, nv.config.limits) if queries is not None else None
        collection, texts = (sources[0], None) if embedder is None else (None, _texts(sources, nv.config.limits))
        report = nv.dimensions(
            collection,
            texts=texts,
            embedder=embedder,
            backend=backend,
            queries=asked,
            options=DimensionsOptions(dimensions=sizes, **options),
            progress=lambda done, _: shown.advance(done, done),
        )
    _tell(invocation, report, options["rotation"])
    if html is not None and render is not None:
        _write(render(report), html)


def _renderer(html: Path) -> Callable[[DimensionsReport], str]:
    """What makes the page. That it cannot be made or written is said before an hour of measuring, not afterwards."""
    from nestvec.errors import Unsupported

    _check_place(html)
    try:
        from nestvec_report import render
    except ImportError as error:
        raise Unsupported(
            f"--html: the page is made by nestvec-report, which cannot be imported ({error}): "
            "pip install 'nestvec[report]', or leave --html out"
        ) from error
    return render


def _check_place(html: Path) -> None:
    from nestvec.errors import InvalidInput

    folder = html.absolute().parent
    if not folder.is_dir():
        raise InvalidInput(f"--html {html}: there is no folder {folder}; make it first")
    if not os.access(html if html.exists() else folder, os.W_OK):
        raise InvalidInput(
            f"--html {html}: {html if html.exists() else folder} cannot be written to; name another place"
        )


def _write(page: str, html: Path) -> None:
    from nestvec.errors import InvalidInput

    try:
        html.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--html {html}: the page cannot be written: {error.strerror or error}") from error
    warn(f"page: {html}")


def _texts(paths: Sequence[str], limits: ReadLimits) -> Iterator[Document]:
    """The chunks of all documents. Raises `InvalidInput` for what cannot be read: nothing of the sample is lost."""
    from nestvec._chunking import Chunking, Splitter
    from nestvec._readers import Mapping, ReadFailure, read
    from nestvec.errors import InvalidInput
    from nestvec.types import Document

    splitter = Splitter(Chunking())
    for item in read(paths, Mapping(), limits=limits):
        if isinstance(item, ReadFailure):
            raise InvalidInput(f"{item.error}; mend it or leave that file out. Nothing was measured.")
        name, text = str(item.document.id), item.document.text or ""
        if text.strip():
            yield from (Document(name, text[start:end]) for start, end in splitter.split(name, text))


def _tell(invocation: Invocation, report: DimensionsReport, rotation: str | None) -> None:
    if invocation.json:
        print_json(report.to_dict())
        return
    sample = report.sample
    fitted = f", {sample.fitted:,} others to fit a rotation on" if sample.fitted else ""
    say(f"{report.model} with {report.full} dimensions, {report.metric}, on {sample.source}:")
    say(f"{sample.texts:,} texts searched with {sample.questions:,} questions ({sample.questions_from}){fitted}.")
    for curve in report.curves:
        say("", _title(curve), "")
        say(_curve_table(report, curve))
    if report.funnels:
        say("", "coarse to fine", "")
        say(_funnel_table(report.funnels, report.k))
    for warning in report.warnings:
        warn(f"warning: {warning}")
    advice = report.recommendation
    say("", f"Recommended: {advice.dimensions} dimensions ({advice.curve}).", advice.reason)
    if (step := _next_step(report, rotation)) is not None:
        say(step)


def _next_step(report: DimensionsReport, rotation: str | None) -> str | None:
    """What brings the recommended size about; None where it is the full one."""
    size, where = report.recommendation.dimensions, report.collection
    if size == report.full:
        return None
    if report.recommendation.curve == "nested" and report.sample.fitted:
        source = where or f"--embedder {report.embedder} FILES"
        return (
            f"Next: `nestvec nest {source}` fits and keeps such a rotation, which this took for the measurement only."
        )
    if rotation is not None or where is None:
        nesting = f'nesting = "{rotation}" in [embedders.{report.embedder}] and ' if rotation is not None else ""
        return f"Next: write {nesting}dimensions = {size} in the collection's block."
    return f"Next: `nestvec shrink {where} --dimensions {size}` brings the collection there, without embedding."


def _title(curve: DimensionsCurve) -> str:
    if curve.name == "plain":
        return "plain: the first numbers of the model's own vectors"
    turned = f"by rotation {curve.rotation}" if curve.rotation is not None else "by a rotation"
    return f"{curve.name}: the same after they were turned {turned}"


def _curve_table(report: DimensionsReport, curve: DimensionsCurve) -> str:
    labelled = any(point.ndcg is not None for point in curve.points)
    timed = any(point.search_ms is not None for point in curve.points)
    headers = ["size", f"recall@{report.k}", *(["nDCG@10"] if labelled else []), "kept", "int8", "binary"]
    headers += ["a vector", amount(report.expected, "vector").replace(" ", "\n"), *(["search\nms"] if timed else [])]
    return table(headers, (_row(point, labelled=labelled, timed=timed) for point in curve.points))


def _row(point: DimensionsPoint, *, labelled: bool, timed: bool) -> list[object]:
    found = [f"{point.recall.value:.3f}"]
    if labelled:
        found.append(f"{point.ndcg.value:.3f}" if point.ndcg is not None else "")
    times = [f"{point.search_ms.median:.1f}" if point.search_ms is not None else ""] if timed else []
    quantised = [f"{each.value:.3f}" for each in (point.int8, point.binary)]
    sizes = [f"{point.bytes['float32']:,} B", _size(point.total["float32"])]
    return [point.dimensions, *found, _interval(point.kept), *quantised, *sizes, *times]


def _funnel_table(funnels: Sequence[FunnelReport], k: int) -> str:
    headers = ("stages", "oversampling", f"recall@{k}", "plain", "search ms", "plain ms", "backend")
    rows = [
        (
            ",".join(map(str, each.stages)),
            f"{each.oversampling:g}",
            f"{each.recall.value:.3f}",
            f"{each.plain_recall.value:.3f}",
            f"{each.funnel_ms.median:.1f}",
            f"{each.plain_ms.median:.1f}",
            each.backend,
        )
        for each in funnels
    ]
    return table(headers, rows)


def _interval(kept: Interval) -> str:
    from nestvec._evaluation.recommend import percent

    return f"{percent(kept.value)} ({percent(kept.low)[:-2]}–{percent(kept.high)[:-2]})"


def _size(size: float) -> str:
    """`1.5 GB`, of 1,000 bytes a step."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:  # else three digits make it 1,000 of them
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"

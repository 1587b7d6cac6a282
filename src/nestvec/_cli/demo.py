"""`demo`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from nestvec._cli.invocation import Invocation, command
from nestvec._cli.output import amount, fit, print_json, say, stack, table, terminal_width, warn, wrap
from nestvec._cli.progress import progress

if TYPE_CHECKING:
    from nestvec._cli.comparison import Answer, ComparedQuestion, ComparisonRow, Summary
    from nestvec._client.sync import Nestvec
    from nestvec.types import Document, Report

NAME = "demo"


@click.command()
@click.option(
    "--documents", type=click.IntRange(1), default=600, show_default=True, help="How many docstrings to index."
)
@command
def demo(invocation: Invocation, documents: int) -> None:
    """Search this Python's own documentation in many languages. Needs no key, server or network.

    Indexes docstrings of the standard library in memory and asks each question twice: embedded as a question,
    as nestvec does it, and embedded as if it were a passage, as happens where nobody routes tasks.
    """
    from nestvec._cli.comparison import QUESTIONS, compare
    from nestvec._cli.docstrings import docstrings

    texts = docstrings(documents, [question.expected for question in QUESTIONS])
    asked = [question for question in QUESTIONS if question.expected in {text.id for text in texts}]
    started = time.perf_counter()
    with open_default(invocation) as nv:
        nv.apply()
        report = index(nv, texts)
        indexed = time.perf_counter() - started
        rows = compare(nv, NAME, asked)
    show(invocation, rows, report, indexed)


def open_default(invocation: Invocation) -> Nestvec:
    """A client of the embedded default stack, in memory."""
    from nestvec._client.configuring import default_values
    from nestvec._client.sync import connect

    runtime = invocation.runtime
    return connect(default_values(runtime.registry, NAME, None, {"purpose": "retrieval"}), runtime)


def index(nv: Nestvec, texts: Sequence[Document]) -> Report:
    """Store the texts in the demo's collection, which must exist."""
    stored = 0
    warn(f"indexing {amount(len(texts), 'docstring')} of the standard library …")
    with progress(len(texts), unit=" docstrings") as shown:

        def advance(report: Report) -> None:
            nonlocal stored
            stored += report.documents
            shown.advance(stored, stored)

        return nv[NAME].upsert(texts, progress=advance)


def show(invocation: Invocation, rows: Sequence[ComparisonRow], report: Report, seconds: float) -> None:
    """Print the comparison."""
    from nestvec._cli.comparison import summary

    right, wrong = summary([row.right for row in rows]), summary([row.wrong for row in rows])
    if invocation.json:
        print_json(_json(rows, report, seconds, right, wrong))
        return
    say(comparison_table(rows, terminal_width()))
    say("", f"{amount(report.documents, 'docstring')} indexed in {seconds:.1f} s.")
    say(f"Embedded as questions:  {_told(right)}")
    say(f"Embedded as passages:   {_told(wrong)}")


def comparison_table(rows: Sequence[ComparisonRow], width: int) -> str:
    """Question, and what each way of embedding it found first."""
    room = width - 2 * 2
    side = room * 3 // 10
    headers = ("question", "embedded as a question", "embedded as a passage")
    return table(
        headers,
        [(_asked(row.question, room - 2 * side), _found(row.right, side), _found(row.wrong, side)) for row in rows],
    )


def _asked(question: ComparedQuestion, width: int) -> str:
    return stack(wrap(question.text, width, 3), fit(f"→ {question.expected}", width))


def _found(answer: Answer, width: int) -> str:
    if answer.document_id is None or answer.score is None:
        return "nothing"
    place = "expected one: not found" if answer.rank is None else f"expected one: rank {answer.rank}"
    verdict = "right" if answer.rank == 1 else place
    return stack(fit(answer.document_id, width), fit(f"{answer.score:.3f} {verdict}", width))


def _told(result: Summary) -> str:
    return (
        f"{result.first} of {result.questions} found their docstring first; "
        f"mean reciprocal rank {result.reciprocal:.3f}"
    )


def _json(
    rows: Sequence[ComparisonRow], report: Report, seconds: float, right: Summary, wrong: Summary
) -> dict[str, Any]:
    return {
        "documents": report.documents,
        "seconds": round(seconds, 3),
        "questions": [
            {
                "language": row.question.language,
                "question": row.question.text,
                "expected": row.question.expected,
                "right_routing": row.right.to_dict(),
                "as_passages": row.wrong.to_dict(),
            }
            for row in rows
        ],
        "summary": {"right_routing": right.to_dict(), "as_passages": wrong.to_dict()},
    }

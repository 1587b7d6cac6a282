"""`search`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from nestvec._cli.invocation import Invocation, command, json_object
from nestvec._cli.manage import open_collection
from nestvec._cli.output import clean, fit, print_json, say, table, terminal_width, wrap

if TYPE_CHECKING:
    from nestvec.types import Hit

_LINES = 3
#: Cells of a score, and of the narrowest column of documents: the table leaves two more than a heading has.
_SCORE, _NARROWEST = 7, len("document") + 2


@click.command()
@click.argument("collection")
@click.argument("question")
@click.option("--limit", "-n", type=click.IntRange(1), default=10, show_default=True, help="Hits to show.")
@click.option("--offset", type=click.IntRange(0), default=0, help="Hits to leave out first.")
@click.option("--threshold", type=float, help="The lowest score wanted (higher is better).")
@click.option("--where", callback=json_object, metavar="JSON", help="Search only documents that match this filter.")
@click.option("--group-by-document", is_flag=True, help="Only the best hit of each document.")
@click.option("--namespace", metavar="NAME", help="The tenant to search.")
@command
def search(
    invocation: Invocation,
    collection: str,
    question: str,
    namespace: str | None,
    **options: Any,
) -> None:
    """Search COLLECTION for the chunks that answer QUESTION best."""
    with invocation.connect() as nv:
        hits = open_collection(nv, collection, namespace).search(question, **options)
    if invocation.json:
        print_json({"collection": collection, "query": question, "hits": [_hit_json(hit) for hit in hits]})
    elif hits:
        say(hit_table(hits, options["offset"], terminal_width()))
    else:
        say("Nothing found.")


def _hit_json(hit: Hit) -> dict[str, Any]:
    return {
        "id": hit.id,
        "document_id": hit.document_id,
        "score": hit.score,
        "text": hit.text,
        "metadata": dict(hit.metadata),
    }


def hit_table(hits: Sequence[Hit], offset: int, width: int) -> str:
    """Rank, score, document and text, within `width` terminal cells."""
    ranks = max(len(str(offset + len(hits))), 3)
    room = width - ranks - _SCORE - 3 * 2  # two cells between columns
    name = max(min(max(_cells(clean(hit.document_id)) for hit in hits), room // 3), _NARROWEST)
    rows = [
        (
            offset + number,
            f"{hit.score:.3f}",
            fit(hit.document_id, name),
            wrap(_shown(hit), room - name, _LINES),
        )
        for number, hit in enumerate(hits, 1)
    ]
    return table(("#", "score", "document", "text"), rows)


def _shown(hit: Hit) -> str:
    metadata = " ".join(f"{key}={value}" for key, value in hit.metadata.items())
    return " · ".join(part for part in (hit.text, metadata) if part)


def _cells(text: str) -> int:
    from wcwidth import wcswidth

    return max(wcswidth(text), len(text) if wcswidth(text) < 0 else 0)

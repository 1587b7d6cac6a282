"""From v2 to v3 with 768 dimensions kept: what is refused on the way, then a new collection from the stored texts."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from _shared import configured, documents, main, rows, say

import nestvec
from nestvec import Collection, Document
from nestvec.errors import CollectionConflict, SpaceMismatch

OLD, NEW = "help", "help-v3"


def run(real: bool) -> None:
    """The whole way, in the order in which one goes it."""
    with configured(__file__, real=real, vectors="words") as values, TemporaryDirectory() as store:
        values["backends"]["store"]["path"] = store
        fill_old(values)
        if not real:
            say("(By construction: the stand-in gives each model directions of its own.)")
        refused = over_the_old(values)
        fill_new(values)
        refused.append(late_into_plain(values))
        with nestvec.connect(values) as nv:
            say(f"\n{sum(refused)} of {len(refused)} mix-ups were refused. Afterwards the old collection")
            say(f"answers {answered(nv[OLD])} questions, and the new one {answered(nv[NEW])}.")


def fill_old(values: dict[str, Any]) -> None:
    """Where most start: a collection of v2 vectors."""
    with nestvec.connect(values) as nv:
        nv.apply(OLD)
        nv[OLD].upsert(documents(__file__, "articles.jsonl"))
        say(f"\nThe old collection, v2, answers {answered(nv[OLD])} questions.")
        text = ["To reset your password, open the sign-in page."]
        two = nv.embed(text, embedder="v2")[0]
        three = nv.embed(text, embedder="v3", task="retrieval.passage", dimensions=len(two))[0]
        say(f"One text in v2 and in v3, {len(two)} and {len(three)} dimensions: cosine {two @ three:.3f}.")


def over_the_old(values: dict[str, Any]) -> list[bool]:
    """What looks like an upgrade in place: another model, and the number of dimensions fits."""
    with nestvec.connect(edited(values, OLD, embedder="v3", dimensions=768)) as nv:
        return [
            refuses("v3 questions to v2 vectors of the same size", lambda: nv[OLD].search("reset password")),
            refuses("v3 applied over the v2 collection", lambda: nv.apply(OLD)),
        ]


def fill_new(values: dict[str, Any]) -> None:
    """What works: a collection of its own, embedded anew from the texts that the old one keeps."""
    with nestvec.connect(values) as nv:
        nv.apply(NEW)
        report = nv[NEW].upsert(stored(nv[OLD]))
        say(f"\nThe new collection, v3: {report.documents} documents embedded from the texts that the old one keeps.")


def late_into_plain(values: dict[str, Any]) -> bool:
    """A switch that v3 offers, thrown after the collection was filled."""
    with nestvec.connect(edited(values, NEW, late_chunking=True)) as nv:
        late = Document("offline", "Notes can be read offline on every device.")
        return refuses("late-chunked vectors among plain ones", lambda: nv[NEW].upsert(late))


def edited(values: dict[str, Any], collection: str, **settings: Any) -> dict[str, Any]:
    """The configuration as somebody might edit it."""
    changed = copy.deepcopy(values)
    changed["collections"][collection] |= settings
    return changed


def refuses(mix_up: str, attempt: Callable[[], object]) -> bool:
    """Print how nestvec refuses an attempt; False if it does not."""
    try:
        attempt()
    except (CollectionConflict, SpaceMismatch) as error:
        say(f"\nRefused: {mix_up}\n    {type(error).__name__}: " + str(error).replace("\n", "\n    "))
        return True
    say(f"\nNOT refused: {mix_up}")
    return False


def stored(collection: Collection) -> list[Document]:
    """All documents with their texts and metadata, out of the collection itself."""
    ids = {record.document_id for page in collection.scroll() for record in page.records}
    return collection.get_many(sorted(ids))


def answered(collection: Collection) -> str:
    """How many questions find their article first, such as "4 of 4"."""
    asked = rows(__file__, "questions.jsonl")
    found = collection.search_many([each["question"] for each in asked], limit=1)
    right = sum(hits[0].document_id == each["answer"] for each, hits in zip(asked, found, strict=True))
    return f"{right} of {len(asked)}"


if __name__ == "__main__":
    main(run)

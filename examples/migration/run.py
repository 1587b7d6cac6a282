"""From v2 to v3 with 768 dimensions kept: what is refused on the way, and a migration while a handle is open."""

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
from nestvec.runtime import Runtime

NAME = "help"
#: Seconds for which a handle trusts what it looked up (30 unless told otherwise): writers wait so long, and 5 more.
LEASE = 1.0


def run(real: bool) -> None:
    """The whole way, in the order in which one goes it."""
    with configured(__file__, real=real, vectors="words") as values, TemporaryDirectory() as store:
        values["backends"]["store"]["path"] = store
        fill_old(values)
        if not real:
            say("(By construction: the stand-in gives each model directions of its own.)")
        refused = over_the_old(values)
        with nestvec.connect(values, Runtime(lease=LEASE)) as nv:
            there, back = there_and_back(nv)
        refused.append(late_into_plain(values))
        say(f"\n{sum(refused)} of {len(refused)} mix-ups were refused.")
        say(f"The same handle answered {there} questions with v3, and after going back {back} with v2.")


def fill_old(values: dict[str, Any]) -> None:
    """Where most start: a collection of v2 vectors."""
    with nestvec.connect(edited(values, embedder="v2", previous=None)) as nv:
        nv.apply()
        nv[NAME].upsert(documents(__file__, "articles.jsonl"))
        say(f"\nThe collection, v2, answers {answered(nv[NAME])} questions.")
        text = ["To reset your password, open the sign-in page."]
        two = nv.embed(text, embedder="v2")[0]
        three = nv.embed(text, embedder="v3", task="retrieval.passage", dimensions=len(two))[0]
        say(f"One text in v2 and in v3, {len(two)} and {len(three)} dimensions: cosine {two @ three:.3f}.")


def over_the_old(values: dict[str, Any]) -> list[bool]:
    """What looks like an upgrade in place: another model, and the number of dimensions fits."""
    with nestvec.connect(edited(values, previous=None)) as nv:
        return [
            refuses("v3 questions to v2 vectors of the same size", lambda: nv[NAME].search("reset password")),
            refuses("v3 applied over the v2 collection", lambda: nv.apply()),
        ]


def there_and_back(nv: nestvec.Nestvec) -> tuple[str, str]:
    """What works: `previous` says what the collection was, and a handle serves whichever is there."""
    handle = nv[NAME]
    say(f"\nBefore the migration, the new configuration answers {answered(handle)} questions: with v2.")
    plan = nv.plan_migration(NAME)
    say(f"Planned: {plan.documents} documents, {plan.tokens} tokens, {plan.reason}.")
    report = nv.migrate(NAME)
    say(f"Migrated: {report.documents} documents embedded from the texts that the collection keeps; writers waited")
    say(f"{report.writers_waited:.0f} seconds.")
    there = answered(handle)
    nv.rollback(NAME)
    return there, answered(handle)


def late_into_plain(values: dict[str, Any]) -> bool:
    """A switch that v3 offers, thrown after the collection was filled."""
    with nestvec.connect(values, Runtime(lease=LEASE)) as nv:
        nv.migrate(NAME)
    with nestvec.connect(edited(values, late_chunking=True, previous=None)) as nv:
        late = Document("offline", "Notes can be read offline on every device.")
        return refuses("late-chunked vectors among plain ones", lambda: nv[NAME].upsert(late))


def edited(values: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """The configuration as somebody might edit it; what is None is taken out."""
    changed = copy.deepcopy(values)
    block = changed["collections"][NAME] | settings
    changed["collections"][NAME] = {key: value for key, value in block.items() if value is not None}
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


def answered(collection: Collection) -> str:
    """How many questions find their article first, such as "4 of 4"."""
    asked = rows(__file__, "questions.jsonl")
    found = collection.search_many([each["question"] for each in asked], limit=1)
    right = sum(hits[0].document_id == each["answer"] for each, hits in zip(asked, found, strict=True))
    return f"{right} of {len(asked)}"


if __name__ == "__main__":
    main(run)

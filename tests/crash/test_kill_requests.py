"""A writer is killed when a server has carried out its n-th request, for every n: what it did not commit is not found.

The reader of a search sees whole versions a lease later, and the next write, deletion or repair leaves nothing behind.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field

import pytest

from nestvec._client.sync_collection import Collection
from nestvec.filters import F
from nestvec_testing.emulators.faults import Course, Fault
from nestvec_testing.emulators.replies import NOTHING, HttpReply

from .judge import by_document, heads, wrong_records
from .nursery import Nursery
from .raw import PLACES, Place
from .stage import GRACE, LEASE, SILENCE, attempted, config, found_by, opened, told
from .versions import Part, Version, misfits, whole

#: More requests than a replacement takes.
_MOST = 60


@dataclass(frozen=True)
class Replacement:
    """What a document is, and what the writer that is killed makes of it; 0 chunks: it is not there."""

    before: int
    after: int
    same_text: bool = False

    def versions(self, document: str) -> tuple[Version | None, Version | None]:
        """The two versions of a document."""
        old = Version(document, "w1n1", "w1n1", self.before)
        new = Version(document, "w2n2", "w1n1" if self.same_text else "w2n2", self.after)
        return old if self.before else None, new if self.after else None


REPLACEMENTS = {
    "as many": Replacement(6, 6),
    "fewer": Replacement(6, 1),
    "more": Replacement(1, 6),
    "metadata": Replacement(4, 4, same_text=True),
    "the first": Replacement(0, 6),
    "a deletion": Replacement(6, 0),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Death(Fault):
    """Whoever sent the request is killed when it has been carried out, before the answer comes."""

    applied: bool = True
    process: Future[int] = field(default_factory=Future)

    async def _reply(self, course: Course) -> HttpReply:
        os.kill(self.process.result(10), signal.SIGKILL)
        return NOTHING


@dataclass
class Killing:
    """Documents, each replaced by a writer that was killed after another request."""

    place: Place
    nursery: Nursery
    versions: dict[str, tuple[Version | None, Version | None]] = field(default_factory=dict)

    def replace(self, document: str, version: Version | None, death: Death | None = None) -> int:
        """Let a process write that version; how it ended."""
        number = self.nursery.start(
            role="once",
            config=config(self.place),
            environment=dict(self.place.environment),
            lease=LEASE,
            document=document,
            version=version and asdict(version),
        )
        if death is not None:
            death.process.set_result(number)
        return self.nursery.wait(number)

    def every(self, docs: Collection, replacement: Replacement) -> None:
        """Kill a writer after each of its requests about records, until one has none left."""
        for skipped in range(_MOST):
            document, after = self.prepared(docs, replacement)
            self.place.emulator.inject(death := Death(), path=self.place.paths, skip=skipped)
            if (ended := self.replace(document, after, death)) == 0:
                break
            assert ended == -signal.SIGKILL
        self.place.calm()
        assert 1 < skipped < _MOST - 1, f"{skipped} requests"

    def prepared(self, docs: Collection, replacement: Replacement) -> tuple[str, Version | None]:
        """A new document as it is before, and what it is to become."""
        document = f"d{len(self.versions)}"
        self.versions[document] = before, after = replacement.versions(document)
        if before is not None:
            docs.upsert(before.content())
        return document, after


def unlike_committed(docs: Collection, killing: Killing) -> Iterator[str]:
    """Documents that are neither old nor new, and hits that are not all of what the document is."""
    for document, versions in killing.versions.items():
        found = docs.get(document)
        current = next((each for each in versions if each and found == each.content()), None)
        if (found is not None and current is None) or (found is None and None not in versions):
            yield f"{document} is {found}, of {versions}"
        hits = hits_of(docs, document)
        wrong = misfits(hits, current) if current else hits and f"{len(hits)} chunks are found, as {hits[0]}"
        if wrong:
            yield f"{document} is {current}, and a search shows: {wrong}"


def hits_of(docs: Collection, document: str) -> list[Part]:
    found = docs.search("w1n1", limit=50, where=F.document == document)
    return [Part.of(hit.document_id, hit.metadata, hit.text) for hit in found]


# ------------------------------------------------------------ what puts it right


def written_anew(docs: Collection, place: Place, documents: list[str]) -> Iterator[str]:
    """The next version has one chunk, so that nothing is overwritten by chance."""
    fresh = {document: Version(document, "w3n3", "w3n3", 1) for document in documents}
    docs.upsert([version.content() for version in fresh.values()])
    parts = [part for part in place.parts() if part.document in fresh]
    yield from wrong_records(parts, {(each.document, each.stamp): each for each in fresh.values()})
    if heads(parts).keys() != fresh.keys():
        yield f"there are {len(heads(parts))} of {len(fresh)} documents"


def deleted(docs: Collection, place: Place, documents: list[str]) -> Iterator[str]:
    """They are deleted, by their ids."""
    docs.delete(documents)
    groups = by_document(place.parts())
    yield from (f"{len(groups[key])} records of {key} are left" for key in documents if key in groups)


def repaired(docs: Collection, killing: Killing, documents: list[str]) -> Iterator[str]:
    """All is repaired; what was committed stays."""
    committed = docs.get_many(documents)
    docs.repair()
    yield from (f"a second repair found {what}" for what in found_by(docs.repair()))
    known = [version for key in documents for version in killing.versions[key] if version]
    parts = [part for part in killing.place.parts() if part.document in documents]
    yield from wrong_records(parts, {(each.document, each.stamp): each for each in known})
    if heads(parts) != {each.id: whole(each).stamp for each in committed}:
        yield "other versions are there than before the repair"


@pytest.mark.parametrize("turn", range(3 if os.environ.get("NESTVEC_SOAK") else 1))
@pytest.mark.usefixtures("hastened")
@pytest.mark.parametrize("server", ["qdrant", "pinecone"])
def test_what_a_killed_writer_did_not_commit_is_not_found(server: str, turn: int, nursery: Nursery) -> None:
    with PLACES[server]() as place, opened(place) as client:
        client.apply()
        docs, killing = client["docs"], Killing(place, nursery)
        for replacement in REPLACEMENTS.values():
            killing.every(docs, replacement)
        time.sleep(LEASE + GRACE)
        wrong = [*attempted(unlike_committed(docs, killing))]
        time.sleep(SILENCE - LEASE - GRACE)
        # A third each, so that one neighbour's remedy is not another's.
        thirds = [[*killing.versions][(start + turn) % 3 :: 3] for start in range(3)]
        wrong += attempted(written_anew(docs, place, thirds[0]))
        wrong += attempted(deleted(docs, place, thirds[1]))
        wrong += attempted(repaired(docs, killing, thirds[2]))
        assert not wrong, told(wrong)

"""Several processes write the same documents and are killed; what is there afterwards is what one of them wrote."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nestvec._client.sync_collection import Collection

from .judge import History, by_document, heads, wrong_records, wrong_versions
from .nursery import Nursery
from .raw import PLACES, Place
from .stage import GRACE, LEASE, SILENCE, attempted, config, found_by, opened, told
from .versions import Part, Version, misfits, whole

#: Campaigns for each server: five, and a hundred where there is time for them.
SEEDS = range(100 if os.environ.get("NESTVEC_SOAK") else 5)
#: Seconds that a campaign's writers write, and steps that they try in that time; on a busy machine, it takes longer.
SECONDS, STEPS, PATIENCE = 3.0, 40, 30.0
WRITERS = ("0", "1", "2")
#: Of some campaigns, all writers replace a single one.
DOCUMENTS = {0: ["d0", "d1", "d2"], 1: ["d0"], 2: ["d0", "d1"]}
#: Finds all there is, and all that should not be.
EVERYTHING = 200

SERVERS = [pytest.param(name, marks=pytest.mark.server if name == "milvus" else ()) for name in PLACES]


# ------------------------------------------------------------ the campaign


@dataclass
class Crew:
    """The writers of a campaign. Whoever is killed is replaced by a successor, who begins anew."""

    nursery: Nursery
    place: Place
    folder: Path
    seed: int
    documents: list[str]
    alive: dict[str, int] = field(default_factory=dict)
    logs: dict[str, list[Path]] = field(default_factory=dict)
    deaths: dict[Path, float] = field(default_factory=dict)

    def order(self, role: str, log: Path, **more: Any) -> dict[str, Any]:
        return {
            "role": role,
            "config": config(self.place),
            "environment": dict(self.place.environment),
            "lease": LEASE,
            "seed": f"{self.seed}/{log.name}",
            "log": str(log),
            "stop": str(self.stop(role)),
            "documents": self.documents,
            **more,
        }

    def stop(self, role: str) -> Path:
        """The file that ends those with that role, as soon as it is there."""
        return self.folder / f"{role}.stop"

    def steps(self, writer: str | None = None) -> int:
        """How many lines the writers wrote down; of one writer, since it was last replaced."""
        logs = self.logs[writer][-1:] if writer else [log for logs in self.logs.values() for log in logs]
        return sum(len(log.read_text().splitlines()) for log in logs if log.exists())

    def start(self, writer: str) -> None:
        logs = self.logs.setdefault(writer, [])
        logs.append(log := self.folder / f"writer-{writer}-{len(logs)}.jsonl")
        order = self.order("write", log, name=writer, first=1000 * len(logs))
        self.alive[writer] = self.nursery.start(**order)

    def kill(self, writer: str) -> None:
        log = self.logs[writer][-1]
        assert self.nursery.kill(self.alive.pop(writer)) in (-signal.SIGKILL, 0), f"see the errors of {log.name}"
        self.deaths[log] = time.monotonic()

    def join(self) -> None:
        for writer, number in self.alive.items():
            assert self.nursery.wait(number) == 0, f"see the errors of {self.logs[writer][-1].name}"
        self.alive.clear()

    def history(self, reader: Path) -> History:
        history = History(self.documents)
        for log in (each for logs in self.logs.values() for each in logs):
            history.writer(log, self.deaths.get(log), LEASE + GRACE)
        history.reader(reader)
        return history


def campaign(nursery: Nursery, place: Place, seed: int, folder: Path) -> History:
    """Let writers write and die, and a reader read until nothing of them can be in flight any more."""
    rng = random.Random(seed)
    place.storm(seed, LEASE)
    crew, log = Crew(nursery, place, folder, seed, DOCUMENTS[seed % len(DOCUMENTS)]), folder / "reader.jsonl"
    reader = nursery.start(**crew.order("read", log, limit=EVERYTHING))
    for writer in WRITERS:
        crew.start(writer)
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < SECONDS or (crew.steps() < 2 * STEPS and passed < PATIENCE):
        time.sleep(rng.uniform(0.2, 1.0))
        writer = rng.choice(WRITERS)
        if crew.steps(writer) > 2:
            crew.kill(writer)
            crew.start(writer)
    for writer in WRITERS:  # of most, nobody takes up what they left
        if rng.random() < 0.7:
            crew.kill(writer)
    crew.stop("write").touch()
    crew.join()
    time.sleep(SILENCE)
    crew.stop("read").touch()
    assert nursery.wait(reader) == 0
    place.calm()
    return crew.history(log)


@pytest.mark.usefixtures("hastened")
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("seed", SEEDS)
def test_writers_that_meet_and_die_leave_what_one_of_them_wrote(
    server: str, seed: int, nursery: Nursery, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if server == "milvus":
        request.getfixturevalue("milvus_server")  # so that it goes on until the last campaign is over
    with PLACES[server]() as place, opened(place) as client:
        client.apply()
        history = campaign(nursery, place, seed, tmp_path)
        assert history.steps > STEPS / 4, "the machine is too busy for a campaign"
        wrong = [*history.complaints, *history.wrong_searches(LEASE)]
        wrong += attempted(wrong_answers(client["docs"], history.documents))
        wrong += attempted(ENDINGS[seed % len(ENDINGS)](client["docs"], place, history))
        assert not wrong, told(wrong)


def wrong_answers(docs: Collection, documents: Sequence[str]) -> Iterator[str]:
    """Where a search and a look-up contradict each other, now that nobody writes."""
    stored = {each.id: whole(each).stamp for each in docs.get_many(documents)}
    for part in hits(docs):
        if stored.get(part.document) != part.stamp:
            yield f"nobody writes, and a search finds {part} of a document that is {stored.get(part.document)}"


def hits(docs: Collection, **more: Any) -> list[Part]:
    found = docs.search("w1n1001d0c0of1", limit=EVERYTHING, **more)
    return [Part.of(hit.document_id, hit.metadata, hit.text, id=hit.id) for hit in found]


# ------------------------------------------------------------ how it is put right, and what is there then


def repaired(docs: Collection, place: Place, history: History) -> Iterator[str]:
    """A repair leaves what was written last, and nothing else; a second one finds nothing."""
    before = place.parts()
    docs.repair(dry_run=True)
    if place.parts() != before:
        yield "a dry run changed something"
    docs.repair()
    yield from (f"a second repair found {what}" for what in found_by(docs.repair()))
    yield from settled(docs, place, history.versions)
    yield from wrong_versions(history, place.parts())


def written_anew(docs: Collection, place: Place, history: History) -> Iterator[str]:
    """The next write of each document removes what others left of it."""
    fresh = [Version(document, "x9", "x9", 1 + number % 2) for number, document in enumerate(history.documents)]
    report = docs.upsert([version.content() for version in fresh])
    if report.documents != len(fresh):
        yield f"the last write: {report}"
    yield from settled(docs, place, {(each.document, each.stamp): each for each in fresh})
    if set(by_document(place.parts())) != set(history.documents):
        yield "the last write is not what is there"


def deleted(docs: Collection, place: Place, history: History) -> Iterator[str]:
    """Deleting the documents removes all of them."""
    docs.delete(history.documents)
    yield from emptied(docs, place, history)


def cleared(docs: Collection, place: Place, history: History) -> Iterator[str]:
    """Deleting everything leaves nothing."""
    docs.delete(everything=True)
    yield from emptied(docs, place, history)


def emptied(docs: Collection, place: Place, history: History) -> Iterator[str]:
    if left := place.parts():
        yield f"{len(left)} records are left after a deletion, as {left[0]}"
    if found := hits(docs):
        yield f"a search finds {found[0]} after a deletion"
    if docs.count(chunks=True) or docs.get_many(history.documents):
        yield "documents are there after a deletion"


def settled(docs: Collection, place: Place, versions: dict[tuple[str, str], Version]) -> Iterator[str]:
    """Whether records, documents and hits are exactly those of whole versions."""
    parts = place.parts()
    yield from wrong_records(parts, versions)
    if docs.count(chunks=True) != len(parts):
        yield f"{docs.count(chunks=True)} chunks are counted of {len(parts)}"
    found = hits(docs)
    if sorted(part.id for part in found) != sorted(part.id for part in parts):
        yield f"a search finds {len(found)} chunks of {len(parts)}"
    stored = heads(parts)
    for document, group in by_document(found).items():
        version = versions.get((document, stored.get(document, "")))
        wrong = "are of no version" if version is None else misfits(group, version)
        if wrong:
            yield f"a search for {document}: {wrong}"
    yield from attempted(unread(docs, by_document(parts), versions))


def unread(docs: Collection, stored: dict[str, list[Part]], versions: dict[tuple[str, str], Version]) -> Iterator[str]:
    for key in stored:
        found = docs.get(key)
        version = None if found is None else versions.get((key, whole(found).stamp))
        if found is None or version is None or found.text != version.content().text:
            yield f"{key} is read as {found}"


ENDINGS: list[Callable[[Collection, Place, History], Iterator[str]]] = [repaired, written_anew, deleted, cleared]

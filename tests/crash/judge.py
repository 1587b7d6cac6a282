"""The independent judge of a campaign: what was written down, what is stored, and whether the two go together.

It knows nothing of how nestvec replaces documents. It knows what was tried, when, and what came of it; that the last
one who wrote wins as a whole; and that therefore a version is out of date from when something else was known to be
there, if nobody tried to write that version later.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .versions import Part, Version, misfits

#: Seconds that no step takes, however busy the machine is.
_LONG = 20.0


@dataclass(frozen=True)
class Effect:
    """Somebody wanted a document to be a version (None: to be gone), or saw that it is.

    `certain` is whether that is known to have come about between the two times; otherwise it may have, or not.
    """

    document: str
    stamp: str | None
    begun: float
    ended: float
    certain: bool
    seen: bool = False


@dataclass
class History:
    """What is known of a campaign."""

    documents: Sequence[str]
    versions: dict[tuple[str, str], Version] = field(default_factory=dict)
    effects: dict[str, list[Effect]] = field(default_factory=lambda: defaultdict(list))
    searches: list[Mapping[str, Any]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    steps: int = 0

    def writer(self, log: Path, death: float | None, late: float) -> None:
        """Read a writer's log. What it did not see through may still come about `late` seconds after its death."""
        pending: dict[int, Mapping[str, Any]] = {}
        for entry in _entries(log):
            if entry["kind"] == "begin":
                pending[entry["number"]] = entry
                continue
            self.steps += 1
            self._outcome(pending.pop(entry["number"]), entry, log)
        for begun in pending.values():
            assert death is not None, f"{log.name}: a step was neither ended nor broken off: {begun}"
            self._add(begun, death + late, set())

    def _outcome(self, begun: Mapping[str, Any], ended: Mapping[str, Any], log: Path) -> None:
        if ended["kind"] == "error":
            self.complaints.append(f"{log.name}: a writer failed: {ended['error']}")
        if (took := ended["at"] - begun["at"]) > _LONG:
            self.complaints.append(f"{log.name}: a writer was held up for {took:.0f} s: {begun}")
        failed = ended.get("failed", [])
        self.complaints += [f"{log.name}: document {key} failed: {why}" for key, why in failed]
        sure = ended["kind"] == "done" and not ended.get("superseded")
        self._add(begun, ended["at"], self._named(begun) - {key for key, _ in failed} if sure else set())

    @staticmethod
    def _named(begun: Mapping[str, Any]) -> set[str]:
        return {each["document"] for each in begun["write"]} | set(begun["delete"])

    def _add(self, begun: Mapping[str, Any], ended: float, certain: set[str]) -> None:
        for each in begun["write"]:
            version = Version(**each)
            self.versions[version.document, version.stamp] = version
        wanted = {each["document"]: each["stamp"] for each in begun["write"]} | dict.fromkeys(begun["delete"])
        for document, stamp in wanted.items():
            self.effects[document].append(Effect(document, stamp, begun["at"], ended, document in certain))

    def reader(self, log: Path) -> None:
        """Read a reader's log, after those of the writers."""
        for entry in _entries(log):
            if entry["kind"] == "found":
                self.searches.append(entry)
            elif entry["kind"] == "torn":
                took = entry["until"] - entry["at"]
                self.complaints.append(f"{entry['document']} could not be read ({took:.1f} s): {entry['error']}")
            else:
                self._got(entry)

    def _got(self, entry: Mapping[str, Any]) -> None:
        document, seen = entry["document"], entry["seen"]
        stamp = None if seen is None else seen["stamp"]
        if seen is not None:
            version = self.versions.get((document, stamp))
            if version is None or seen["text"] != version.content().text:
                self.complaints.append(f"{document} was read as a text of no version: {seen}")
                return
        self.effects[document].append(Effect(document, stamp, entry["at"], entry["until"], True, seen=True))

    # ------------------------------------------------------------ the rule

    def outdated(self, document: str, stamp: str | None, at: float = math.inf) -> Effect | None:
        """What was known to be there instead, although nobody tried to write the version since, up to that moment.

        The earliest such thing; None: for all that is known, the version may be the current one.
        """
        effects = self.effects[document]
        tries = [each for each in effects if not each.seen and each.stamp == stamp and each.begun < at]
        latest = max((each.ended for each in tries), default=-math.inf)
        others = [each for each in effects if each.certain and each.stamp != stamp and each.begun > latest]
        return min(others, key=lambda each: each.ended, default=None)

    def wrong_searches(self, lease: float) -> Iterator[str]:
        """What searches found that had been out of date for longer than two leases, or never was anything."""
        told: set[Part] = set()
        for search in self.searches:
            for part in {Part(*each) for each in search["seen"]} - told:
                if (wrong := self._wrong_hit(part, search, lease)) is not None:
                    told.add(part)
                    yield wrong

    def _wrong_hit(self, part: Part, search: Mapping[str, Any], lease: float) -> str | None:
        if not part.belongs(self.versions.get((part.document, part.stamp))):
            return f"a search found a chunk of no version: {part}"
        since = self.outdated(part.document, part.stamp, search["until"])
        if since is None or search["at"] <= since.ended + 2 * lease:
            return None
        return f"a search found {part}, {search['at'] - since.ended:.1f} s after {since}"


def _entries(log: Path) -> Iterator[Mapping[str, Any]]:
    if log.exists():
        for line in log.read_text().splitlines():
            yield json.loads(line)


# ------------------------------------------------------------ what is stored


def by_document(parts: Iterable[Part]) -> dict[str, list[Part]]:
    """Chunks by what they say that they belong to."""
    groups: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        groups[part.document].append(part)
    return groups


def heads(parts: Iterable[Part]) -> dict[str, str]:
    """The stamp of each document that has a first chunk, as stored."""
    return {part.document: part.stamp for part in parts if part.chunk == 0}


def wrong_records(parts: Sequence[Part], versions: Mapping[tuple[str, str], Version]) -> Iterator[str]:
    """What is torn, left over or of nobody among all records of a collection."""
    for document, group in sorted(by_document(parts).items()):
        first = [part for part in group if part.chunk == 0]
        if len(first) != 1:
            yield f"{document}: {len(group)} records, {len(first)} of them heads"
            continue
        version = versions.get((document, first[0].stamp))
        if version is None:
            yield f"{document}: its head is of no version: {first[0]}"
        elif (wrong := misfits(group, version)) is not None:
            yield f"{document}, {version.stamp} of {version.chunks} chunks: {wrong}"


def wrong_versions(history: History, parts: Sequence[Part]) -> Iterator[str]:
    """Documents that are not what was written last, as far as that can be known."""
    found = heads(parts)
    for document in history.documents:
        instead = history.outdated(document, found.get(document))
        if instead is not None:
            yield f"{document} is {found.get(document)}, although later there was {instead}"

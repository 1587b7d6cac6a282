"""What the writers of a campaign write: every stored chunk tells which version of which document it belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nestvec.types import Document

#: Characters of a chunk: one word, and never two.
CHUNK = 16
SIZES = (1, 2, 4, 6, 9)
_WORD = re.compile(r"[wx][n\d]+d\d+c(?P<chunk>\d+)of\d+\s*\Z")


@dataclass(frozen=True)
class Version:
    """One version of a document.

    `stamp` says who made it: `w1n7`, the seventh of writer 1, or `x0`, one that all writers know. It is in the metadata
    of each chunk. `text` is the stamp of the version that had this text first: another one where only metadata changed.
    """

    document: str
    stamp: str
    text: str
    chunks: int

    def words(self) -> list[str]:
        """The chunks' texts."""
        return [f"{self.text}{self.document}c{chunk}of{self.chunks}" for chunk in range(self.chunks)]

    def content(self) -> Document:
        """The document, as it is written."""
        metadata = {"stamp": self.stamp, "document": self.document}
        return Document(self.document, " ".join(self.words()), metadata)


@dataclass(frozen=True)
class Part:
    """A chunk, as some client shows it. `chunk` is its number by nestvec's bookkeeping; None: not told."""

    document: str
    stamp: str
    text: str
    chunk: int | None = None
    id: str = ""

    @classmethod
    def of(cls, document: str, metadata: Mapping[str, Any], text: str | None, **more: Any) -> Part:
        """From what is stored, whatever it is."""
        return cls(document, str(metadata.get("stamp")), text or "", **more)

    @property
    def number(self) -> int:
        """Which chunk it is by its text, -1 if its text is none of a writer's."""
        found = _WORD.match(self.text)
        return int(found["chunk"]) if found else -1

    def belongs(self, version: Version | None) -> bool:
        """Whether it is a chunk of that version."""
        return (
            version is not None
            and (self.document, self.stamp) == (version.document, version.stamp)
            and self.text.strip() in version.words()
        )


def misfits(parts: Sequence[Part], version: Version) -> str | None:
    """What is wrong with these as the chunks of a version; None: they are exactly that."""
    strangers = [part for part in parts if not part.belongs(version)]
    if strangers:
        return f"{len(strangers)} chunks are of others, as {strangers[0]}"
    numbers = sorted(part.number for part in parts)
    if numbers != list(range(version.chunks)):
        return f"has the chunks {numbers} of {version.chunks}"
    told = [part.chunk for part in parts if part.chunk is not None and part.chunk != part.number]
    return f"chunks are numbered otherwise: {told}" if told else None


def whole(document: Document) -> Part:
    """A document that was read back, as if it were one chunk."""
    return Part.of(document.id, document.metadata, document.text)

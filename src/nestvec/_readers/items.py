"""What the readers take and give: the column mapping, and documents or failures with their place."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from nestvec.errors import InvalidInput

if TYPE_CHECKING:
    from nestvec.types import Document


@dataclass(frozen=True, slots=True)
class Mapping:
    """Which columns (JSONL: keys) hold a document's id, text and metadata. None: the usual names.

    `metadata=None` takes every other column, `()` takes none. The id column may be metadata, too. Raises
    `InvalidInput` when one column is given two jobs that exclude each other.
    """

    id: str | None = None
    text: str | None = None
    metadata: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        names = [self.id, self.text, *(self.metadata or ())]
        if "" in names:
            raise InvalidInput("a column mapping has an empty name: name a column, or leave the option out")
        if self.id is not None and self.id == self.text:
            raise InvalidInput(f"column {self.id!r} is mapped twice, by --id and by --text: choose two columns")
        twice = [name for name, count in Counter(self.metadata or ()).items() if count > 1]
        if twice:
            raise InvalidInput(f"column {twice[0]!r} is mapped twice by --metadata: name it once")
        if self.text is not None and self.text in (self.metadata or ()):
            raise InvalidInput(f"column {self.text!r} is mapped twice, by --text and by --metadata: choose one")


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A document, and where it was found.

    `path` is the input as it was given ("-" for standard input), `line` the line where the document starts
    (Parquet: its row), None for a file that is one document. Lines count from 1. `position` is how many
    bytes of all inputs have been read so far.
    """

    document: Document
    path: str
    line: int | None
    position: int = 0


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """Something that is no document, and why; reading goes on after it.

    `error` is a whole sentence that names the place. `document_id` is known where only the rest is wrong.
    """

    error: str
    path: str
    line: int | None
    document_id: str | None = None
    position: int = 0


Item: TypeAlias = ReadDocument | ReadFailure

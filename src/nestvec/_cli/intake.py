"""From files to a collection: reads, checks, stores, and keeps count of what is durable."""

from __future__ import annotations

import itertools
import shutil
import sys
import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from nestvec._documents.upsert import IncomingDocument, check_document
from nestvec._limits import ReadLimits
from nestvec._readers import Inputs, Item, Mapping, ReadFailure, read
from nestvec.errors import InvalidDocument, InvalidInput, NotSettledWarning
from nestvec.types import FailedDocument, Report

if TYPE_CHECKING:
    from nestvec._cli.progress import Progress
    from nestvec._client.sync_collection import Collection
    from nestvec._documents.upsert import OnExisting

#: Batches that may be read but not yet stored; bounds how far the progress shown may lag behind.
_AHEAD = 3
#: Documents among which a field named on the command line must occur once.
_LOOK = 200


class Feed:
    """The documents of some inputs. What is no document is noted in `failed` and passed over."""

    def __init__(
        self,
        inputs: Inputs,
        mapping: Mapping,
        collection: Collection,
        stdin: BinaryIO | None = None,
        limits: ReadLimits = ReadLimits(),  # noqa: B008 - a frozen value
    ) -> None:
        self.failed: list[FailedDocument] = []
        self.position = 0
        self._items = read(inputs, mapping, stdin=stdin, fields=collection.spec.projection.columns, limits=limits)
        self._chosen = set(mapping.metadata or ()) - set(collection.spec.fields)

    def __iter__(self) -> Iterator[IncomingDocument]:
        documents = self._documents()
        if self._chosen:
            first = list(itertools.islice(documents, _LOOK))
            self._check_chosen(first)
            yield from first
        yield from documents

    def _check_chosen(self, first: list[IncomingDocument]) -> None:
        """A misspelt field must not wipe the metadata of what is stored: that would look like a change."""
        seen = {name for item in first for name in item.document.metadata}
        for name in sorted(self._chosen - seen) if first else ():
            raise InvalidInput(
                f"--metadata {name}: none of the first {len(first)} documents has such a field, and the collection "
                f"does not declare it; check the spelling, or declare it. Nothing was stored"
            )

    def _documents(self) -> Iterator[IncomingDocument]:
        for item in self._items:
            self.position = item.position
            if isinstance(item, ReadFailure):
                self.failed.append(_unread(item))
            else:
                yield IncomingDocument(item.document, item.line, item.path)


def _unread(item: Item) -> FailedDocument:
    assert isinstance(item, ReadFailure)  # noqa: S101 - for the type checker
    return FailedDocument(item.document_id, item.error, item.line, item.path)


class Ingestion:
    """One run. `stored` adds up what is durable, so that an interrupted run can say how far it came."""

    def __init__(
        self,
        collection: Collection,
        feed: Feed,
        progress: Progress,
        settle: float,
        on_existing: OnExisting = "replace",
    ) -> None:
        self.stored = Report()
        self._collection = collection
        self._feed = feed
        self._progress = progress
        self._settle = settle
        self._on_existing = on_existing
        self._settled = 0
        self._waiting: deque[tuple[int, int]] = deque(maxlen=_AHEAD * collection.spec.model.batch)

    @property
    def failed(self) -> list[FailedDocument]:
        """Everything that was not stored, as far as it is known."""
        return sorted([*self._feed.failed, *self.stored.failed], key=lambda one: (one.path or "", one.line or 0))

    def run(self) -> None:
        """Store everything. Raises whatever stops the whole; `stored` then tells how far it came."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotSettledWarning)  # the command tells it
            self.stored = self._collection.upsert(
                self._documents(),
                on_existing=self._on_existing,
                on_failure="report",
                progress=self._durable,
                settle=self._settle,
            )

    def _documents(self) -> Iterator[IncomingDocument]:
        for number, item in enumerate(self._feed, 1):
            self._waiting.append((number, self._feed.position))
            yield item

    def _durable(self, report: Report) -> None:
        self.stored += report
        self._settled += report.documents + len(report.failed) + report.skipped
        while len(self._waiting) > 1 and self._waiting[0][0] < self._settled:
            self._waiting.popleft()
        if self._waiting:
            self._progress.advance(self._waiting[0][1], self.stored.documents)


def check(feed: Feed, collection: Collection) -> list[FailedDocument]:
    """Read everything and store nothing: what would fail, duplicates included."""
    from nestvec._client.ingestion import Intake

    intake = Intake(collection.spec)
    bad: list[FailedDocument] = []
    for item in feed:
        try:
            check_document(item.document, collection.spec.projection)
        except InvalidDocument as error:
            bad.append(item.failed(error))
        else:
            intake.admit(item)
    return [*feed.failed, *bad, *intake.failed]


@contextmanager
def twice(inputs: Inputs) -> Iterator[Callable[[], BinaryIO | None]]:
    """Let inputs be read twice: gives a function that opens standard input anew, from a copy on disk."""
    if all(source.path is not None for source in inputs.sources):
        yield lambda: None
        return
    with tempfile.TemporaryFile(prefix="nestvec-") as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)

        def rewound() -> BinaryIO:
            copy.seek(0)
            return copy

        yield rewound

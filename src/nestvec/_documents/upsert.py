"""Ingesting documents: what is unchanged is left alone, what changed is replaced without a gap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from nestvec._chunking import EMPTY, Splitter, joined
from nestvec._collections.checks import check_tenant, require_keeping, require_own
from nestvec._collections.opening import OpenCollection, Target, WriteTurn, on_current
from nestvec._documents.layout import (
    DocumentState,
    Head,
    chunk_ids,
    hash_text,
    make_record,
    read_states,
    sweep,
)
from nestvec._documents.replacing import (
    Replacement,
    ReplacementOutcome,
    begin_turn,
    replace_documents,
)
from nestvec._documents.tidying import tidy_after_dead
from nestvec._hosts.admission import admit
from nestvec._metadata import ProjectedMetadata, Projection, hash_metadata, misfits_of
from nestvec.contract import Encode, Event, Fetch, Group
from nestvec.errors import InvalidDocument
from nestvec.types import DENSE, Document, FailedDocument, FieldMisfit, Record, Report, Span, Usage

if TYPE_CHECKING:
    from nestvec._documents.vouching import Vouching
    from nestvec._specs import CollectionSpec
    from nestvec.types import FloatArray


OnExisting: TypeAlias = Literal["replace", "skip", "fail"]


@dataclass(frozen=True, slots=True)
class IncomingDocument:
    """A document on its way in, with the file and line it came from."""

    document: Document
    line: int | None = None
    path: str | None = None

    def failed(self, error: object) -> FailedDocument:
        """The failure of this document."""
        identity = self.document.id if isinstance(self.document.id, str) else None
        return FailedDocument(identity, str(error), self.line, self.path)


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A valid document, split."""

    id: str
    text: str
    metadata: Mapping[str, Any]
    spans: tuple[Span, ...]
    hashes: tuple[str, ...]
    document_hash: str
    metadata_hash: str
    layout: str
    source: IncomingDocument
    misfits: Mapping[str, str] = field(default_factory=dict)
    #: The chunks' texts, where they are not what the document has at their spans; and the vectors that came with them.
    own_texts: tuple[str, ...] | None = None
    given: Mapping[int, FloatArray] = field(default_factory=dict)

    def matches(self, head: Head | None) -> bool:
        """Whether the stored version is this one."""
        return (
            head is not None
            and head.document_hash == self.document_hash
            and head.metadata_hash == self.metadata_hash
            and head.layout == self.layout
        )

    def texts(self) -> list[str]:
        """The chunks' texts."""
        return [self.chunk(number) for number in range(len(self.spans))]

    def chunk(self, number: int) -> str:
        """A chunk's text."""
        start, end = self.spans[number]
        return self.text[start:end] if self.own_texts is None else self.own_texts[number]

    def group(self, numbers: Sequence[int]) -> Group:
        """What to embed of it."""
        if self.own_texts is None:
            return Group(self.id, self.text, tuple(self.spans[i] for i in numbers))
        text, spans = joined([self.own_texts[i] for i in numbers])
        return Group(self.id, text, spans)

    def vectors(self, *, late: bool) -> dict[str | int, FloatArray]:
        """The vectors that it came with, by what each is known by."""
        return {number if late else self.hashes[number]: row for number, row in self.given.items()}


@dataclass(slots=True)
class PendingDocument:
    """A document being ingested, beside what is stored of it."""

    new: PreparedDocument
    old: Head | None = None
    vectors: dict[str | int, FloatArray] = field(default_factory=dict)

    @property
    def same_text(self) -> bool:
        """Whether text and splitting are those that are stored."""
        old, new = self.old, self.new
        return old is not None and (old.document_hash, old.layout) == (new.document_hash, new.layout)

    def keys(self, *, late: bool) -> Sequence[str | int]:
        """What each chunk's vector is known by: its text — or its place, where neighbours matter."""
        return range(len(self.new.spans)) if late else self.new.hashes

    def missing(self, *, late: bool) -> list[int]:
        """Numbers of the chunks to embed, each text once. Late chunking embeds all of a document or none."""
        keys = self.keys(late=late)
        if len(keys) == 1:
            return [] if keys[0] in self.vectors else [0]
        if late:
            return [] if len(self.vectors) == len(keys) else list(keys)  # type: ignore[arg-type]  # a range here
        first = {key: i for i, key in reversed(list(enumerate(keys)))}
        return sorted(i for key, i in first.items() if key not in self.vectors)

    def complete(self, *, late: bool) -> bool:
        """Whether every chunk has its vector."""
        return all(key in self.vectors for key in self.keys(late=late))

    def head(self, turn: WriteTurn | None) -> Head:
        """What the first chunk of the new version will say."""
        new, revision = self.new, next_revision(self.old, turn)
        return Head(revision, len(new.spans), new.document_hash, new.metadata_hash, new.layout)


def next_revision(old: Head | None, turn: WriteTurn | None) -> int | str:
    """Under which revision a new version is written.

    Nobody else's where several processes write. Where one does, the other of two: so what it left when it died is found
    by computed ids, without a search that embedded engines are slow at.
    """
    if turn is not None:
        return turn.revision
    return 1 if old is not None and old.revision == 0 else 0


async def upsert(
    collection: OpenCollection,
    incoming: Sequence[IncomingDocument],
    vouching: Vouching | None = None,
    on_existing: OnExisting = "replace",
) -> Report:
    """Ingest one batch of documents with distinct ids. `vouching` says whose vectors they bring, if any.

    Documents that cannot be stored are named in the report; all others are stored. If the alias moves meanwhile, the
    batch is repeated on the new generation.
    """
    splitter = await collection.session.splitter()
    spec = collection.spec
    if spec.namespaces or collection.tenant is not None:
        check_tenant(spec, collection.tenant)
    if spec.foreign is not None:
        require_own(spec, "store documents in it")
    prepared, failed = prepare(spec, splitter, incoming)
    measuring = await vouching.confirm(collection, splitter, prepared) if vouching is not None else None
    report = await on_current(collection, partial(store, collection, prepared, on_existing=on_existing))
    if measuring is not None:
        report += Report(usage=measuring)
    for failure in failed:
        collection.session.emit(Event("document_failed", collection.spec.name, {"document_id": failure.document_id}))
    misfits = _misfits(spec, prepared, report)
    return report + Report(failed=tuple(failed), misfits=misfits) if failed or misfits else report


def _misfits(spec: CollectionSpec, prepared: Sequence[PreparedDocument], report: Report) -> tuple[FieldMisfit, ...]:
    """What the stored documents have in their fields that filters do not find."""
    touched = [item for item in prepared if item.misfits]
    missed = {failure.document_id for failure in report.failed} if touched else ()
    return tuple(
        each for item in touched if item.id not in missed for each in misfits_of(item.misfits, spec.fields, item.id)
    )


def prepare(
    spec: CollectionSpec, splitter: Splitter, incoming: Sequence[IncomingDocument]
) -> tuple[list[PreparedDocument], list[FailedDocument]]:
    """Check and split documents; no I/O."""
    layout = spec.layout
    good: list[PreparedDocument] = []
    bad: list[FailedDocument] = []
    for item in incoming:
        try:
            good.append(_prepare(spec, splitter, item, layout))
        except InvalidDocument as error:
            bad.append(item.failed(error))
    return good, bad


def _prepare(spec: CollectionSpec, splitter: Splitter, item: IncomingDocument, layout: str) -> PreparedDocument:
    document = item.document
    if document.vector is not None or document.chunks is not None or spec.without_embedder:
        from nestvec._documents.given import prepare_given

        return prepare_given(spec, item)
    projected = check_document(document, spec.projection, empty=spec.keep_empty)
    if spec.keep_empty and not (document.text or "").strip():
        from nestvec._documents.blank import prepare_blank

        return prepare_blank(spec, item, projected)
    assert document.text is not None  # noqa: S101 - checked
    spans = splitter.split(document.id, document.text)
    whole = spans == ((0, len(document.text)),)
    hashes = tuple(hash_text(document.text[start:end]) for start, end in spans)
    return PreparedDocument(
        id=document.id,
        text=document.text,
        metadata=projected.stored,
        misfits=projected.misfits,
        spans=spans,
        hashes=hashes,
        document_hash=hashes[0] if whole else hash_text(document.text),
        metadata_hash=hash_metadata(projected.stored),
        layout=layout,
        source=item,
    )


def check_document(document: Document, projection: Projection, *, empty: bool = False) -> ProjectedMetadata:
    """The metadata as they are stored. Raises `InvalidDocument` unless id, text (`empty`: or none) and metadata can."""
    if not isinstance(document.id, str) or not document.id:
        raise InvalidDocument(f"a document id must be a non-empty string or an integer, not {document.id!r:.80}")
    text = "" if document.text is None and empty else document.text
    if not isinstance(text, str):
        raise InvalidDocument(f"document {document.id!r:.80}: the text must be a string, not {type(text).__name__}")
    if not text.strip() and not empty:
        raise InvalidDocument(
            f'document {document.id!r:.80} has no text: nothing to embed (empty = "keep" stores such documents, too)'
        )
    for what, value in (("id", document.id), ("text", text)):
        if value.isascii():
            continue
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidDocument(
                f"the {what} of document {ascii(document.id)[:80]} has a lone surrogate at character "
                f"{error.start}: not valid Unicode; repair the source"
            ) from error
    try:
        return projection.project(document.metadata)
    except InvalidDocument as error:
        raise InvalidDocument(f"document {document.id!r:.80}: {error}") from error


async def store(
    collection: OpenCollection,
    prepared: Sequence[PreparedDocument],
    target: Target,
    on_existing: OnExisting = "replace",
) -> Report:
    """Store documents that were prepared, in the target that was opened for writing."""
    if not prepared:
        return Report()
    if any(item.layout == EMPTY for item in prepared):
        require_keeping(collection.spec, target.stored)
    tidied = await tidy_after_dead(collection, target) if collection.shared else 0
    states, late = await read_states(collection, target, [item.id for item in prepared]), _late(collection)
    kept_back = Report()
    if on_existing != "replace":
        prepared, kept_back = _new_ones(prepared, states, on_existing)
    unchanged = [item for item in prepared if item.matches(states[item.id].sound)]
    changed = [
        PendingDocument(item, states[item.id].sound, item.vectors(late=late) if item.given else {})
        for item in prepared
        if not item.matches(states[item.id].sound)
    ]
    await _keep(collection, target, changed)
    wanted = _wanted(collection.spec, changed)
    # Who may not embed here changes nothing here.
    known = not wanted or collection.state.knows_host(target, writing=True)
    measuring = Usage() if known else await admit(collection, target, writing=True)
    swept = tidied + await sweep(collection, target, states)
    report = Report(
        documents=len(unchanged),
        unchanged=sum(len(item.spans) for item in unchanged),
        deleted=swept,
        usage=measuring,
    )
    if on_existing != "replace":
        report += kept_back
    if not changed:
        return report
    failed, usage, embedded = await _embed(collection, wanted)
    ready = [item for item in changed if item.complete(late=late)]
    turn = begin_turn(collection, sum(len(item.new.spans) for item in ready)) if collection.shared else None
    outcome = await replace_documents(
        collection, target, [_replacement(collection, item, turn) for item in ready], turn
    )
    tell(collection, outcome)
    sources = {item.new.id: item.new for item in ready}
    refused = [sources[item.document_id].source.failed(error) for item, error in outcome.refused]
    fresh = sum(embedded[item.document_id] for item in outcome.stored)
    given = sum(len(sources[item.document_id].given) for item in outcome.stored)
    kept = sum(len(item.records) for item in outcome.stored) - fresh - given
    return report + Report(
        len(outcome.stored),
        fresh,
        kept,
        outcome.removed,
        (*failed, *refused),
        usage=usage,
        superseded=len(outcome.superseded),
        given=given,
    )


def _new_ones(
    prepared: Sequence[PreparedDocument], states: Mapping[str, DocumentState], on_existing: OnExisting
) -> tuple[list[PreparedDocument], Report]:
    """Documents that are not stored yet; and what is to be reported of the others, which stay as they are."""
    there = [item for item in prepared if states[item.id].head is not None]
    new = [item for item in prepared if states[item.id].head is None]
    if on_existing == "skip":
        return new, Report(skipped=len(there))
    told = 'is stored already, and was left as it is (on_existing = "fail")'
    return new, Report(failed=tuple(item.source.failed(f"document {item.id!r:.80} {told}") for item in there))


def _late(collection: OpenCollection) -> bool:
    return collection.spec.space.late_chunking


def tell(collection: OpenCollection, outcome: ReplacementOutcome) -> None:
    """Tell listeners what became of each document."""
    name = collection.spec.name
    collection.session.emit(
        *(Event("document_written", name, _told(item)) for item in outcome.stored),
        *(Event("document_superseded", name, _told(item)) for item in outcome.superseded),
    )


def _told(item: Replacement) -> dict[str, object]:
    return {"document_id": item.document_id, "chunks": len(item.records)}


async def _keep(collection: OpenCollection, target: Target, changed: Sequence[PendingDocument]) -> None:
    """Read the vectors of stored chunks whose text did not change.

    Under late chunking a vector depends on its neighbours: there they are kept only if nothing of the text or
    its splitting changed.
    """
    late = collection.spec.space.late_chunking
    owners = {
        identity: item
        for item in changed
        if item.old is not None and (not late or item.same_text) and not (item.vectors and item.complete(late=late))
        for identity in chunk_ids(collection.tenant, item.new.id, item.old.revision, range(item.old.chunks))
    }
    if not owners:
        return
    batch = await collection.records.fetch(Fetch(target.physical, list(owners), vectors=True, content=False))
    assert batch.vectors is not None  # noqa: S101 - asked for
    for record, vector in zip(batch.records, batch.vectors[DENSE], strict=True):
        key = record.system["chunk"] if late else record.system["hash"]
        owner = owners[record.id]
        if owner.old is not None and record.system.get("version") == owner.old.version:
            owner.vectors[key] = vector


def _wanted(spec: CollectionSpec, changed: Sequence[PendingDocument]) -> list[tuple[PendingDocument, list[int]]]:
    """What has to be embedded: documents, with the numbers of their chunks that have no vector yet."""
    late = spec.space.late_chunking
    return [(item, missing) for item in changed if (missing := item.missing(late=late))]


async def _embed(
    collection: OpenCollection, wanted: Sequence[tuple[PendingDocument, list[int]]]
) -> tuple[list[FailedDocument], Usage, Counter[str]]:
    """Embed those chunks. Returns failures, usage and how many were embedded by document."""
    space = collection.spec.space
    if not wanted:
        return [], Usage(), Counter()
    groups = tuple(item.new.group(missing) for item, missing in wanted)
    reply = await collection.session.encode(Encode(groups, space.index_task, space.dimensions, space.late_chunking))
    embedded: Counter[str] = Counter()
    for (item, missing), rows in zip(wanted, reply.vectors, strict=True):
        if rows is not None:
            keys = item.keys(late=space.late_chunking)
            fresh = {keys[i]: row for i, row in zip(missing, rows, strict=True)}
            item.vectors |= fresh
            embedded[item.new.id] = sum(key in fresh for key in keys)
    failed = [wanted[failure.group][0].new.source.failed(failure.error) for failure in reply.failures]
    return failed, reply.usage, embedded


def _replacement(collection: OpenCollection, item: PendingDocument, turn: WriteTurn | None) -> Replacement:
    """What to write for a document that has all of its vectors."""
    keys, head = item.keys(late=collection.spec.space.late_chunking), item.head(turn)
    return Replacement(
        item.new.id,
        [_record(collection, item.new, head, chunk) for chunk in range(len(item.new.spans))],
        np.stack([item.vectors[key] for key in keys]) if len(keys) > 1 else item.vectors[keys[0]][np.newaxis],
        item.old,
    )


def _record(collection: OpenCollection, new: PreparedDocument, head: Head, chunk: int) -> Record:
    return make_record(
        tenant=collection.tenant,
        document_id=new.id,
        chunk=chunk,
        span=new.spans[chunk],
        text=new.chunk(chunk),
        text_hash=new.hashes[chunk],
        metadata=new.metadata,
        head=head,
        store_text=collection.spec.store_text,
    )

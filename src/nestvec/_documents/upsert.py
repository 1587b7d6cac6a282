"""Ingesting documents: what is unchanged is left alone, what changed is replaced without a gap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nestvec._chunking import Splitter
from nestvec._collections.opening import Binding, Emit, Flow, Splitting, Target, check_tenant, require_own, send_fenced
from nestvec._documents.funnel import named
from nestvec._documents.layout import Head, chunk_ids, hash_text, make_record
from nestvec._documents.stored import on_current, read_states, sweep
from nestvec._hosts.admission import admit
from nestvec._metadata import check_metadata, hash_metadata
from nestvec.contract import Batch, Encode, Encoded, Event, Fetch, Group, Remove, Write
from nestvec.errors import BackendRefused, InvalidDocument
from nestvec.types import DENSE, Document, FailedDocument, Field, Metadata, Record, Report, Span, Usage

if TYPE_CHECKING:
    from nestvec._specs import CollectionSpec
    from nestvec.types import FloatArray


@dataclass(frozen=True, slots=True)
class Incoming:
    """A document on its way in, with the file and line it came from."""

    document: Document
    line: int | None = None
    path: str | None = None

    def failed(self, error: object) -> FailedDocument:
        """The failure of this document."""
        identity = self.document.id if isinstance(self.document.id, str) else None
        return FailedDocument(identity, str(error), self.line, self.path)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A valid document, split."""

    id: str
    text: str
    metadata: Metadata
    spans: tuple[Span, ...]
    hashes: tuple[str, ...]
    document_hash: str
    metadata_hash: str
    layout: str
    source: Incoming

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
        return [self.text[start:end] for start, end in self.spans]


@dataclass(slots=True)
class Work:
    """A document being ingested, beside what is stored of it."""

    new: Prepared
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
        if late:
            return [] if len(self.vectors) == len(keys) else list(keys)  # type: ignore[arg-type]  # a range here
        first = {key: i for i, key in reversed(list(enumerate(keys)))}
        return sorted(i for key, i in first.items() if key not in self.vectors)

    def complete(self, *, late: bool) -> bool:
        """Whether every chunk has its vector."""
        return all(key in self.vectors for key in self.keys(late=late))

    @property
    def head(self) -> Head:
        """What the first chunk of the new version will say."""
        revision = 0 if self.old is None else 1 - self.old.revision
        new = self.new
        return Head(revision, len(new.spans), new.document_hash, new.metadata_hash, new.layout)


def upsert(
    binding: Binding, splitter: Splitter, incoming: Sequence[Incoming], tenant: str | None = None
) -> Flow[Report]:
    """Ingest one batch of documents with distinct ids.

    Documents that can not be stored are named in the report; all others are stored. If the pointer moves
    meanwhile, the batch is repeated on the new generation.
    """
    check_tenant(binding.spec, tenant)
    require_own(binding.spec, "store documents in it")
    prepared, failed = prepare(binding.spec, splitter, incoming)
    report = yield from store(binding, prepared, tenant)
    for failure in failed:
        yield Emit(Event("document_failed", binding.spec.name, {"document_id": failure.document_id}))
    return report + Report(failed=tuple(failed))


def ingest(binding: Binding, incoming: Sequence[Incoming], tenant: str | None = None) -> Flow[Report]:
    """The same, with the splitter that the driver has for this collection."""
    splitter: Splitter = yield Splitting()
    return (yield from upsert(binding, splitter, incoming, tenant))


def store(binding: Binding, prepared: Sequence[Prepared], tenant: str | None = None) -> Flow[Report]:
    """Store documents that were prepared; repeated on the new generation if the pointer moves meanwhile."""
    return (yield from on_current(binding, lambda target: _store(binding, target, prepared, tenant)))


def prepare(
    spec: CollectionSpec, splitter: Splitter, incoming: Sequence[Incoming]
) -> tuple[list[Prepared], list[FailedDocument]]:
    """Check and split documents; no I/O."""
    layout = spec.layout
    good: list[Prepared] = []
    bad: list[FailedDocument] = []
    for item in incoming:
        try:
            good.append(_prepare(spec, splitter, item, layout))
        except InvalidDocument as error:
            bad.append(item.failed(error))
    return good, bad


def _prepare(spec: CollectionSpec, splitter: Splitter, item: Incoming, layout: str) -> Prepared:
    document = item.document
    metadata = check_document(document, spec.fields)
    spans = splitter.split(document.id, document.text)
    whole = spans == ((0, len(document.text)),)
    hashes = tuple(hash_text(document.text[start:end]) for start, end in spans)
    return Prepared(
        id=document.id,
        text=document.text,
        metadata=metadata,
        spans=spans,
        hashes=hashes,
        document_hash=hashes[0] if whole else hash_text(document.text),
        metadata_hash=hash_metadata(metadata),
        layout=layout,
        source=item,
    )


def check_document(document: Document, fields: Mapping[str, Field]) -> Metadata:
    """The document's metadata, clean. Raises `InvalidDocument` unless id, text and metadata can be stored."""
    if not isinstance(document.id, str) or not document.id:
        raise InvalidDocument(f"a document id must be a non-empty string or an integer, not {document.id!r:.80}")
    if not isinstance(document.text, str):
        raise InvalidDocument(
            f"document {document.id!r:.80}: the text must be a string, not {type(document.text).__name__}"
        )
    if not document.text.strip():
        raise InvalidDocument(f"document {document.id!r:.80} has no text: nothing to embed")
    for what, value in (("id", document.id), ("text", document.text)):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidDocument(
                f"the {what} of document {ascii(document.id)[:80]} has a lone surrogate at character "
                f"{error.start}: not valid Unicode; repair the source"
            ) from error
    try:
        return check_metadata(document.metadata, fields)
    except InvalidDocument as error:
        raise InvalidDocument(f"document {document.id!r:.80}: {error}") from error


def _store(binding: Binding, target: Target, prepared: Sequence[Prepared], tenant: str | None) -> Flow[Report]:
    if not prepared:
        return Report()
    states = yield from read_states(target, [item.id for item in prepared], tenant)
    unchanged = [item for item in prepared if item.matches(states[item.id].sound)]
    changed = [Work(item, states[item.id].sound) for item in prepared if not item.matches(states[item.id].sound)]
    yield from _keep(binding.spec, target, changed, tenant)
    wanted = _wanted(binding.spec, changed)
    # Who may not embed here changes nothing here.
    measuring = (yield from admit(binding, target, writing=True)) if wanted else Usage()
    swept = yield from sweep(binding, target, states, tenant)
    report = Report(
        documents=len(unchanged),
        unchanged=sum(len(item.spans) for item in unchanged),
        deleted=swept,
        usage=measuring,
    )
    if not changed:
        return report
    failed, usage, embedded = yield from _embed(binding.spec, wanted)
    ready = [item for item in changed if item.complete(late=binding.spec.space.late_chunking)]
    stored, removed, refused = yield from _write_all(binding, target, ready, tenant)
    for item in stored:
        data = {"document_id": item.new.id, "chunks": len(item.new.spans)}
        yield Emit(Event("document_written", binding.spec.name, data))
    fresh = sum(embedded[item.new.id] for item in stored)
    kept = sum(len(item.new.spans) for item in stored) - fresh
    return report + Report(len(stored), fresh, kept, removed, (*failed, *refused), usage=usage)


def _keep(spec: CollectionSpec, target: Target, changed: Sequence[Work], tenant: str | None) -> Flow[None]:
    """Read the vectors of stored chunks whose text did not change.

    Under late chunking a vector depends on its neighbours: there they are kept only if nothing of the text or
    its splitting changed.
    """
    late = spec.space.late_chunking
    owners = {
        identity: item
        for item in changed
        if item.old is not None and (not late or item.same_text)
        for identity in chunk_ids(tenant, item.new.id, item.old.revision, range(item.old.chunks))
    }
    if not owners:
        return
    batch: Batch = yield Fetch(target.physical, list(owners), vectors=True, content=False, tenant=tenant)
    assert batch.vectors is not None  # noqa: S101 - asked for
    for record, vector in zip(batch.records, batch.vectors[DENSE], strict=True):
        key = record.system["chunk"] if late else record.system["hash"]
        owner = owners[record.id]
        if owner.old is not None and record.system.get("version") == owner.old.version:
            owner.vectors[key] = vector


def _wanted(spec: CollectionSpec, changed: Sequence[Work]) -> list[tuple[Work, list[int]]]:
    """What has to be embedded: documents, with the numbers of their chunks that have no vector yet."""
    late = spec.space.late_chunking
    return [(item, missing) for item in changed if (missing := item.missing(late=late))]


def _embed(
    spec: CollectionSpec, wanted: Sequence[tuple[Work, list[int]]]
) -> Flow[tuple[list[FailedDocument], Usage, Counter[str]]]:
    """Embed those chunks. Returns failures, usage and how many were embedded by document."""
    space = spec.space
    if not wanted:
        return [], Usage(), Counter()
    groups = tuple(
        Group(item.new.id, item.new.text, tuple(item.new.spans[i] for i in missing)) for item, missing in wanted
    )
    reply: Encoded = yield Encode(groups, space.index_task, space.dimensions, space.late_chunking)
    embedded: Counter[str] = Counter()
    for (item, missing), rows in zip(wanted, reply.vectors, strict=True):
        if rows is not None:
            keys = item.keys(late=space.late_chunking)
            fresh = {keys[i]: row for i, row in zip(missing, rows, strict=True)}
            item.vectors |= fresh
            embedded[item.new.id] = sum(key in fresh for key in keys)
    failed = [wanted[failure.group][0].new.source.failed(failure.error) for failure in reply.failures]
    return failed, reply.usage, embedded


def _write_all(
    binding: Binding, target: Target, ready: Sequence[Work], tenant: str | None
) -> Flow[tuple[list[Work], int, list[FailedDocument]]]:
    """Write; where the backend refuses, halve until the guilty document is alone and the others go through.

    Returns what is stored, how many old chunks were removed, and failures.
    """
    if not ready:
        return [], 0, []
    try:
        removed = yield from _write(binding, target, ready, tenant)
    except BackendRefused as error:
        if len(ready) == 1:
            yield from _withdraw(binding, target, ready[0], tenant)
            return [], 0, [ready[0].new.source.failed(error)]
    else:
        return list(ready), removed, []
    middle = len(ready) // 2
    stored, removed, failed = yield from _write_all(binding, target, ready[:middle], tenant)
    more, others, worse = yield from _write_all(binding, target, ready[middle:], tenant)
    return stored + more, removed + others, failed + worse


def _withdraw(binding: Binding, target: Target, item: Work, tenant: str | None) -> Flow[None]:
    """Take back the chunks of a refused document, of which some may have been written."""
    ids = chunk_ids(tenant, item.new.id, item.head.revision, range(1, len(item.new.spans)))[::-1]
    if ids:
        yield from send_fenced(binding, target, Remove(target.physical, ids, tenant=tenant))


def _write(binding: Binding, target: Target, ready: Sequence[Work], tenant: str | None) -> Flow[int]:
    """Write new chunks, then heads, then remove old chunks. Returns how many were removed."""
    late = binding.spec.space.late_chunking
    chunks = [(item, i) for item in ready for i in range(1, len(item.new.spans))]
    heads = [(item, 0) for item in ready]
    for part in (chunks, heads):
        if part:
            records = [_record(binding.spec, item, i, tenant) for item, i in part]
            rows = np.stack([item.vectors[item.keys(late=late)[i]] for item, i in part])
            vectors = named(binding.spec, rows)
            yield from send_fenced(binding, target, Write(target.physical, records, vectors, tenant=tenant))
    stale = [
        identity
        for item in ready
        if item.old is not None
        for identity in chunk_ids(tenant, item.new.id, item.old.revision, range(1, item.old.chunks))[::-1]
    ]
    if stale:
        yield from send_fenced(binding, target, Remove(target.physical, stale, tenant=tenant))
    return len(stale)


def _record(spec: CollectionSpec, item: Work, chunk: int, tenant: str | None) -> Record:
    start, end = item.new.spans[chunk]
    return make_record(
        tenant=tenant,
        document_id=item.new.id,
        chunk=chunk,
        span=(start, end),
        text=item.new.text[start:end],
        text_hash=item.new.hashes[chunk],
        metadata=item.new.metadata,
        head=item.head,
        store_text=spec.store_text,
    )

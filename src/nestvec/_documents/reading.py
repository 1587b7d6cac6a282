"""Reading and counting documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from nestvec._chunking import join_chunks
from nestvec._collections.checks import check_tenant
from nestvec._collections.opening import HEADS, OpenCollection, Target, checked_filter, foreign_filter, on_target
from nestvec._documents.blank import text_was_none
from nestvec._documents.foreign import records_with_ids
from nestvec._documents.layout import Head, chunk_ids, head_id, span_of
from nestvec._session.answers import pages
from nestvec.contract import Batch, Count, Fetch, ListTenants, Scroll
from nestvec.errors import CollectionError, InvalidInput, InvalidName
from nestvec.filters import FilterLike
from nestvec.types import DENSE, Chunk, Document, Record
from nestvec.values import is_unicode

if TYPE_CHECKING:
    from nestvec.types import FloatArray

    #: A record, and its vector where asked for.
    Part: TypeAlias = tuple[Record, FloatArray | None]

BLOCK = 128
_ATTEMPTS = 4
_PAGE = 1000


async def count(collection: OpenCollection, where: FilterLike | None = None, *, chunks: bool = False) -> int:
    """How many documents (or chunks) match. In an adopted collection each record counts as a document."""
    resolved = checked_filter(collection, where)

    async def use(target: Target) -> int:
        if target.foreign is not None:
            wanted = foreign_filter(target, resolved)
        else:
            wanted = resolved if chunks else HEADS if resolved is None else HEADS & resolved
        return await collection.records.count(Count(target.physical, wanted))

    return await on_target(collection, use)


async def tenants(collection: OpenCollection) -> list[str]:
    """The names of all namespaces that hold documents, sorted. Raises `InvalidName` where there are none to name."""
    if not collection.spec.namespaces:
        raise InvalidName(
            f"collection {collection.spec.name!r} is declared without namespaces: its documents are in none; set "
            f"namespaces = true for a new one"
        )
    if collection.tenant is not None:
        raise InvalidName(
            f"collection {collection.spec.name!r}: namespace {collection.tenant!r:.80} does not know the others; "
            f'ask the collection itself, as in nv["{collection.spec.name}"].tenants()'
        )

    async def use(target: Target) -> list[str]:
        return sorted(await collection.backend.list_tenants(ListTenants(target.physical)))

    return await on_target(collection, use)


async def ids(collection: OpenCollection, where: FilterLike | None = None, after: str | None = None) -> list[str]:
    """The ids of the documents that match, sorted; only those behind `after`."""
    resolved = checked_filter(collection, where)
    if after is not None:
        (after,) = check_ids([after])

    async def use(target: Target) -> list[str]:
        if target.foreign is not None:
            wanted = foreign_filter(target, resolved)
        else:
            wanted = HEADS if resolved is None else HEADS & resolved
        found: set[str] = set()
        async for batch in pages(collection.records, Scroll(target.physical, wanted, _PAGE, content=False)):
            found.update(record.document_id for record in batch.records)
        return sorted(key for key in found if after is None or key > after)

    return await on_target(collection, use)


async def get(
    collection: OpenCollection, ids: Sequence[str | int] | str | int, *, vectors: bool = False
) -> list[Document]:
    """The stored documents with these ids, in their order; those that are not there are left out.

    Where texts are not stored, `text` is empty. With `vectors`, they have their vectors.
    """
    check_tenant(collection.spec, collection.tenant)
    wanted = list(dict.fromkeys(check_ids(ids)))
    return await on_target(collection, lambda target: _get(collection, target, wanted, vectors=vectors))


async def _get(collection: OpenCollection, target: Target, ids: Sequence[str], *, vectors: bool) -> list[Document]:
    documents = []
    if target.foreign is not None:
        return await _get_foreign(collection, target, ids, vectors=vectors)
    for block in blocks(ids):
        parts = await whole(collection, target, block, vectors=vectors)
        documents += [_document(collection, parts[key]) for key in block if key in parts]
    return documents


async def _get_foreign(
    collection: OpenCollection, target: Target, ids: Sequence[str], *, vectors: bool
) -> list[Document]:
    """Records of an adopted collection, by their own ids or those that the layout says."""
    found: dict[str, Document] = {}
    by_field = target.foreign is not None and target.foreign.id is not None
    for block in blocks(ids):
        if by_field:
            records: Sequence[Record] = await records_with_ids(collection, target, block)
        else:
            records = (await collection.records.fetch(Fetch(target.physical, block))).records
        parts: dict[str, Part] = {record.id: (record, None) for record in records}
        if vectors and parts:
            batch = await collection.records.fetch(Fetch(target.physical, list(parts), vectors=True))
            parts |= {part[0].id: part for part in _with_vectors(batch)}
        found |= {part[0].document_id: _document(collection, [part]) for part in parts.values()}
    return [found[key] for key in ids if key in found]


async def whole(
    collection: OpenCollection, target: Target, ids: Sequence[str], *, vectors: bool = False
) -> dict[str, list[Part]]:
    """All records of each document that is there, in their order, with their vectors where asked for.

    They are of one version, although the document may be replaced meanwhile.
    """
    found: dict[str, list[Part]] = {}
    for _ in range(_ATTEMPTS):
        rest = [key for key in ids if key not in found]
        read = await _parts(collection, target, rest, vectors=vectors)
        complete = {key: parts for key, parts in read.items() if _of_one_version([record for record, _ in parts])}
        found |= complete
        if len(complete) == len(read):
            return found
    torn = next(key for key in read if key not in complete)
    raise CollectionError(
        f"document {torn!r:.80} is not whole: it is being replaced all the time, or two writers replaced it at once; "
        f"ingest it again"
    )


async def _parts(
    collection: OpenCollection, target: Target, ids: Sequence[str], *, vectors: bool
) -> dict[str, list[Part]]:
    """The head of each document, and the chunks that it names, in their order: what there is of them."""
    heads = await collection.records.fetch(
        Fetch(target.physical, [head_id(collection.tenant, key) for key in ids], vectors)
    )
    rest = [
        identity
        for record in heads.records
        for identity in chunk_ids(
            collection.tenant, record.document_id, Head.of(record).revision, range(1, Head.of(record).chunks)
        )
    ]
    batch = await collection.records.fetch(Fetch(target.physical, rest, vectors)) if rest else Batch(())
    parts = {part[0].document_id: [part] for part in _with_vectors(heads)}
    chunks = {part[0].id: part for part in _with_vectors(batch)}
    for part in (chunks[identity] for identity in rest if identity in chunks):
        parts[part[0].document_id].append(part)
    return parts


def _with_vectors(batch: Batch) -> Iterator[Part]:
    rows = [None] * len(batch.records) if batch.vectors is None else batch.vectors[DENSE]
    return zip(batch.records, rows, strict=True)


def _of_one_version(records: Sequence[Record]) -> bool:
    head = Head.of(records[0])
    return len(records) == head.chunks and all(record.system.get("version") == head.version for record in records)


def _document(collection: OpenCollection, parts: Sequence[Part]) -> Document:
    head, vector = parts[0]
    metadata = collection.spec.projection.given(head.metadata)
    text: str | None = text_of([record for record, _ in parts])
    if not text and text_was_none(head):
        text = None
    if vector is None or len(parts) == 1:
        return Document(head.document_id, text, metadata, vector)
    chunks = tuple(Chunk(record.text or "", row, span_of(record)) for record, row in parts)
    return Document(head.document_id, text, metadata, chunks=chunks)


def text_of(records: Sequence[Record]) -> str:
    """The text of a document, rebuilt from all of its records; empty where texts are not stored."""
    return join_chunks([(span_of(record), record.text or "") for record in records])


def check_ids(ids: Sequence[str | int] | str | int) -> list[str]:
    """Document ids as strings; one id stands for a list of one. Raises `InvalidInput` for what can be no id."""
    chosen = [ids] if isinstance(ids, str | int) else list(ids)
    for key in chosen:
        if isinstance(key, bool) or not isinstance(key, str | int) or key == "" or not is_unicode(str(key)):
            raise InvalidInput(f"a document id is a non-empty string or an integer, not {ascii(key)[:80]}")
    return [str(key) for key in chosen]


def blocks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Some ids at a time."""
    for start in range(0, len(ids), BLOCK):
        yield ids[start : start + BLOCK]

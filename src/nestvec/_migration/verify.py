"""Before a switch: are the documents the same ones, their vectors what they should be, and what would searches find?

That every document is there is seen from the passes: each looks up every document, so one that brought little proves
the one before it, and under the fence the number of records has to be that of the source's documents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestvec._collections import write_fence
from nestvec._collections.opening import open_to_read
from nestvec._documents.layout import Head
from nestvec._documents.reading import text_of, whole
from nestvec._documents.repair import survey
from nestvec._documents.search import SearchOptions, embed_queries, search_vectors
from nestvec._migration.copy import compare_vectors
from nestvec._migration.report import Overlap
from nestvec._migration.routes import Way
from nestvec._migration.transfer import quiet
from nestvec.contract import Count
from nestvec.errors import CollectionError

if TYPE_CHECKING:
    from nestvec._collections.opening import OpenCollection
    from nestvec._documents.reading import Part
    from nestvec._migration.transfer import SampledDocument, Transfer
    from nestvec.types import FloatArray

#: How many neighbours are compared.
NEAREST = 10
#: How often it is counted before a count is believed to be wrong, `POLL` seconds apart.
_LOOKS = 5


@dataclass(frozen=True, slots=True)
class DocumentPair:
    """A document of the sample as both generations hold it, of one version, chunks in order."""

    tenant: str | None
    key: str
    before: list[Part]
    after: list[Part]


async def require_count(collection: OpenCollection, wanted: int) -> None:
    """Raise `CollectionError` unless the generation has exactly so many records. Some backends' counts lag behind."""
    place = await open_to_read(collection)
    for _ in range(_LOOKS):
        found = await collection.backend.count(Count(place.physical))
        if found == wanted:
            return
        await collection.session.wait(write_fence.POLL)
    if collection.shared and await _owned(collection) == wanted:
        return  # the rest is of a run that died: no search shows it, and writers remove it
    raise CollectionError(
        f"the new generation {place.physical!r} of collection {collection.spec.name!r} has {found} records where its "
        f"documents have {wanted}: somebody else writes to it, or the backend lost some. Nothing was switched; run "
        f"it again"
    )


async def _owned(collection: OpenCollection) -> int:
    """How many records belong to documents: counted one by one."""
    return sum(each.records - each.leftovers - each.in_progress for each in await survey(collection))


async def paired(transfer: Transfer, sample: Sequence[SampledDocument]) -> list[DocumentPair]:
    """The documents of the sample that both have in one version, read in full. Others are being written right now."""
    origin, place = await open_to_read(transfer.source), await open_to_read(transfer.target)
    found = []
    for tenant, keys in _by_tenant(sample).items():
        job = transfer.of_tenant(tenant)
        before = await whole(job.source, origin, keys, vectors=True)
        after = await whole(job.target, place, keys, vectors=True)
        same = [key for key in keys if key in before and key in after and _version(before[key]) == _version(after[key])]
        found += [DocumentPair(tenant, key, before[key], after[key]) for key in same]
    return found


def _by_tenant(sample: Sequence[SampledDocument]) -> dict[str | None, list[str]]:
    found: dict[str | None, list[str]] = {}
    for each in sample:
        found.setdefault(each.tenant, []).append(each.key)
    return found


def _version(parts: Sequence[Part]) -> tuple[str, str]:
    head = Head.of(parts[0][0])
    return head.document_hash, head.metadata_hash


def compare(transfer: Transfer, pairs: Sequence[DocumentPair]) -> int:
    """Texts, metadata and vectors of these documents; returns how many. Raises `CollectionError` where one differs.

    Vectors that were embedded by this migration are not embedded once more: there is nothing to compare them with. In a
    generation that was in use before, vectors are older than this migration.
    """
    for pair in pairs:
        subject = f"document {pair.key!r:.80}"
        _compare_contents(transfer, subject, pair)
        if transfer.way is not Way.EMBED and not transfer.used:
            _compare_vectors(transfer, subject, pair)
    return len(pairs)


def _compare_contents(transfer: Transfer, subject: str, pair: DocumentPair) -> None:
    one, two = [record for record, _ in pair.before], [record for record, _ in pair.after]
    known = all(record.text is not None for record in (*one, *two))
    metadata = [
        transfer.source.spec.projection.given(one[0].metadata),
        transfer.spec.projection.given(two[0].metadata),
    ]
    if (known and text_of(one) != text_of(two)) or metadata[0] != metadata[1]:
        raise CollectionError(
            f"{subject} differs in the new generation of {transfer.target.spec.name!r}; nothing was switched. Report it"
        )


def _compare_vectors(transfer: Transfer, subject: str, pair: DocumentPair) -> None:
    spec = transfer.target.spec
    rows = transfer.transform(_rows(pair.before))
    exact = transfer.target.capabilities.stores_exact and transfer.way is Way.COPY
    for number, (one, two) in enumerate(zip(rows, _rows(pair.after), strict=True)):
        compare_vectors(spec, f"chunk {number} of {subject}", one, two, exact=exact)


def _rows(parts: Sequence[Part]) -> FloatArray:
    return np.stack([row for _, row in parts if row is not None])


async def overlap(
    transfer: Transfer, pairs: Sequence[DocumentPair], questions: Sequence[str], *, ask: bool
) -> Overlap | None:
    """How far the nearest documents agree before and after. None where there is nothing to ask with.

    `ask`: both embedders are at hand, so real questions can be asked of both. Else the sample's own vectors ask.
    """
    if not pairs:
        return None
    if questions and ask:
        tenant = Counter(pair.tenant for pair in pairs).most_common(1)[0][0]
        shares = await _ask(transfer.of_tenant(tenant), questions)
    else:
        shares = []
        for tenant, chosen in _pairs_by_tenant(pairs):
            shares += await _compare_neighbours(transfer.of_tenant(tenant), chosen)
    return Overlap(len(shares), NEAREST, float(np.mean(shares)), min(shares), asked=bool(questions) and ask)


def _pairs_by_tenant(pairs: Sequence[DocumentPair]) -> Iterator[tuple[str | None, list[DocumentPair]]]:
    for tenant in dict.fromkeys(pair.tenant for pair in pairs):
        yield tenant, [pair for pair in pairs if pair.tenant == tenant]


async def _ask(transfer: Transfer, questions: Sequence[str]) -> list[float]:
    """Real questions, embedded for each generation as its own searches are."""
    one = await embed_queries(transfer.source, questions)
    two = await embed_queries(transfer.target, questions)
    before = await _nearest(transfer.source, one, NEAREST)
    after = await _nearest(transfer.target, two, NEAREST)
    return [_share(old, new) for old, new in zip(before, after, strict=True)]


async def _compare_neighbours(transfer: Transfer, pairs: Sequence[DocumentPair]) -> list[float]:
    """Stored documents ask with their own first vectors, and do not count themselves."""
    one = np.concatenate([_rows(pair.before[:1]) for pair in pairs])
    two = np.concatenate([_rows(pair.after[:1]) for pair in pairs])
    before = await _nearest(transfer.source, one, NEAREST + 1)
    after = await _nearest(transfer.target, two, NEAREST + 1)
    return [
        _share(*([key for key in found if key != pair.key][:NEAREST] for found in both))
        for pair, *both in zip(pairs, before, after, strict=True)
    ]


async def _nearest(collection: OpenCollection, rows: FloatArray, limit: int) -> list[list[str]]:
    """Ids of the nearest documents to each row."""
    options = SearchOptions(limit, group_by_document=True)
    found = await search_vectors(quiet(collection), rows, options)
    return [[hit.document_id for hit in hits] for hits in found]


def _share(one: Sequence[str], two: Sequence[str]) -> float:
    longer = max(len(one), len(two))
    return len({*one} & {*two}) / longer if longer else 1.0

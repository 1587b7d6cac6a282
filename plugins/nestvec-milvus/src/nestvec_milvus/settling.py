"""Letting searches find fresh records: flushing, and waiting for the indexes over what was flushed.

A server searches exhaustively what it has not flushed, until that is 4,992 records in one segment. Over more, and over
what it has flushed, it builds an interim index (IVF with a list for each 39 records, at most 128, of which a search
looks into 16), and uses it until the segment's own index has been built and loaded: for segments of less than 1,024
records, for ever. That interim index misses records, above all under a filter: no parameter of a search switches it off
or makes it look further, and no collection can be created without it, unless its index is FLAT. Measured on 2.3.5, see
docs/decisions/0019.

So the end of an ingestion looks for some of its records with a search. Only where they are missed, it flushes, and
waits: flushing little would make searches worse.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nestvec.contract import Query, Settle
from nestvec.types import Metric
from nestvec_milvus.catalog import MilvusCatalog
from nestvec_milvus.client import common, unpaired
from nestvec_milvus.fresh import INTERIM, FreshRecords
from nestvec_milvus.storage import first_of

if TYPE_CHECKING:
    from nestvec_milvus.schema import Columns

_LOG = logging.getLogger("nestvec_milvus.adapter")
#: Questions that look for fresh records. An eighth of the lists is looked into for each: none of 16 records in the
#: interim index is found by all of them by chance.
_QUESTIONS: Final = 8
#: More lists than any index has: so an IVF index over flushed records misses none of them.
_ALL_LISTS: Final = 65_536
#: Segments of fewer records never get their own index, and up to so many are searched exhaustively without one.
_INDEXED_FROM: Final = 1024
_EXHAUSTIVE: Final = 16 * 39
#: A description of a segment names one of its indexes, which one is chance. How often it is asked for in one go.
_BURST: Final = 8
_FIRST_PAUSE, _LONGEST_PAUSE, _NEWS = 0.05, 0.5, 5.0


@dataclass(slots=True)
class FlushedSegments:
    """The segments that have to be loaded with their indexes, and which indexes were seen loaded for each."""

    wanted: set[int]
    moment: int = 0
    durable: bool = False
    loaded: dict[int, set[str]] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    #: Records that never get an index and are not searched exhaustively either.
    too_small: int = 0

    def note(self, loaded: Any) -> None:
        """From a reply to `GetQuerySegmentInfo`."""
        for each in loaded.infos:
            if each.state == common.SegmentState.Sealed:
                self.loaded.setdefault(each.segmentID, set()).add(each.index_name)
                self.sizes[each.segmentID] = each.num_rows

    def missing(self, persistent: Mapping[int, int], indexes: Collection[str]) -> list[int]:
        """Those that searches look into without their own index; `persistent` has the sizes of flushed segments.

        A segment that is gone was merged into later ones, which take its place.
        """
        ready = {number for number, names in self.loaded.items() if names.issuperset(indexes)}
        gone = {each for each in self.wanted if each not in persistent and each not in ready}
        if gone:
            self.wanted = (self.wanted - gone) | {each for each in persistent if each > min(gone)}
        return [each for each in self.wanted - ready if persistent.get(each, 0) >= _INDEXED_FROM]


class MilvusSettling(MilvusCatalog):
    """The request about what is fresh."""

    async def settle(self, request: Settle) -> str | None:
        """Flush what searches miss, and wait until they use its index."""
        fresh = self.cache.fresh_in(request.physical)
        if not (request.everything or fresh.worth_a_look) or not await self._indexes_to_load(request):
            return None
        found, unflushed = await self._finds(request, fresh.sample()), fresh.unflushed
        if found:
            fresh.seen()
            if not request.everything:
                return None
        sizes = await self._flushed_sizes(request)
        growing = await self._count(request) - sum(sizes.values())  # at least: what was deleted counts as flushed
        if growing >= INTERIM or (not found and max(growing, unflushed) >= _INDEXED_FROM):
            return await self._wait(request, await self._flush(request, fresh))
        return await self._wait(request, FlushedSegments(set(sizes), durable=True))

    async def _count(self, request: Settle) -> int:
        columns = await self._columns(request, request.physical)
        counting = {"expr": columns.key.everything, "output_fields": ["count(*)"]}
        name = request.physical
        reply = await self.client.call(
            request, "Query", collection_name=name, consistency_level=common.ConsistencyLevel.Strong, **counting
        )
        return int(reply.fields_data[0].scalars.long_data.data[0])

    async def _finds(self, request: Settle, ids: list[str]) -> bool:
        """Whether every one of some questions that have nothing to do with these records finds all of them."""
        if not ids:
            return True
        columns = await self._columns(request, request.physical)
        name = first_of(columns.vectors)
        rows = np.random.default_rng(0).standard_normal((_QUESTIONS, columns.vectors[name])).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        query = Query(request.physical, {name: rows}, columns.metric or Metric.COSINE, len(ids))
        answers = await self._find_ids(query, _thorough(columns, name), name, ids)
        return len(answers) == _QUESTIONS and all(set(ids) <= set(each) for each in answers)

    @abstractmethod
    async def _find_ids(self, request: Query, columns: Columns, name: str, ids: Sequence[str]) -> list[list[str]]:
        """Which of these records each question of a search finds."""

    async def _flush(self, request: Settle, fresh: FreshRecords) -> FlushedSegments:
        """Begin to flush everything. Ends before that is done."""
        name = request.physical
        fresh.flushed()
        reply = await self.client.call(request, "Flush", collection_names=[name])
        segments = {*reply.coll_segIDs[name].data, *reply.flush_coll_segIDs[name].data}
        return FlushedSegments(segments, reply.coll_flush_ts[name])

    async def _wait(self, request: Settle, flushed: FlushedSegments) -> str | None:
        """Wait for the end of flushing, and then for the indexes. A sentence where that takes too long."""
        place, waited, told, pause = self.client.place, 0.0, 0.0, _FIRST_PAUSE
        while (missing := await self._unsettled(request, flushed)) is not None:
            if waited >= request.timeout:
                return (
                    f"searches may miss some of the newest records: after {waited:.0f} s, {place} {missing}. It goes "
                    f"on by itself: settle again to wait for it; if that does not help, look at the server's load"
                )
            if waited >= told + _NEWS:
                told = waited
                _LOG.info("%s: collection %r settles: it %s", place, request.physical, missing)
            await self.client.sleep(pause)
            waited, pause = waited + pause, min(pause * 1.5, _LONGEST_PAUSE)
        if not flushed.too_small:
            return None
        return (
            f"searches may miss some of {flushed.too_small} records: {place} holds them in segments that are too small "
            f'for an index and too large to be searched without; more records help, or index = "FLAT"'
        )

    async def _unsettled(self, request: Settle, flushed: FlushedSegments) -> str | None:
        """What the server still has to do, or None."""
        name = request.physical
        if not flushed.durable:
            asked = {"segmentIDs": sorted(flushed.wanted), "flush_ts": flushed.moment, "collection_name": name}
            flushed.durable = (await self.client.call(request, "GetFlushState", **asked)).flushed
        if not flushed.durable:
            return "has not flushed them yet"
        sizes, indexes = await self._flushed_sizes(request), await self._indexes_to_load(request)
        for _ in range(_BURST):
            flushed.note(await self.client.call(request, "GetQuerySegmentInfo", collectionName=name))
            missing = flushed.missing(sizes, indexes)
            if not missing:
                flushed.too_small = _between(flushed.sizes)
                return None
        return f"has not built and loaded the index over {len(missing)} of its {len(sizes)} flushed segments yet"

    async def _flushed_sizes(self, request: Settle) -> dict[int, int]:
        """The records of each flushed segment, deleted ones included."""
        reply = await self.client.call(request, "GetPersistentSegmentInfo", collectionName=request.physical)
        return {each.segmentID: each.num_rows for each in reply.infos}

    async def _indexes_to_load(self, request: Settle) -> list[str]:
        """The names of the indexes over vectors. FLAT is none: there, every segment is searched exhaustively."""
        vectors = (await self._columns(request, request.physical)).vectors
        return [
            each.index_name
            for each in await self._indexes(request, request.physical)
            if each.field_name in vectors and unpaired(each.params).get("index_type") != "FLAT"
        ]


def _between(sizes: Mapping[int, int]) -> int:
    return sum(size for size in sizes.values() if _EXHAUSTIVE < size < _INDEXED_FROM)


def _thorough(columns: Columns, name: str) -> Columns:
    """The same, searched so that an index over flushed records misses none of them under a narrow filter."""
    parameters = columns.search.get(name, {})
    if "nprobe" not in parameters:
        return columns
    return replace(columns, search={**columns.search, name: {**parameters, "nprobe": _ALL_LISTS}})

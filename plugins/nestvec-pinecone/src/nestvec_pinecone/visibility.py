"""Writing to an index, and making sure that the next read sees it.

Pinecone is eventually consistent, and reading by id and searching see a write at different times: so both are asked.
Searches tell how far they have caught up; a reading by id shows the record itself. Where somebody else wrote or
removed the same record since, it never shows what this write made of it: what is newer counts as well, by its stamp,
and where that says nothing (clocks differ) the searches tell.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from nestvec.errors import BackendUnavailable, NestvecError
from nestvec_pinecone.client import POST, PineconeClient
from nestvec_pinecone.errors import NoNamespace
from nestvec_pinecone.options import MAX_IDS
from nestvec_pinecone.records import STAMP, UpsertBody, stamped_at

_JSON: Final = {"Content-Type": "application/json"}
#: Seconds after which searches are asked, too, where reading by id does not show the write.
_PATIENCE: Final = 1.0


@dataclass(frozen=True, slots=True)
class Written:
    """What is known of a write: its position in the namespace's log (if the server tells), and how to see it."""

    namespace: str
    lsn: int | None
    #: A record that must be there with this stamp.
    present: tuple[str, str] | None = None
    #: Records that must not be there.
    gone: Sequence[str] = ()
    #: The time of day before it, in seconds since 1970.
    at: float = 0.0


async def upsert(client: PineconeClient, request: object, host: str, content: bytes, count: int) -> int | None:
    """Send a ready body; its log sequence number."""
    response = await client.call(request, host, POST, path="/vectors/upsert", content=content, headers=dict(_JSON))
    try:
        taken = orjson.loads(response.content).get("upsertedCount")
    except (orjson.JSONDecodeError, AttributeError) as error:
        raise BackendUnavailable(
            f"the answer to a write cannot be understood; is there a proxy at {host}? Write again"
        ) from error
    if taken != count:
        raise BackendUnavailable(f"Pinecone took {taken} of {count} records; write them again")
    return _committed(response)


async def delete(client: PineconeClient, request: object, host: str, namespace: str, **what: Any) -> int | None:
    """Delete, and tell the log sequence number, which the SDK's own method hides."""
    body = {**what, "namespace": namespace}
    return _committed(await client.call(request, host, POST, path="/vectors/delete", json=body))


async def write(
    client: PineconeClient, request: object, host: str, dimension: int, namespace: str, parts: Sequence[UpsertBody]
) -> None:
    """Upsert in order, one request after the other; returns when reads see it."""
    lsn = None
    for part in parts:
        lsn = await upsert(client, request, host, part.content, part.count)
    last = parts[-1]
    written = Written(namespace, lsn, present=(last.last, last.stamp), at=stamped_at(last.stamp) or 0.0)
    await settle(client, request, host, dimension, written)


async def remove(
    client: PineconeClient, request: object, host: str, dimension: int, namespace: str, ids: Sequence[str]
) -> None:
    """Delete by id, in order; returns when reads see it."""
    if not ids:
        return
    lsn, at = None, time.time()
    try:
        for start in range(0, len(ids), MAX_IDS):
            lsn = await delete(client, request, host, namespace, ids=list(ids[start : start + MAX_IDS]))
    except NoNamespace:
        return  # nothing was ever written there
    await settle(client, request, host, dimension, Written(namespace, lsn, gone=ids, at=at))


async def settle(client: PineconeClient, request: object, host: str, dimension: int, written: Written) -> None:
    """Wait until reads see what was written. Raises `BackendUnavailable` when that takes too long."""
    begun = client.clock()

    async def fetched() -> bool:
        stamps = await _stamps(client, request, host, written)
        if _shows(written, stamps):
            return True
        late = client.clock() - begun >= _PATIENCE
        return late and await _overtaken(client, request, host, dimension, written, stamps)

    checks: list[Callable[[], Awaitable[bool]]] = [
        fetched,
        lambda: _reconciled(client, request, host, dimension, written),
    ]

    async def seen() -> bool:
        while checks and await checks[0]():
            checks.pop(0)
        return not checks

    await client.until(seen, client.options.visible_timeout, lambda: too_late(client, written.namespace))


def too_late(client: PineconeClient, namespace: str) -> NestvecError:
    """For a write that was taken and cannot be seen."""
    return BackendUnavailable(
        f"Pinecone took a write to namespace {namespace!r}, but after {client.options.visible_timeout:g} seconds reads "
        f"do not see it; repeat it (nothing is stored twice), or set a longer visible_timeout"
    )


def _committed(response: Any) -> int | None:
    """The log sequence number in the headers of a write's reply."""
    from pinecone import ResponseInfo

    return ResponseInfo(raw_headers=dict(response.headers)).lsn_committed


async def _stamps(client: PineconeClient, request: object, host: str, written: Written) -> list[object]:
    """Those of the records that the write was about, of those that are there."""
    ids = [written.present[0]] if written.present else written.gone
    found = await client.fetch(request, host, [(written.namespace, key) for key in ids])
    return [(vector.metadata or {}).get(STAMP) for vector in found]


def _shows(written: Written, stamps: Sequence[object]) -> bool:
    """Whether that is what was written, or newer."""
    newer = [at is not None and at > written.at for at in map(stamped_at, stamps)]
    if written.present is None:
        return all(newer)
    return written.present[1] in stamps or any(newer)


async def _overtaken(
    client: PineconeClient, request: object, host: str, dimension: int, written: Written, stamps: Sequence[object]
) -> bool:
    """Whether searches, having come so far, say that somebody else wrote or removed the same records since."""
    if written.lsn is None or not await _reconciled(client, request, host, dimension, written):
        return False
    if written.present is not None:
        return not await _searched(client, request, host, dimension, written.namespace, written.present[1])
    for stamp in stamps:
        if not await _searched(client, request, host, dimension, written.namespace, stamp):
            return False
    return True


async def _searched(
    client: PineconeClient, request: object, host: str, dimension: int, namespace: str, stamp: object
) -> bool:
    """Whether a search finds anything with a stamp."""
    wanted = {"vector": _any_vector(dimension), "top_k": 1, "namespace": namespace, "filter": {STAMP: {"$eq": stamp}}}
    try:
        reply = await client.call(request, host, "query", **wanted)
    except NoNamespace:
        return False
    return bool(reply.matches)


def _any_vector(dimension: int) -> list[float]:
    return [1.0] + [0.0] * (dimension - 1)


async def _reconciled(client: PineconeClient, request: object, host: str, dimension: int, written: Written) -> bool:
    if written.lsn is None:
        return True
    # Any question will do: what counts is how far the searcher has come.
    question = {"vector": _any_vector(dimension), "top_k": 1, "namespace": written.namespace}
    try:
        reply = await client.call(request, host, "query", **question)
    except NoNamespace:
        return written.present is None
    info = reply.response_info
    return info is None or info.lsn_reconciled is None or bool(info.is_reconciled(written.lsn))

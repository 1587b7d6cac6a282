"""Which hosts may embed for a collection: found out by measurement, once for each host, and noted beside it.

The space says that two vectors may be compared if model, task and size are the same. Whether another host of that
model — an endpoint, a local copy — really gives the same vectors is seen from the canary texts: whoever embeds for a
collection first leaves their vectors beside it, and every other host is compared with those before it may embed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from nestvec._collections.checks import require_own
from nestvec._collections.opening import HostAdmission, OpenCollection, Target, open_to_read
from nestvec._hosts.agreement import TOLERANCE, Comparison, compare
from nestvec._hosts.canaries import canary_request, canary_rows, fits, legs_of, version_for
from nestvec._hosts.note import NOTE, Canaries, texts_for
from nestvec._session.session import Session
from nestvec.contract import Count, Event, ReadNote, WriteNote
from nestvec.errors import BackendDenied, BackendFull, EmbedderRefused, HostMismatch, SpaceUnknown
from nestvec.types import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nestvec._hosts.agreement import Agreement
    from nestvec._hosts.canaries import Leg
    from nestvec._specs import CollectionSpec
    from nestvec.types import FloatArray


async def admit(collection: OpenCollection, target: Target, *, writing: bool) -> Usage:
    """Before anything is embedded for a collection: may this embedder's host? Returns what finding out consumed.

    The first writer stores canaries; a reader leaves a collection without any as it is. Raises `HostMismatch`, and
    `SpaceUnknown` where the canaries cannot be read. What is known holds for a lease, as the alias does.
    """
    if collection.state.knows_host(target, writing=writing):
        return Usage()
    async with collection.session.alone():
        return await _admit(collection, target, writing=writing)


async def measure(
    session: Session, legs: Sequence[Leg], dimensions: int, texts: Sequence[str], *, fresh: bool = True
) -> tuple[dict[Leg, FloatArray], Usage]:
    """An embedder's vectors of canary texts, shape (texts, dimensions) for each leg, and what they consumed."""
    vectors, usage = {}, Usage()
    for leg in legs:
        reply = await session.encode(canary_request(leg, dimensions, texts, fresh=fresh))
        vectors[leg] = canary_rows(reply)
        usage += reply.usage
    return vectors, usage


async def hosts(collection: OpenCollection) -> dict[str, Agreement | None]:
    """Who may embed for the collection: who made its canaries, then who was compared, with what was measured."""
    target = await open_to_read(collection)
    canaries = await read_canaries(collection, target)
    return {canaries.host: None, **canaries.accepted} if canaries is not None else {}


async def read_canaries(collection: OpenCollection, target: Target) -> Canaries | None:
    """What is noted beside a collection; there is nothing beside somebody else's. Raises `SpaceUnknown`."""
    if target.foreign is not None:
        return None
    text = await collection.backend.read_note(ReadNote(target.physical, NOTE))
    spec = collection.spec
    return Canaries.read(text, spec.space, spec.name) if text is not None else None


async def canaries_to_keep(collection: OpenCollection, target: Target) -> Canaries | None:
    """The same for writing: beside an empty collection they need not be readable, because others can be made."""
    try:
        return await read_canaries(collection, target)
    except SpaceUnknown:
        if await collection.backend.count(Count(target.physical)):
            raise
        return None


async def forget_canaries(collection: OpenCollection) -> None:
    """Remove the canaries: whoever ingests next makes them anew."""
    require_own(collection.spec, "remove its canaries")
    target = await open_to_read(collection)
    await collection.backend.write_note(WriteNote(target.physical, NOTE, None))
    collection.state.admission = None


async def _admit(collection: OpenCollection, target: Target, *, writing: bool) -> Usage:
    if collection.state.knows_host(target, writing=writing):
        return Usage()  # another call found out meanwhile
    until = collection.clock() + collection.state.lease
    admission, usage = await _find_out(collection, target, until, writing=writing)
    collection.state.admission = admission
    if admission.refusal is not None:
        raise admission.refusal()
    return usage


async def _find_out(
    collection: OpenCollection, target: Target, until: float, *, writing: bool
) -> tuple[HostAdmission, Usage]:
    spec, host = collection.spec, collection.spec.model.host
    admitted = HostAdmission(target.physical, until, admitted=True)
    stored = await (canaries_to_keep if writing else read_canaries)(collection, target)
    if stored is None and not writing:
        return HostAdmission(target.physical, until), Usage()
    if stored is not None and stored.vouches_for(host):
        return admitted, Usage()
    if stored is not None and writing and not fits(stored.version, spec.model.max_tokens):
        # Beside an empty collection others can be made, of texts that this model takes.
        stored = stored if await collection.backend.count(Count(target.physical)) else None
    version = stored.version if stored is not None else version_for(spec.model.max_tokens)
    vectors, usage = await _measured(collection, stored, version)
    if stored is not None:
        comparison = compare(stored.vectors, vectors)
        if comparison.agreement.alike:
            await _accept(collection, target, stored.accepting(host, comparison.agreement))
            return admitted, usage
        if not writing or await collection.backend.count(Count(target.physical)):
            refusal = partial(_refusal, spec, stored, comparison)
            return HostAdmission(target.physical, until, refusal=refusal), usage
    made = Canaries.of(host, vectors, version)
    await collection.backend.write_note(WriteNote(target.physical, NOTE, made.to_text()))
    collection.session.emit(Event("canaries_stored", spec.name, {"host": host}))
    return admitted, usage


async def _measured(
    collection: OpenCollection, stored: Canaries | None, version: int
) -> tuple[dict[Leg, FloatArray], Usage]:
    """The vectors to compare with those that are stored, or to store. Raises `EmbedderRefused` with what to do."""
    spec = collection.spec
    legs, dimensions = legs_of(spec.space), spec.space.dimensions
    texts = stored.texts if stored is not None else texts_for(dimensions, legs, version)
    try:
        # What is compared is asked for now. Who makes canaries may take them where documents' vectors come from.
        return await measure(collection.session, legs, dimensions, texts, fresh=stored is not None)
    except EmbedderRefused as error:
        longest = max(texts, key=len)
        other = f", or embed with host {stored.host!r}, which made the canaries" if stored is not None else ""
        raise EmbedderRefused(
            f"collection {spec.name!r}: embedder {spec.embedder!r} refused the canaries, fixed texts by which hosts of "
            f"a model are compared, so nothing was embedded: {error}. It has to take such texts as {longest!r:.60} "
            f"({len(longest)} characters): raise its max_tokens where that is what it says{other}"
        ) from error


async def _accept(collection: OpenCollection, target: Target, canaries: Canaries) -> None:
    """Note a host that agrees. Who may only read says so to listeners instead, and compares again another time."""
    spec, noted = collection.spec, True
    try:
        await collection.backend.write_note(WriteNote(target.physical, NOTE, canaries.to_text()))
    except (BackendDenied, BackendFull):
        noted = False
    host = spec.model.host
    figures = canaries.accepted[host].to_dict()
    collection.session.emit(
        Event("host_accepted", spec.name, {"host": host, "made_by": canaries.host, "noted": noted, **figures})
    )


def _refusal(spec: CollectionSpec, stored: Canaries, comparison: Comparison) -> HostMismatch:
    """The error of an embedder whose vectors are others than those that are stored."""
    return mismatch(
        f"collection {spec.name!r} holds vectors of host {stored.host!r}; embedder {spec.embedder!r}, host "
        f"{spec.model.host!r}, gives other ones",
        f"Nothing was written. Set the embedder back to that host; or give this one the same weights (revision), "
        f"prompts, pooling and number format (`nestvec doctor --embedder {spec.embedder} --against OTHER` says how "
        f"far off it is); or give it a collection name of its own and ingest again",
        spec,
        stored,
        spec.model.host,
        comparison,
    )


def mismatch(
    what: str, way_out: str, spec: CollectionSpec, stored: Canaries, host: str, comparison: Comparison
) -> HostMismatch:
    """The error that two hosts of one model disagree, with what was measured."""
    legs = "".join(f"\n  {leg}: {comparison.of(leg)}" for leg in comparison.cosines)
    leg, number = comparison.worst
    figures = comparison.agreement
    return HostMismatch(
        f"{what}, although both are called {spec.space.model}. Measured on the canary texts:{legs}\n"
        f"  least alike: {stored.texts[number]!r:.60} ({leg})\n"
        f"  wanted: {TOLERANCE}\n{way_out}.",
        made_by=stored.host,
        host=host,
        least=figures.least,
        median=figures.median,
    )

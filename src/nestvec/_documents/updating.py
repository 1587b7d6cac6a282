"""Changing the metadata of stored documents: texts, chunks and vectors stay, and nothing is embedded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec._collections.checks import check_tenant, require_own
from nestvec._collections.opening import OpenCollection, Target, checked_filter, on_current
from nestvec._documents.layout import Head, chunk_ids, read_states, sweep
from nestvec._documents.reading import check_ids, whole
from nestvec._documents.reading import ids as all_ids
from nestvec._documents.replacing import Replacement, begin_turn, replace_documents
from nestvec._documents.tidying import tidy_after_dead
from nestvec._documents.upsert import next_revision
from nestvec._metadata import hash_metadata, misfits_of
from nestvec.contract import Event
from nestvec.errors import InvalidDocument, InvalidInput
from nestvec.types import FailedDocument, Report

if TYPE_CHECKING:
    from nestvec._collections.opening import WriteTurn
    from nestvec._documents.reading import Part
    from nestvec.filters import FilterLike
    from nestvec.types import FieldMisfit, Metadata


@dataclass(frozen=True, slots=True)
class MetadataChange:
    """What becomes of a document's metadata: keys that are set, and removed; or all of them, replaced."""

    changes: Mapping[str, Any]
    remove: Sequence[str] = ()
    replace: bool = False

    def check(self) -> None:
        """Raise `InvalidInput` for what is no change."""
        if not isinstance(self.changes, Mapping):
            raise InvalidInput(f"changes must be a mapping of metadata keys, not {type(self.changes).__name__}")
        if isinstance(self.remove, str) or not all(isinstance(each, str) for each in self.remove):
            raise InvalidInput(f"remove must be a list of metadata keys, not {self.remove!r:.80}")
        both = sorted(set(self.remove) & set(self.changes))
        if both:
            raise InvalidInput(f"metadata {both[0]!r} cannot be set and removed at once")
        if self.replace and self.remove:
            raise InvalidInput("replace = True leaves nothing of the old metadata: leave remove out")
        if not (self.changes or self.remove or self.replace):
            raise InvalidInput("nothing to change: give changes, or keys to remove")

    def of(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """The metadata after it."""
        if self.replace:
            return dict(self.changes)
        kept = {key: value for key, value in metadata.items() if key not in self.remove}
        return kept | dict(self.changes)


async def chosen(
    collection: OpenCollection, ids: Sequence[str | int] | str | int | None, where: FilterLike | None
) -> list[str]:
    """The documents that are meant: by id, or those that match now. Raises `InvalidInput` unless it is one of both."""
    check_tenant(collection.spec, collection.tenant)
    require_own(collection.spec, "change the metadata of its documents")
    if (ids is None) == (where is None):
        raise InvalidInput("say which documents: by id, or with where = a filter, not both")
    if ids is not None:
        return list(dict.fromkeys(check_ids(ids)))
    matching = checked_filter(collection, where)
    if matching is None:
        raise InvalidInput("an empty filter means every document; say so with a filter such as ID.exists()")
    return await all_ids(collection, matching)


async def update_metadata(collection: OpenCollection, ids: Sequence[str], change: MetadataChange) -> Report:
    """Change the metadata of some documents. Those that are not there are named in the report."""
    return await on_current(collection, partial(_update, collection, ids, change))


async def _update(collection: OpenCollection, ids: Sequence[str], change: MetadataChange, target: Target) -> Report:
    tidied = await tidy_after_dead(collection, target) if collection.shared else 0
    states = await read_states(collection, target, ids)
    swept = await sweep(collection, target, states)
    found = await whole(collection, target, ids, vectors=True)
    turn = begin_turn(collection, sum(map(len, found.values()))) if collection.shared else None
    failed = [FailedDocument(key, f"document {key!r:.80} is not stored") for key in ids if key not in found]
    changed, same = list[Replacement](), list[int]()
    misfits: list[FieldMisfit] = []
    for key, parts in found.items():
        try:
            stored, told = _changed(collection, key, parts, change)
        except InvalidDocument as error:
            failed.append(FailedDocument(key, f"document {key!r:.80}: {error}"))
            continue
        misfits += told
        if hash_metadata(stored) == Head.of(parts[0][0]).metadata_hash:
            same.append(len(parts))
        else:
            changed.append(_replacement(collection, key, parts, stored, states[key].sound, turn))
    outcome = await replace_documents(collection, target, changed, turn)
    for item in outcome.stored:
        collection.session.emit(Event("metadata_updated", collection.spec.name, {"document_id": item.document_id}))
    refused = [FailedDocument(item.document_id, str(error)) for item, error in outcome.refused]
    return Report(
        len(same) + len(outcome.stored),
        unchanged=sum(same) + sum(len(item.records) for item in outcome.stored),
        deleted=tidied + swept + outcome.removed,
        failed=(*failed, *refused),
        superseded=len(outcome.superseded),
        misfits=tuple(misfits),
    )


def _changed(
    collection: OpenCollection, key: str, parts: Sequence[Part], change: MetadataChange
) -> tuple[Mapping[str, Any], tuple[FieldMisfit, ...]]:
    projection = collection.spec.projection
    metadata: Metadata = change.of(projection.given(parts[0][0].metadata))
    projected = projection.project(metadata)
    return projected.stored, misfits_of(projected.misfits, projection.fields, key)


def _replacement(
    collection: OpenCollection,
    key: str,
    parts: Sequence[Part],
    stored: Mapping[str, Any],
    old: Head | None,
    turn: WriteTurn | None,
) -> Replacement:
    """Its records, with other metadata, as a new version of the document."""
    head = replace(Head.of(parts[0][0]), revision=next_revision(old, turn), metadata_hash=hash_metadata(stored))
    ids = chunk_ids(collection.tenant, key, head.revision, range(len(parts)))
    known = {"revision": head.revision, "version": head.version}
    records = [
        replace(
            record,
            id=identity,
            metadata=stored,
            system={**record.system, **known, **({} if number else head.system())},
        )
        for number, (identity, (record, _)) in enumerate(zip(ids, parts, strict=True))
    ]
    return Replacement(key, records, np.stack([row for _, row in parts if row is not None]), old)

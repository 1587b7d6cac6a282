"""Documents of an adopted collection by the ids that stand in its records."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nestvec._collections.foreign_layouts import contents
from nestvec._collections.opening import OpenCollection, Target
from nestvec._session.answers import pages
from nestvec.contract import Scroll
from nestvec.errors import CollectionConflict, Unsupported
from nestvec.filters import FieldRef, Filter, In
from nestvec.types import FieldType

if TYPE_CHECKING:
    from nestvec.types import Record


async def records_with_ids(collection: OpenCollection, target: Target, ids: Sequence[str]) -> list[Record]:
    """The records of an adopted collection whose document ids, where its layout has them, are among these.

    Raises `CollectionConflict` where several share one, and `Unsupported` where no filter finds them.
    """
    foreign = target.foreign
    assert foreign is not None  # noqa: S101 - asked only then
    assert foreign.id is not None  # noqa: S101
    if foreign.id.split(".", 1)[0] in foreign.json:
        raise Unsupported(
            f"collection {collection.spec.name!r} was adopted with document ids from {foreign.id!r}, which is inside "
            f"of JSON text, where nothing can be looked up; leave foreign.id out, or search with a filter"
        )
    where = await _with_ids(collection, target, foreign.id, ids)
    records: list[Record] = []
    if where is not None:
        async for batch in pages(collection.records, Scroll(target.physical, where, len(ids) + 1)):
            records += batch.records
    shared = [key for key, times in Counter(record.document_id for record in records).items() if times > 1]
    if shared:
        raise CollectionConflict(
            f"collection {collection.spec.name!r} was adopted with document ids from {foreign.id!r}, and several of "
            f"its records have the id {shared[0]!r:.80}, in no known order; search with a filter, or leave foreign.id "
            f"out"
        )
    return records


async def _with_ids(collection: OpenCollection, target: Target, path: str, ids: Sequence[str]) -> Filter | None:
    """Which records have one of these ids, as text or as numbers, whichever they are; None: none can."""
    assert target.foreign is not None  # noqa: S101
    there = await contents(collection.backend, target.foreign, 1)
    if "integer" not in there.kinds.get(path, ()) and "float" not in there.kinds.get(path, ()):
        return In(FieldRef(path, FieldType.KEYWORD, scope="foreign"), tuple(ids))
    numbers = tuple(int(key) for key in ids if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", key))
    return In(FieldRef(path, FieldType.INTEGER, scope="foreign"), numbers) if numbers else None

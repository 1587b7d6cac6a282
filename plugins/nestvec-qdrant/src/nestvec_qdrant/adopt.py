"""Collections that somebody else made: which vector is read, what is read of a point, and what ids are there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from nestvec.contract import CollectionInfo, ForeignLayout, foreign_record
from nestvec.errors import CollectionConflict, Unsupported
from nestvec.types import DENSE, Field, FieldType, Metric, Record
from nestvec_qdrant import schema
from nestvec_qdrant.filters import foreign_path, is_bare, keys_of
from nestvec_qdrant.storage import vectors_of

if TYPE_CHECKING:
    from qdrant_client import models

_IDS = 2**64
_NUMBER = re.compile(r"(0|[1-9][0-9]{0,19})\Z")


def check_layout(layout: ForeignLayout) -> None:
    """Raise `Unsupported` for a namespace, `CollectionConflict` for names that are no paths into a payload."""
    if layout.namespace is not None:
        raise Unsupported(
            f"collection {layout.collection!r}: foreign.namespace = {layout.namespace!r}, but collections of Qdrant "
            f"have no namespaces; leave it out"
        )
    for path in _paths(layout):
        keys_of(path)


def select_vector(physical: str, info: models.CollectionInfo, layout: ForeignLayout) -> str:
    """The name of the vector to read, empty for an unnamed one. Raises `CollectionConflict` unless there is one."""
    there = vectors_of(info)
    dense = [name for name, params in there.items() if params.multivector_config is None]
    if layout.vector in dense:
        return str(layout.vector)
    if layout.vector is None and len(dense) == 1:
        return dense[0]
    sparse = _sparse(info)
    multi = [name for name in there if name not in dense]
    for kind, names in (("sparse", sparse), ("multivector", multi)):
        if layout.vector in names:
            raise CollectionConflict(
                f"collection {physical!r}: its vector {layout.vector!r} is {kind}, and nestvec compares one dense "
                f"vector for each record; set foreign.vector to a dense one: {_listed(dense)}"
            )
    wanted = f"no dense vector {layout.vector!r}" if layout.vector is not None else "not exactly one dense vector"
    if dense == [""]:
        raise CollectionConflict(
            f"collection {physical!r} has {wanted}: its only one has no name; leave foreign.vector out"
        )
    raise CollectionConflict(
        f"collection {physical!r} has {wanted}; say with foreign.vector which one to search, of: {_listed(dense)}"
    )


def foreign_info(
    physical: str, info: models.CollectionInfo, layout: ForeignLayout, name: str, *, embedded: bool
) -> CollectionInfo:
    """The collection as nestvec reads it: with its vector `name` alone. An embedded store has no indexes."""
    params = vectors_of(info)[name]
    return CollectionInfo(
        physical=physical,
        vectors={DENSE: params.size},
        metric=_metric(physical, name, params.distance),
        record=schema.record_at(info),
        fields=None if embedded else _fields(info, layout),
        unread=tuple(f"vector {each!r}" for each in [*vectors_of(info), *_sparse(info)] if each != name),
    )


def read_record(key: str, payload: Mapping[str, Any], layout: ForeignLayout, *, content: bool = True) -> Record:
    """What the layout says of a payload, and the rest of it."""
    return foreign_record(key, payload, layout, find=lambda _, path: keys_of(path), bare=not content)


def selection(layout: ForeignLayout, *, content: bool) -> bool | list[str]:
    """Which parts of the payload to ask for: all of it, or the one that holds the document's id."""
    if content or layout.id is None:
        return content
    head = keys_of(layout.id)[0]
    return [head] if is_bare(head) else True  # older clients' embedded stores know no quotation marks here


def native_ids(ids: Sequence[str]) -> list[int | str]:
    """The ids as Qdrant has them. What can be none is left out: there is no such record."""
    return [native for each in ids if (native := _native(each)) is not None]


def _native(text: str) -> int | str | None:
    if _NUMBER.match(text):
        number = int(text)
        return number if number < _IDS else None
    try:
        return text if str(UUID(text)) == text else None
    except ValueError:
        return None


def _metric(physical: str, name: str, distance: models.Distance) -> Metric:
    if distance not in schema.METRICS:
        raise CollectionConflict(
            f"collection {physical!r} compares its vector {name!r} by {distance.value}; nestvec knows "
            f"{', '.join(sorted(Metric))}, so it cannot be adopted"
        )
    return schema.METRICS[distance]


def _fields(info: models.CollectionInfo, layout: ForeignLayout) -> dict[str, Field]:
    """The types of indexed fields. An index of keywords tells none: datetimes are strings, too."""
    kinds = {
        foreign_path(path): schema.INDEXED[index.data_type]
        for path, index in info.payload_schema.items()
        if index.data_type in schema.INDEXED and _is_path(path)
    }
    found = {name: kinds.get(foreign_path(path), FieldType.KEYWORD) for name, path in layout.fields.items()}
    return {name: Field(kind) for name, kind in found.items() if kind is not FieldType.KEYWORD}


def _is_path(path: str) -> bool:
    try:
        return bool(keys_of(path))
    except CollectionConflict:
        return False


def _paths(layout: ForeignLayout) -> list[str]:
    return [path for path in (layout.id, layout.text, layout.metadata, *layout.fields.values()) if path is not None]


def _sparse(info: models.CollectionInfo) -> list[str]:
    return sorted(info.config.params.sparse_vectors or {})


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names) or "there is none"

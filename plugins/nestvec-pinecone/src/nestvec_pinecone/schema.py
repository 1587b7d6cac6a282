"""How a collection is stored: where it is, its vector and metric, and what an index's tags say of it.

Tags hold nestvec's record, and the aliases that lead to the index:

    nestvec-record-0, -1, …   a checksum and the record: JSON, compressed, in URL-safe base64, cut into pieces
    nestvec-tenants           there if the collection has namespaces
    nestvec-to-NAME           an alias NAME leads here, with a number: the index with the highest has it

A tag holds 120 letters, digits and some of `;@_-.+` and the space; an index has at most 20 tags.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nestvec.contract import CollectionInfo, Create
from nestvec.errors import BackendRefused, CollectionConflict, Unsupported
from nestvec.types import Metric

#: The namespace of notes in a collection's own index: that of a tenant never begins with an underscore.
NOTES: Final = "_nestvec_notes"
_METRICS: Final[Mapping[str, Metric]] = {
    "cosine": Metric.COSINE,
    "dotproduct": Metric.DOT,
    "euclidean": Metric.EUCLIDEAN,
}
METRIC_NAMES: Final[Mapping[Metric, str]] = {metric: name for name, metric in _METRICS.items()}

#: The tag of a collection with tenants.
TENANTS: Final = "nestvec-tenants"
_PIECE: Final = "nestvec-record-"
_ALIAS: Final = "nestvec-to-"
_LENGTH: Final = 120
#: Leaves some of the 20 for aliases, and for the user's own tags.
_PIECES: Final = 14
#: Of an index, all together.
_MOST: Final = 20
_CHECKSUM: Final = 8


@dataclass(frozen=True, slots=True)
class IndexLocation:
    """A collection's index and its namespaces there: those that begin with `prefix`, or just `default`."""

    physical: str
    host: str
    dimension: int
    tenants: bool
    default: str = ""
    prefix: str = ""
    #: The namespace of the index that holds its notes.
    notes: str = NOTES


def metric_of(name: str, collection: str) -> Metric:
    """nestvec's name of a metric."""
    if name not in _METRICS:
        raise Unsupported(
            f"collection {collection!r} compares vectors by {name!r}; nestvec knows {', '.join(sorted(Metric))}: "
            f"choose another collection name"
        )
    return _METRICS[name]


def check_same(request: Create, found: CollectionInfo) -> None:
    """Raise `CollectionConflict` where a collection to complete is not the one that was begun."""
    wanted: tuple[Any, ...] = (dict(request.vectors), request.metric, dict(request.record))
    if (dict(found.vectors), found.metric, found.record) != wanted:
        raise CollectionConflict(
            f"collection {request.physical!r} exists already and is another one: it has vectors {dict(found.vectors)} "
            f"({found.metric}) and {'another' if found.record else 'no'} nestvec record; nothing was changed"
        )


def pack_tags(record: Mapping[str, Any], collection: str) -> dict[str, str]:
    """The tags that hold a record. Raises `BackendRefused` if it is too large."""
    written = json.dumps(dict(record), ensure_ascii=False, separators=(",", ":"))
    coded = base64.urlsafe_b64encode(zlib.compress(written.encode(), 9)).decode().rstrip("=")
    text = _checksum(coded) + coded
    if len(text) > _PIECES * _LENGTH:
        raise BackendRefused(
            f"the description of collection {collection!r} takes {len(text)} characters, more than the "
            f"{_PIECES * _LENGTH} that nestvec may use of a Pinecone index's tags; declare fewer fields"
        )
    return {f"{_PIECE}{i}": text[start : start + _LENGTH] for i, start in enumerate(range(0, len(text), _LENGTH))}


def unpack_tags(tags: Mapping[str, str]) -> dict[str, Any] | None:
    """The record in an index's tags. None without one; damaged ones give a record that nobody can read."""
    if f"{_PIECE}0" not in tags:
        return None
    pieces = sorted((key for key in tags if key.startswith(_PIECE)), key=lambda key: (len(key), key))
    text = "".join(tags[key] for key in pieces)
    try:
        return _read_tags(text[:_CHECKSUM], text[_CHECKSUM:])
    except (ValueError, RecursionError, zlib.error):
        return {"nestvec": "unreadable: its tags were changed"}


def _read_tags(checksum: str, text: str) -> dict[str, Any]:
    if checksum != _checksum(text):
        raise ValueError("pieces are missing or changed")
    padded = text + "=" * (-len(text) % 4)
    record: dict[str, Any] = json.loads(zlib.decompress(base64.urlsafe_b64decode(padded)))
    return record


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):0{_CHECKSUM}x}"


def replace_tags(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """The change that puts a new record in the place of the old one. An empty value deletes a tag."""
    return {**{key: "" for key in old if key.startswith(_PIECE)}, **new}


def check_tag_room(tags: Mapping[str, str], collection: str) -> None:
    """Raise `BackendRefused` for more tags than an index may have. Empty ones are on their way out."""
    count = sum(value != "" for value in tags.values())
    if count > _MOST:
        raise BackendRefused(
            f"index {collection!r} would have {count} tags with nestvec's record, of the {_MOST} that Pinecone takes; "
            f"delete some of its other tags, or declare fewer fields. Nothing was changed"
        )


def alias_tag(name: str) -> str:
    """The tag of an alias."""
    return _ALIAS + name


def alias_rank(tags: Mapping[str, str], name: str) -> int:
    """How strongly an index has an alias: 0, not at all."""
    value = tags.get(alias_tag(name), "")
    return int(value) if value.isdecimal() else 0

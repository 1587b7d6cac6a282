"""What nestvec writes into an index's tags: its record, and the pointers that lead to it.

    nestvec-record-0, -1, …   a checksum and the record: JSON, compressed, in URL-safe base64, cut into pieces
    nestvec-tenants           there if the collection has namespaces
    nestvec-to-NAME           a pointer NAME leads here, with a number: the index with the highest has it

A tag holds 120 letters, digits and some of `;@_-.+` and the space; an index has at most 20 tags.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

from nestvec.errors import BackendRefused

TENANTS: Final = "nestvec-tenants"
_PIECE: Final = "nestvec-record-"
_POINTER: Final = "nestvec-to-"
_LENGTH: Final = 120
#: Leaves some of the 20 for pointers, and for the user's own tags.
_PIECES: Final = 14
#: Of an index, all together.
_MOST: Final = 20
_CHECKSUM: Final = 8


def pack(record: Mapping[str, Any], collection: str) -> dict[str, str]:
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


def unpack(tags: Mapping[str, str]) -> dict[str, Any] | None:
    """The record in an index's tags. None without one; damaged ones give a record that nobody can read."""
    if f"{_PIECE}0" not in tags:
        return None
    pieces = sorted((key for key in tags if key.startswith(_PIECE)), key=lambda key: (len(key), key))
    text = "".join(tags[key] for key in pieces)
    try:
        return _read(text[:_CHECKSUM], text[_CHECKSUM:])
    except (ValueError, zlib.error):
        return {"nestvec": "unreadable: its tags were changed"}


def _read(checksum: str, text: str) -> dict[str, Any]:
    if checksum != _checksum(text):
        raise ValueError("pieces are missing or changed")
    padded = text + "=" * (-len(text) % 4)
    record: dict[str, Any] = json.loads(zlib.decompress(base64.urlsafe_b64decode(padded)))
    return record


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):0{_CHECKSUM}x}"


def replacing(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """The change that puts a new record in the place of the old one. An empty value deletes a tag."""
    return {**{key: "" for key in old if key.startswith(_PIECE)}, **new}


def check_room(tags: Mapping[str, str], collection: str) -> None:
    """Raise `BackendRefused` for more tags than an index may have. Empty ones are on their way out."""
    count = sum(value != "" for value in tags.values())
    if count > _MOST:
        raise BackendRefused(
            f"index {collection!r} would have {count} tags with nestvec's record, of the {_MOST} that Pinecone takes; "
            f"delete some of its other tags, or declare fewer fields. Nothing was changed"
        )


def pointer(name: str) -> str:
    """The tag of a pointer."""
    return _POINTER + name


def rank(tags: Mapping[str, str], name: str) -> int:
    """How strongly an index has a pointer: 0, not at all."""
    value = tags.get(pointer(name), "")
    return int(value) if value.isdecimal() else 0

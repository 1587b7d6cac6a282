"""Notes beside a collection: each a record of a reserved namespace, compressed.

A record has room for 40 KB of JSON, which might double a text of 32 KB or worse. Compressed and in the letters of base
85, none of which JSON escapes, even one of random letters fits.
"""

from __future__ import annotations

import base64
import zlib
from typing import Final

from nestvec_pinecone.calls import Operation
from nestvec_pinecone.places import Place
from nestvec_pinecone.polling import Visibility
from nestvec_pinecone.reserved import Reserved

_NOTE: Final = "note:"
_TEXT: Final = "nestvec_note"


def write(place: Place, visibility: Visibility, name: str, text: str | None) -> Operation[None]:
    """Keep a note, or remove it; returns when reads see it."""
    reserved, key = _reserved(place, visibility), _prefix(place.physical) + name
    if text is None:
        yield from reserved.delete([key], place.dimension)
    else:
        yield from reserved.put(key, {_TEXT: pack(text)}, place.dimension)


def read(place: Place, visibility: Visibility, name: str) -> Operation[str | None]:
    """What a note says, or None."""
    found = yield from _reserved(place, visibility).read(_prefix(place.physical) + name)
    return None if found is None else unpack(found[_TEXT])


def forget(place: Place, visibility: Visibility) -> Operation[None]:
    """Remove all notes of a collection."""
    reserved = _reserved(place, visibility)
    there = yield from reserved.keys(_prefix(place.physical))
    yield from reserved.delete(there, place.dimension)


def pack(text: str) -> str:
    """A note as it is stored."""
    return base64.b85encode(zlib.compress(text.encode(), 9)).decode()


def unpack(stored: str) -> str:
    """The inverse of `pack`."""
    return zlib.decompress(base64.b85decode(stored)).decode()


def _reserved(place: Place, visibility: Visibility) -> Reserved:
    return Reserved(place.host, place.notes, visibility)


def _prefix(physical: str) -> str:
    # No name of a collection has a slash in it: none begins like another one's notes.
    return f"{_NOTE}{physical}/"

"""Records of nestvec's own, in a namespace of an index that is no collection's and is never searched; and notes there.

A record has room for 40 KB of JSON, which might double a note of 32 KB or worse. Compressed and in the letters of base
85, none of which JSON escapes, even one of random letters fits.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from nestvec.errors import BackendRefused
from nestvec_pinecone import visibility
from nestvec_pinecone.client import PineconeClient
from nestvec_pinecone.errors import NoNamespace
from nestvec_pinecone.options import MAX_METADATA_BYTES
from nestvec_pinecone.records import STAMP, UpsertBody, new_stamp
from nestvec_pinecone.schema import IndexLocation

_PAGE: Final = 100
_NOTE: Final = "note:"
_TEXT: Final = "nestvec_note"


@dataclass(frozen=True, slots=True)
class ReservedRecords:
    """Values under keys, read and changed on behalf of a request. Whoever changes them says the index's dimensions."""

    client: PineconeClient
    request: object
    host: str
    namespace: str

    async def keys(self, prefix: str) -> list[str]:
        """All that begin so."""
        ids, token, page = list[str](), None, {"namespace": self.namespace, "prefix": prefix, "limit": _PAGE}
        while True:
            try:
                reply = await self._call("list_paginated", **page, pagination_token=token)
            except NoNamespace:
                return []
            ids += [item.id for item in reply.vectors]
            token = reply.pagination.next if reply.pagination else None
            if not token:
                return ids

    async def read(self, key: str) -> Any:
        """The values under a key, or None."""
        try:
            reply = await self._call("fetch", ids=[key], namespace=self.namespace)
        except NoNamespace:
            return None
        found = reply.vectors.get(key)
        return None if found is None else found.metadata

    async def put(self, key: str, values: Mapping[str, Any], dimension: int) -> None:
        """Replace them as a whole; returns when reads see it. Raises `BackendRefused` for what is too large."""
        stamp = new_stamp()
        vector = {"id": key, "values": [1.0] + [0.0] * (dimension - 1), "metadata": {**values, STAMP: stamp}}
        if len(orjson.dumps(vector["metadata"])) > MAX_METADATA_BYTES:
            raise BackendRefused(f"the description of {key!r} is larger than a Pinecone record; declare fewer fields")
        body = UpsertBody(orjson.dumps({"vectors": [vector], "namespace": self.namespace}), 1, key, stamp)
        await visibility.write(self.client, self.request, self.host, dimension, self.namespace, [body])

    async def delete(self, some: Sequence[str], dimension: int) -> None:
        """Forget keys, where they are known; returns when reads see it."""
        await visibility.remove(self.client, self.request, self.host, dimension, self.namespace, some)

    async def _call(self, method: str, **arguments: Any) -> Any:
        return await self.client.call(self.request, self.host, method, **arguments)


async def write_note(
    client: PineconeClient, request: object, location: IndexLocation, name: str, text: str | None
) -> None:
    """Keep a note, or remove it; returns when reads see it."""
    records, key = _beside(client, request, location), _prefix(location) + name
    if text is None:
        await records.delete([key], location.dimension)
    else:
        await records.put(key, {_TEXT: pack_note(text)}, location.dimension)


async def read_note(client: PineconeClient, request: object, location: IndexLocation, name: str) -> str | None:
    """What a note says, or None."""
    found = await _beside(client, request, location).read(_prefix(location) + name)
    try:
        return None if found is None else unpack_note(found[_TEXT])
    except (ValueError, TypeError, LookupError, zlib.error) as error:
        raise BackendRefused(
            f"the note {name!r} of collection {location.physical!r} is damaged ({error!r:.200}): delete the record "
            f"{_prefix(location) + name!r} of namespace {location.notes!r}, if no migration is under way"
        ) from error


async def forget_notes(client: PineconeClient, request: object, location: IndexLocation) -> None:
    """Remove all notes of a collection."""
    records = _beside(client, request, location)
    await records.delete(await records.keys(_prefix(location)), location.dimension)


def pack_note(text: str) -> str:
    """A note as it is stored."""
    return base64.b85encode(zlib.compress(text.encode(), 9)).decode()


def unpack_note(stored: str) -> str:
    """The inverse of `pack_note`."""
    return zlib.decompress(base64.b85decode(stored)).decode()


def _beside(client: PineconeClient, request: object, location: IndexLocation) -> ReservedRecords:
    return ReservedRecords(client, request, location.host, location.notes)


def _prefix(location: IndexLocation) -> str:
    # No name of a collection has a slash in it: none begins like another one's notes.
    return f"{_NOTE}{location.physical}/"

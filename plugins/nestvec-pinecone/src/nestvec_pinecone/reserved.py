"""Records of nestvec's own, in a namespace of an index that is no collection's and is never searched."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from nestvec.errors import BackendRefused
from nestvec_pinecone import keys, polling
from nestvec_pinecone.calls import Call, Operation
from nestvec_pinecone.errors import NoNamespace
from nestvec_pinecone.plugin import MAX_METADATA_BYTES
from nestvec_pinecone.polling import Visibility, Written

_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Reserved:
    """Values under keys. Whoever changes them says of how many dimensions the index is."""

    host: str
    namespace: str
    visibility: Visibility

    def keys(self, prefix: str) -> Operation[list[str]]:
        """All that begin so."""
        ids, token = list[str](), None
        while True:
            arguments = {"namespace": self.namespace, "prefix": prefix, "limit": _PAGE, "pagination_token": token}
            try:
                reply = yield Call(self.host, "list_paginated", arguments)
            except NoNamespace:
                return []
            ids += [item.id for item in reply.vectors]
            token = reply.pagination.next if reply.pagination else None
            if not token:
                return ids

    def read(self, key: str) -> Operation[Any]:
        """The values under a key, or None."""
        try:
            reply = yield Call(self.host, "fetch", {"ids": [key], "namespace": self.namespace})
        except NoNamespace:
            return None
        found = reply.vectors.get(key)
        return None if found is None else found.metadata

    def put(self, key: str, values: Mapping[str, Any], dimension: int) -> Operation[None]:
        """Replace them as a whole; returns when reads see it. Raises `BackendRefused` for what is too large."""
        stamp = uuid.uuid4().hex[:12]
        vector = {"id": key, "values": [1.0] + [0.0] * (dimension - 1), "metadata": {**values, keys.STAMP: stamp}}
        if len(orjson.dumps(vector["metadata"])) > MAX_METADATA_BYTES:
            raise BackendRefused(f"the description of {key!r} is larger than a Pinecone record; declare fewer fields")
        content = orjson.dumps({"vectors": [vector], "namespace": self.namespace})
        lsn = yield from polling.upsert(self.host, content, 1)
        yield from self._settle(Written(self.namespace, lsn, present=(key, stamp)), dimension)

    def delete(self, some: Sequence[str], dimension: int) -> Operation[None]:
        """Forget keys, where they are known; returns when reads see it."""
        if not some:
            return
        try:
            lsn = yield from polling.delete(self.host, self.namespace, ids=list(some))
        except NoNamespace:
            return
        yield from self._settle(Written(self.namespace, lsn, gone=some), dimension)

    def _settle(self, written: Written, dimension: int) -> Operation[None]:
        yield from self.visibility.settle(self.host, dimension, written)

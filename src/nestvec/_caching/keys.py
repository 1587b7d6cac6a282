"""What a vector is known by in a cache: everything that decides about its numbers, and nothing else.

That is the embedding space without what the core makes of the vector afterwards, the host, the task, and the text:

- *Dimensions* stay out. A vector of a Matryoshka model serves every shorter request (see `answer`).
- The *rotation* stays out, too. Nested models are asked for full vectors, and the core turns and cuts them behind the
  cache: what is kept are the model's own vectors, the same whatever they are turned by.
- Where the model runs stays in, though it is no part of the space. Whether two hosts give the same vectors is measured
  for each collection (see `nestvec._hosts.admission`); a cache that one filled and the other read would pass that by.
- Under *late chunking* a vector depends on everything that the model reads with it. An embedder plans its windows from
  the document's text, the chunks' bounds and the model's limit, so all of these decide, and a chunk's own text does not
  suffice. Other text around it, a chunk more or less, or another limit: another key.

Texts enter as SHA-256 digests only; a cache holds no text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace

from nestvec.capabilities import ModelCapabilities, TaskPair
from nestvec.contract import Encode, Group
from nestvec.spaces import space_of

#: Raise it when the meaning of keys or the form of values changes: what was kept before is then not found any more.
_VERSION = 1


def keys_of(request: Encode, model: ModelCapabilities) -> list[bytes]:
    """One key of 32 bytes for each span of each group, in order."""
    start = _start(request, model)
    spans = _late if request.late else _plain
    return [key for group in request.groups for key in spans(start, group)]


def _start(request: Encode, model: ModelCapabilities) -> bytes:
    space = space_of(model, 0, TaskPair(request.task, None), late_chunking=request.late)
    known = {"version": _VERSION, "host": model.host, **asdict(replace(space, rotation=None))}
    if request.late:
        known["window"] = model.max_tokens
    return _digest(json.dumps(known, sort_keys=True).encode())


def _plain(start: bytes, group: Group) -> Iterator[bytes]:
    for text in group.texts():
        yield _digest(start, _bytes(text))


def _late(start: bytes, group: Group) -> Iterator[bytes]:
    bounds = json.dumps(group.spans).encode()
    window = _digest(start, _digest(bounds), _bytes(group.text))
    for number in range(len(group.spans)):
        yield _digest(window, b"%d" % number)


def _bytes(text: str) -> bytes:
    # A lone surrogate is the embedder's to refuse.
    return text.encode("utf-8", "surrogatepass")


def _digest(*parts: bytes) -> bytes:
    """All parts but the last are of a fixed length, so no two sequences of parts look alike."""
    return hashlib.sha256(b"".join(parts)).digest()

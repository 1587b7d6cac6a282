"""Run as a process of its own: bring a collection to a version of the corpus, and die before the n-th write.

    python victim.py CONFIG_JSON VERSION DEATH

Prints how many writes and removals a whole run takes. With DEATH it ends with status 9 before that one.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from nestvec._client import connect
from nestvec._session.session import complete
from nestvec.contract import Remove, Write
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.registry import test_registry
from nestvec_testing.requests import bare
from nestvec_testing.tap import tap_in_place

VERSIONS = ("old", "new", "gone")
SIZES = {
    "one": {"old": 3, "new": 1, "gone": 2},
    "two": {"old": 1, "new": 4, "gone": 3},
    "three": dict.fromkeys(VERSIONS, 5),
}


def corpus(version: str) -> list[Document]:
    """Documents that shrink, grow and change from one version to the next — and one that stays."""
    changing = [Document(key, text(version, sizes[version]), {"version": version}) for key, sizes in SIZES.items()]
    return [*changing, Document("stays", text("same", 2), {"version": "any"})]


def text(word: str, chunks: int) -> str:
    """A text that is split into this many chunks."""
    return " ".join(f"{word}{i:07d}" for i in range(chunks))


def main() -> None:
    config, version, death = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    with connect(config, Runtime(test_registry())) as client:
        client.apply()
        adapter, count = complete(client._connections.adapter("store")), 0

        def mortal(request: Any, perform: Callable[[Any], Any]) -> Any:
            nonlocal count
            if isinstance(bare(request), Write | Remove):
                if count == death:
                    os._exit(9)
                count += 1
            return perform(request)

        tap_in_place(adapter, mortal)
        client["docs"].upsert(corpus(version))
        if version == "gone":
            client["docs"].delete(["one", "two", "three", "stays"])
        sys.stdout.write(str(count))


if __name__ == "__main__":
    main()

"""A writer and a reader that go on while a collection is migrated: as threads, or each as a process of its own.

    python actors.py write|read CONFIG_JSON

works until standard input is closed, and then prints what it did as JSON.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from typing import Any

from nestvec._client import connect
from nestvec._client.sync import Nestvec
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.registry import test_registry

#: Seconds for which a handle trusts what it looked up; the same for all who take part.
LEASE = 0.5
#: Documents that were there before, and that nobody changes: what the reader asks for.
STAYING = [Document(f"stays-{i}", f"staying{i:03d} text{i:03d} of{i:03d}") for i in range(40)]


def runtime() -> Runtime:
    return Runtime(test_registry(), lease=LEASE)


def write(client: Nestvec, stopped: Callable[[], bool]) -> dict[str, str | None]:
    """New documents, changed ones, deleted ones; returns what each is now, None where it is gone."""
    docs, state, i = client["docs"], dict[str, str | None](), 0
    while not (i and stopped()):
        state[f"new-{i}"] = f"written{i:05d} first{i:05d}"
        docs.upsert(Document(f"new-{i}", str(state[f"new-{i}"])))
        if i % 3 == 2:
            state[f"new-{i - 1}"] = f"written{i - 1:05d} again{i:05d} longer{i:05d}"
            docs.upsert(Document(f"new-{i - 1}", str(state[f"new-{i - 1}"])))
        if i % 4 == 3:
            state[f"new-{i - 3}"] = None
            docs.delete(f"new-{i - 3}")
        i += 1
    return state


def read(client: Nestvec, stopped: Callable[[], bool]) -> dict[str, Any]:
    """Ask for each document that stays; the answer must be that one, with the score of its own space.

    A question of one model beside vectors of another has a score near 0, as all vectors of the stand-ins are random.
    """
    docs, wrong, searches = client["docs"], list[str](), 0
    while not (searches and stopped()):
        asked = STAYING[searches % len(STAYING)]
        hits = docs.search(asked.text, limit=3)
        searches += 1
        if not hits or hits[0].document_id != asked.id or hits[0].score < 0.7:
            wrong.append(f"search {searches} for {asked.id}: {[(hit.document_id, hit.score) for hit in hits]}")
        if docs.get(asked.id) != asked:
            wrong.append(f"{asked.id} was not there")
    return {"searches": searches, "wrong": wrong, "model": model_of(client)}


def model_of(client: Nestvec) -> str:
    """Of which model the vectors are that answer now."""
    (live,) = (each for each in client.generations("docs") if each.role == "live")
    return str(live.model)


def main() -> None:
    role, config = sys.argv[1], json.loads(sys.argv[2])
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    with connect(config, runtime()) as client:
        sys.stdout.write("started\n")
        sys.stdout.flush()
        done: Any = write(client, stop.is_set) if role == "write" else read(client, stop.is_set)
    sys.stdout.write(json.dumps(done))


if __name__ == "__main__":
    main()

"""The processes of a campaign: writers that replace the same documents in a loop, and a reader.

    python -m crash.writer        (from the folder of the tests; see `nursery`)

What they mean to do, what they did and what they saw, they write down with the time: a line of JSON each, which is
there in whole even if they are killed right afterwards. Times are those of `time.monotonic`, one clock for a machine.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from nestvec._client import connect
from nestvec._client.sync import Nestvec
from nestvec._client.sync_collection import Collection
from nestvec._session.session import complete
from nestvec.contract import Remove, Write
from nestvec.errors import CollectionError, NestvecError
from nestvec.runtime import Runtime
from nestvec_testing.registry import test_registry
from nestvec_testing.requests import bare
from nestvec_testing.tap import tap

from .nursery import serve
from .stage import hasten
from .versions import SIZES, Version

#: What is imported before the first process is born. None of it starts a thread.
_HEAVY = ("nestvec_qdrant.adapter", "nestvec_pinecone.adapter", "nestvec_milvus.adapter", "pymilvus")
_NOWHERE = "http://127.0.0.1:1"
#: All processes look their plugins up in this one, which found them before they were born.
_REGISTRY = test_registry()
#: How often in a thousand a request to write is sent late, and how often twice.
_LATE, _LATER, _TWICE = 300, 20, 20
#: Seconds: what may be sent so late; and so much later, in leases.
_SOON, _LEASES = 0.03, 0.6
#: Seconds, and tries, after which a document that still cannot be read is taken to be torn.
_MOMENT, _TRIES = 2.0, 10


class Log:
    """A file that only grows, by whole lines."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(self, **entry: Any) -> None:
        """Write an entry down; it is in the kernel's hands on return."""
        os.write(self._file, (json.dumps(entry) + "\n").encode())


@contextmanager
def opened(order: dict[str, Any]) -> Iterator[Nestvec]:
    """A client as the order describes it."""
    os.environ.update(order.get("environment", {}))
    with connect(order["config"], Runtime(_REGISTRY, lease=order["lease"])) as client:
        yield client


def warm_up() -> None:
    """Do once what every process would begin with."""
    for module in _HEAVY:
        import_module(module)
    for backend in ("qdrant", "pinecone", "milvus"):
        _REGISTRY.backend(backend)
    import pinecone  # most of it is imported when its clients are made; nothing is sent

    pinecone.Pinecone(api_key="none", host=_NOWHERE, ssl_verify=False).close()
    pinecone.Index(api_key="none", host=_NOWHERE, ssl_verify=False).close()
    blocks = {"backends": {"store": {"use": "memory"}}, "embedders": {"model": {"use": "recording"}}}
    with opened({"config": {**blocks, "collections": {"docs": {"dimensions": 8}}}, "lease": 1.0}) as client:
        client.apply()
        client["docs"].upsert(Version("d0", "x0", "x0", 2).content())
        client["docs"].search("x0")


def live(order: dict[str, Any]) -> None:
    """What a process does."""
    roles: dict[str, Callable[[dict[str, Any]], None]] = {"write": write, "read": read, "once": once}
    roles[order["role"]](order)


# ------------------------------------------------------------ one step


def once(order: dict[str, Any]) -> None:
    """Write one version, or delete a document."""
    with opened(order) as client:
        if order["version"] is None:
            client["docs"].delete(order["document"])
        else:
            client["docs"].upsert(Version(**order["version"]).content())


# ------------------------------------------------------------ a writer


class Author:
    """Thinks of what to write. Each step is a list of versions to write, or of ids to delete."""

    def __init__(self, name: str, first: int, documents: list[str], rng: random.Random) -> None:
        self._name, self._number, self._documents, self._rng = name, first, documents, rng
        self._latest: dict[str, Version] = {}

    def step(self) -> list[Version] | list[str]:
        """The next."""
        chosen = self._rng.sample(self._documents, min(self._rng.choice((1, 2, 3, 3, 3)), len(self._documents)))
        if self._rng.random() < 0.1:
            return chosen
        versions = [self._version(document) for document in chosen]
        self._latest |= {version.document: version for version in versions}
        return versions

    def _version(self, document: str) -> Version:
        draw, latest = self._rng.random(), self._latest.get(document)
        if draw < 0.15:
            # What all write now and then, so that two may write the very same at once, and write it again later.
            number = self._rng.randrange(3)
            return Version(document, f"x{number}", f"x{number}", SIZES[(number * 2 + int(document[1:])) % len(SIZES)])
        if draw < 0.25 and latest is not None:
            return latest  # a job that is run again
        self._number += 1
        stamp = f"w{self._name}n{self._number}"
        if draw < 0.4 and latest is not None:
            return Version(document, stamp, latest.text, latest.chunks)  # other metadata, the same text
        return Version(document, stamp, stamp, self._rng.choice(SIZES))


def write(order: dict[str, Any]) -> None:
    """Replace and delete documents until it is told to stop, writing down what, when, and with what success."""
    rng = random.Random(order["seed"])
    author = Author(order["name"], order["first"], order["documents"], rng)
    log = Log(order["log"])
    with opened(order) as client:
        adapter = complete(client._connections.adapter("store"))
        client._connections.adapters.put("store", tap(adapter, _clumsy(rng, order["lease"])))
        number = 0
        while not Path(order["stop"]).exists():
            number += 1
            _perform(client["docs"], author.step(), log, number)


def _perform(docs: Collection, step: list[Any], log: Log, number: int) -> None:
    written = [each for each in step if isinstance(each, Version)]
    deleted = [each for each in step if not isinstance(each, Version)]
    what = {"write": [asdict(each) for each in written], "delete": deleted}
    log.add(kind="begin", number=number, at=time.monotonic(), **what)
    try:
        if written:
            report = docs.upsert([each.content() for each in written], on_failure="report")
            failed = [[each.document_id, each.error] for each in report.failed]
            # Whose write was replaced before it was done is told so; whose, is not.
            outcome = {"failed": failed, "superseded": report.superseded}
        else:
            docs.delete(deleted)
            outcome = {}
    except NestvecError as error:
        log.add(kind="error", number=number, at=time.monotonic(), error=f"{type(error).__name__}: {error}")
    else:
        log.add(kind="done", number=number, at=time.monotonic(), **outcome)


def _clumsy(rng: random.Random, lease: float) -> Callable[[Any, Callable[[Any], Any]], Any]:
    """Sends some of what it should write late, and some of it twice."""

    def send(request: Any, perform: Callable[[Any], Any]) -> Any:
        if not isinstance(bare(request), Write | Remove):
            return perform(request)
        draw = rng.randrange(1000)
        if draw < _LATER:
            time.sleep(rng.uniform(0, _LEASES * lease))
        elif draw < _LATE:
            time.sleep(rng.uniform(0, _SOON))
        if rng.randrange(1000) < _TWICE:
            perform(request)
        return perform(request)

    return send


# ------------------------------------------------------------ a reader


def read(order: dict[str, Any]) -> None:
    """Get each document and search, again and again until it is told to stop, writing down what is seen."""
    rng, log = random.Random(order["seed"]), Log(order["log"])
    with opened(order) as client:
        while not Path(order["stop"]).exists():
            for document in order["documents"]:
                _get(client["docs"], document, log)
            _search(client["docs"], rng.choice(order["documents"]), order["limit"], log)
            time.sleep(_SOON)


def _get(docs: Collection, document: str, log: Log) -> None:
    begun = time.monotonic()
    for tries in count(1):
        asked = time.monotonic()
        try:
            found = docs.get(document)
        except CollectionError as error:
            if time.monotonic() < begun + _MOMENT or tries < _TRIES:
                continue
            log.add(kind="torn", document=document, at=begun, until=time.monotonic(), error=str(error))
            return
        seen = None if found is None else {"stamp": found.metadata.get("stamp"), "text": found.text}
        log.add(kind="got", document=document, at=asked, until=time.monotonic(), seen=seen)
        return


def _search(docs: Collection, word: str, limit: int, log: Log) -> None:
    at = time.monotonic()
    hits = docs.search(word, limit=limit)
    seen = [(hit.document_id, str(hit.metadata.get("stamp")), hit.text or "") for hit in hits]
    log.add(kind="found", at=at, until=time.monotonic(), seen=seen)


if __name__ == "__main__":
    hasten()
    warm_up()
    serve(live)

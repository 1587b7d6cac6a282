"""Threads of one client write and search while it migrates, with clocks that run: nobody waits for ever."""

from __future__ import annotations

import threading
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from nestvec._client import Collection, connect
from nestvec._collections import write_fence
from nestvec.runtime import Runtime
from nestvec.types import Document

from .world import MATCHING, REGISTRY, contents, corpus, document, expected


class Thread(threading.Thread):
    """Does something again and again until it is told to stop; what went wrong is kept."""

    def __init__(self, docs: Collection, number: int) -> None:
        super().__init__(daemon=True)
        self.docs, self.number = docs, number
        self.enough, self.error = threading.Event(), None
        self.written: dict[str, Document] = {}
        self.start()

    def run(self) -> None:
        try:
            for turn in count():
                if self.enough.is_set():
                    return
                self.act(turn)
        except BaseException as error:
            self.error = error  # type: ignore[assignment]

    def act(self, turn: int) -> None:
        raise NotImplementedError


class Writer(Thread):
    def act(self, turn: int) -> None:
        written = document(f"w{self.number}-{turn % 5}", 1 + turn % 7, f"turn{turn}-")
        assert self.docs.upsert([written]).documents == 1
        self.written[written.id] = written


class Reader(Thread):
    def act(self, turn: int) -> None:
        assert self.docs.search("word1 word2", limit=3)


@pytest.mark.parametrize("backend", ["memory", "qdrant"])
def test_threads_go_on_while_their_client_migrates(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_fence, "SKEW", 0.2)
    monkeypatch.setattr(write_fence, "POLL", 0.02)
    options: dict[str, Any] = {"path": str(tmp_path)} if backend == "qdrant" else {"store": str(tmp_path)}
    block = {"dimensions": 32, "fields": {"lang": "keyword", "year": "integer"}, "chunking": {"size": 20}}
    values = {"backends": {"one": {"use": backend, **options}}, "embedders": {"model": {"use": "recording"}}}
    with connect({**values, "collections": {"docs": block}}, Runtime(REGISTRY, lease=1.0)) as client:
        client.apply()
        client["docs"].upsert(corpus())
    wanted = {**block, **MATCHING, "previous": {"purpose": "retrieval"}}
    with connect({**values, "collections": {"docs": wanted}}, Runtime(REGISTRY, lease=1.0)) as client:
        docs = client["docs"]
        threads = [Writer(docs, 0), Writer(docs, 1), Reader(docs, 2)]
        assert client.migrate("docs").switched
        assert client.rollback("docs").switched
        for thread in threads:
            thread.enough.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
            if thread.error is not None:
                raise thread.error
        written = {**threads[0].written, **threads[1].written}
        assert contents(client) == expected([*corpus(), *written.values()])

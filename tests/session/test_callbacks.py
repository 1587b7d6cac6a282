"""What a caller's own callback raises is the caller's: it comes out, and leaves nothing half done behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nestvec._client import Nestvec, aconnect
from nestvec.contract import Encode, Encoded
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.recording import RecordingEmbedder, RecordingOptions

DOCUMENTS = [Document(f"d{number}", f"text {number} is short\n\n" + "more words " * 150) for number in range(40)]


class Stop(Exception):
    """Raised by callbacks."""


class Raising:
    """A callback that raises the n-th time."""

    def __init__(self, time: int) -> None:
        self.left = time

    def __call__(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            raise Stop


class Counting(RecordingEmbedder):
    """How often it was asked, and whether it still is when it must not be."""

    def __init__(self) -> None:
        super().__init__(RecordingOptions(batch=4))
        self.over = False
        self.late = 0

    def encode(self, request: Encode) -> Encoded:
        self.late += self.over
        return super().encode(request)


def whole(nv: Nestvec) -> int:
    """How many documents are there, of which none is torn."""
    found = [nv["docs"].get(document.id) for document in DOCUMENTS]
    assert all(each is None or each.text == document.text for each, document in zip(found, DOCUMENTS, strict=True))
    return sum(each is not None for each in found)


@pytest.mark.parametrize("time", [1, 2, 5])
def test_an_ingestion_stops_as_a_whole(open_docs: Callable[..., Nestvec], time: int) -> None:
    nv, embedder = open_docs(embedder={"batch": 4}), Counting()
    nv._connections.embedders.put("model", embedder)
    caught: list[Stop] = []
    try:
        nv["docs"].upsert(DOCUMENTS, progress=Raising(time))
    except Stop as error:  # kept with its traceback, as a debugger or a log keeps it
        caught.append(error)
        embedder.over = True
    assert caught
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("nestvec_")]
    assert whole(nv) >= time
    assert embedder.late == 0, "nothing goes on behind the caller's back"
    embedder.over = False
    assert nv["docs"].upsert(DOCUMENTS).documents == 40
    assert whole(nv) == 40


@pytest.mark.parametrize("time", [1, 2, 5])
def test_an_asynchronous_one_too(open_docs: Callable[..., Nestvec], runtime: Runtime, time: int) -> None:
    config = open_docs(embedder={"batch": 4}).config

    async def ingest() -> None:
        async with aconnect(config, runtime) as nv:
            await nv.apply()
            caught: list[Stop] = []
            try:
                await nv["docs"].upsert(DOCUMENTS, progress=Raising(time))
            except Stop as error:
                caught.append(error)
            assert caught
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert (await nv["docs"].upsert(DOCUMENTS)).documents == 40

    asyncio.run(ingest())


def test_documents_that_raise_while_they_are_read(open_docs: Callable[..., Nestvec]) -> None:
    def reading() -> Any:
        yield from DOCUMENTS[:20]
        raise Stop

    nv = open_docs(embedder={"batch": 4})
    with pytest.raises(Stop):
        nv["docs"].upsert(reading())
    whole(nv)
    assert nv["docs"].upsert(DOCUMENTS).documents == 40


@pytest.mark.parametrize("time", [1, 2, 3])
def test_a_copy_can_be_repeated(runtime: Runtime, tmp_path: Path, time: int) -> None:
    from nestvec._client import connect

    values = {
        "backends": {"store": {"use": "memory"}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {}, "other": {}},
    }
    with connect(values, runtime) as nv:
        nv.apply()
        nv["docs"].upsert(DOCUMENTS)
        with pytest.raises(Stop):
            nv.copy("docs", "other", page=10, progress=Raising(time))
        nv.copy("docs", "other", page=10)
        assert nv["other"].count() == nv["docs"].count()

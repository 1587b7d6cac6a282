"""Closing, cancelling and forking at bad moments: nobody waits for ever, nothing stays behind."""

from __future__ import annotations

import asyncio
import os
import threading
import time

import pytest

from nestvec.embedders.jina import engine
from nestvec.embedders.jina.embedder import JinaEmbedder
from nestvec.embedders.jina.options import JinaOptions
from nestvec.errors import EmbedderError
from nestvec_testing.emulators.jina import Hold

from .conftest import KEY, ask, group


def options(emulator, **values):
    return JinaOptions.model_validate(
        {"api_key": {"env": KEY}, "base_url": emulator.base_url, "backoff": 0.0, **values}
    )


def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.005)


@pytest.mark.parametrize("others", [0, 1])
def test_closing_ends_what_another_thread_waits_for(emulator, others):
    emulator.inject(hold := Hold(), times=None)
    embedder, rest = JinaEmbedder(options(emulator)), [JinaEmbedder(options(emulator)) for _ in range(others)]
    errors = []

    def work():
        try:
            embedder.encode(ask(group("a", "text")))
        except EmbedderError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    until(lambda: emulator.journal.in_flight == 1)
    embedder.close()
    thread.join(60)
    hold.release()
    for each in rest:
        each.close()
    assert not thread.is_alive()
    assert "closed" in errors[0]


async def test_cancelling_before_the_first_step_does_not_hang(emulator):
    embedder = JinaEmbedder(options(emulator), native=True)
    busy, go = threading.Event(), threading.Event()
    engine.ENGINE._loop.call_soon_threadsafe(lambda: (busy.set(), go.wait(10)))
    busy.wait(10)
    task = asyncio.create_task(embedder.encode(ask(group("a", "text"))))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0.2)
    go.set()
    done, _ = await asyncio.wait([task], timeout=60)
    assert done, "it waits for ever"
    await embedder.close()


async def test_a_cancelled_close_leaves_no_thread(emulator):
    embedder = JinaEmbedder(options(emulator), native=True)
    await embedder.encode(ask(group("a", "text")))
    task = asyncio.create_task(embedder.close())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.to_thread(until, lambda: not [t for t in threading.enumerate() if t.name == "nestvec-jina"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("case", ["close", "close beside", "use beside"])
def test_a_child_and_what_its_parent_opened(emulator, case):
    """Closing it is no error and does not touch the child's own; using it beside the child's own is still refused."""
    parent = JinaEmbedder(options(emulator))
    parent.encode(ask(group("a", "text")))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        said = "fine"
        try:
            own = JinaEmbedder(options(emulator)) if "beside" in case else None
            if case == "use beside":
                try:
                    parent.encode(ask(group("a", "text")))
                    said = "used the connections of its parent"
                except EmbedderError:
                    pass
            else:
                parent.close()
            if own is not None:
                own.encode(ask(group("a", "text")))
        except BaseException as error:
            said = repr(error)
        finally:
            os.write(write, said.encode())
            os._exit(0)
    os.waitpid(child, 0)
    said = os.read(read, 1000).decode()
    os.close(read)
    os.close(write)
    assert parent.encode(ask(group("a", "text"))).failures == ()
    parent.close()
    assert said == "fine"


def test_opening_while_the_last_one_closes_keeps_one_governor(emulator, monkeypatch):
    """The loop's end takes a moment; whoever comes meanwhile has a loop and a governor of their own, and keeps them."""
    opened = []
    join = threading.Thread.join

    def slow(thread, timeout=None):
        join(thread, timeout)
        if thread.name == "nestvec-jina" and not opened:
            opened.append(JinaEmbedder(options(emulator)))
            opened[0].encode(ask(group("a", "text")))

    first = JinaEmbedder(options(emulator))
    first.encode(ask(group("a", "text")))
    monkeypatch.setattr(threading.Thread, "join", slow)
    first.close()
    opened.append(JinaEmbedder(options(emulator)))
    opened[1].encode(ask(group("a", "text")))
    governors = [each._session._governor for each in opened]
    for each in opened:
        each.close()
    assert governors[0] is governors[1]

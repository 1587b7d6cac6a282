"""An emulated embeddings API, and embedders on it: synchronous and asynchronous."""

from __future__ import annotations

import asyncio

import pytest

from nestvec.contract import Encode, Group
from nestvec.embedders.jina import governor
from nestvec.embedders.jina.embedder import JinaEmbedder
from nestvec.embedders.jina.options import JinaOptions
from nestvec_testing.emulators.jina import JinaEmulator

KEY = "NESTVEC_TEST_JINA_KEY"


@pytest.fixture(scope="session")
def running():
    with JinaEmulator() as emulator:
        yield emulator


@pytest.fixture
def emulator(running, monkeypatch):
    """As if just started; what was known of its quotas is forgotten."""
    running.reset()
    monkeypatch.setenv(KEY, running.api_key)
    governor._STATES.clear()
    governor.forget_governors()
    return running


class Awaited:
    """An asynchronous embedder, called like a synchronous one."""

    def __init__(self, options):
        self.runner = asyncio.Runner()
        self.embedder = JinaEmbedder(options, native=True)

    def encode(self, request):
        return self.runner.run(self.embedder.encode(request))

    def close(self):
        self.runner.run(self.embedder.close())

    def __repr__(self):
        return repr(self.embedder)


@pytest.fixture(params=["sync", "async"])
def open_jina(request, emulator):
    """Open an embedder on the emulator; retries do not wait."""
    opened = []

    def open_one(**options):
        values = {"api_key": {"env": KEY}, "base_url": emulator.base_url, "backoff": 0.0, **options}
        form = Awaited if request.param == "async" else JinaEmbedder
        opened.append(form(JinaOptions.model_validate(values)))
        return opened[-1]

    yield open_one
    for embedder in opened:
        embedder.close()
        if isinstance(embedder, Awaited):
            embedder.runner.close()


@pytest.fixture
def settings(emulator):
    """The options of an embedder block."""
    return {"use": "jina", "api_key": {"env": KEY}, "base_url": emulator.base_url, "backoff": 0.0}


def group(key, *texts):
    spans, start = [], 0
    for text in texts:
        spans.append((start, start + len(text)))
        start += len(text)
    return Group(key, "".join(texts), tuple(spans))


def ask(*groups, task="retrieval.passage", dimensions=64, late=False):
    return Encode(tuple(groups), task, dimensions, late)

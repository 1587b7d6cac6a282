"""Embedders that write down what they were asked, in front of them a cache in a folder of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nestvec._caching.cache import Cache
from nestvec._caching.embedder import CachedEmbedder
from nestvec._client import connect
from nestvec.contract import Encode, Encoded, EncodeFailure, Event, Group
from nestvec.errors import EmbedderRefused
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing.recording import RecordingEmbedder, RecordingOptions, capabilities
from nestvec_testing.registry import test_registry

#: A word that no model takes: its document fails, and its span is named.
POISON = "poison"


class Picky(RecordingEmbedder):
    """Refuses documents with a poisoned text; of the others it knows what was asked."""

    def encode(self, request: Encode) -> Encoded:
        failures = tuple(filter(None, map(self._failure, range(len(request.groups)), request.groups)))
        failed = {failure.group for failure in failures}
        reply = super().encode(request)
        vectors = tuple(None if i in failed else rows for i, rows in enumerate(reply.vectors))
        return replace(reply, vectors=vectors, failures=failures)

    closed = 0

    def close(self) -> None:
        self.closed += 1

    @property
    def asked(self) -> list[str]:
        """Every text that it was asked for."""
        return [text for request in self.requests for group in request.groups for text in group.texts()]

    def _failure(self, number: int, group: Group) -> EncodeFailure | None:
        bad = next((i for i, text in enumerate(group.texts()) if POISON in text), None)
        return None if bad is None else EncodeFailure(number, EmbedderRefused(f"document {group.key!r}"), bad)


def group(key: str, *texts: str) -> Group:
    """One document whose chunks are the texts."""
    spans, start = [], 0
    for text in texts:
        spans.append((start, start + len(text)))
        start += len(text) + 1
    return Group(key, " ".join(texts), tuple(spans))


def ask(*groups: Group, task: str | None = "retrieval.passage", dimensions: int = 64, late: bool = False) -> Encode:
    """A request."""
    return Encode(groups, task, dimensions, late)


class Folder:
    """Opens embedders on one cache folder, each with a cache of its own; `events` is what they told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[Event] = []
        self.now = 0.0
        self._opened: list[CachedEmbedder] = []

    def open(self, inner: Any = None, *, size: int = 10_000_000, **options: Any) -> CachedEmbedder:
        """`options` are those of a model, or capabilities to change."""
        known = {name: options.pop(name) for name in list(options) if name in RecordingOptions.model_fields}
        settings = RecordingOptions(**known)
        model = replace(capabilities(settings), **options)
        cache = Cache(self.path, size, self.events.append, lambda: self.now)
        self._opened.append(CachedEmbedder(inner or Picky(settings), model, cache))
        return self._opened[-1]

    def close(self) -> None:
        """Close all of them."""
        while self._opened:
            self._opened.pop().close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path / "cache")
    yield made
    made.close()


def documents(count: int) -> list[Document]:
    """Of two chunks each, where chunks have at most 40 characters."""
    return [
        Document(f"d{i}", f"The river runs by stone {i}.\n\nIn winter {i} it is full of ice.") for i in range(count)
    ]


@pytest.fixture
def open_client(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """A client with a fresh, empty collection `docs`, whose embedder `model` caches in the test's folder."""
    opened = []

    def open_one(*, cached: bool = True, embedder: dict[str, Any] | None = None, **settings: Any) -> Any:
        cache = {"cache": {"path": str(tmp_path / "cache")}} if cached else {}
        values = {
            "backends": {"store": {"use": "memory"}},
            "embedders": {"model": {"use": "recording", **(embedder or {}), **cache}},
            "collections": {"docs": {"dimensions": 32, "chunking": {"size": 40}, **settings}},
        }
        client = connect(values, Runtime(test_registry()))
        opened.append(client)
        client.apply()
        return client

    yield open_one
    for client in opened:
        client.close()

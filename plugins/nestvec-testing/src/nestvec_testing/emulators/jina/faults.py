"""What can be wrong with a reply that looks right: for clients that check what they get."""

from __future__ import annotations

import base64
import json
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from nestvec_testing.emulators.faults import Course, Fault
from nestvec_testing.emulators.jina.journal import texts_of
from nestvec_testing.emulators.journal import parsed
from nestvec_testing.emulators.replies import HttpReply


@dataclass(frozen=True, kw_only=True)
class Altered(Fault):
    """A reply whose `data` is changed. Refusals stay as they are."""

    applied: bool = True

    async def _reply(self, course: Course) -> HttpReply:
        reply = await course.answer()
        body = parsed(reply.body)
        if reply.status != 200 or not isinstance(body, dict):
            return reply
        body["data"] = self._altered(body["data"], texts_of(parsed(course.raw)))
        return reply.with_body(200, json.dumps(body).encode())

    @abstractmethod
    def _altered(self, data: list[dict[str, Any]], texts: list[str]) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, kw_only=True)
class WrongCount(Altered):
    """So many items more, or fewer (below 0), than there were inputs."""

    by: int = -1

    def _altered(self, data: list[dict[str, Any]], texts: list[str]) -> list[dict[str, Any]]:
        surplus = [{**data[-1], "index": len(data) + n} for n in range(self.by)]
        return [*data, *surplus] if self.by > 0 else data[: max(0, len(data) + self.by)]


@dataclass(frozen=True, kw_only=True)
class Reordered(Altered):
    """The last one first. Each `index` is right, so a client that looks at it loses nothing."""

    def _altered(self, data: list[dict[str, Any]], texts: list[str]) -> list[dict[str, Any]]:
        return data[::-1]


@dataclass(frozen=True, kw_only=True)
class DuplicateIndex(Altered):
    """The last item has the `index` of the first."""

    def _altered(self, data: list[dict[str, Any]], texts: list[str]) -> list[dict[str, Any]]:
        return [*data[:-1], {**data[-1], "index": data[0]["index"]}]


@dataclass(frozen=True, kw_only=True)
class NotFiniteVectors(Altered):
    """A number that is none in the first vector, or in those of all texts with `containing` in them.

    For vectors as float and base64.
    """

    value: float = float("nan")
    containing: str | None = None

    def _altered(self, data: list[dict[str, Any]], texts: list[str]) -> list[dict[str, Any]]:
        return [self._spoilt(item) if self._hits(item["index"], texts) else item for item in data]

    def _hits(self, index: int, texts: list[str]) -> bool:
        return index == 0 if self.containing is None else self.containing in texts[index]

    def _spoilt(self, item: dict[str, Any]) -> dict[str, Any]:
        vector = _decoded(item["embedding"])
        vector[len(vector) // 2] = self.value
        return {**item, "embedding": _encoded(vector, item["embedding"])}


@dataclass(frozen=True, kw_only=True)
class OtherDimensions(Altered):
    """Vectors with so many numbers more, or fewer (below 0): all, or that of one input. For float and base64."""

    by: int = -1
    index: int | None = None

    def _altered(self, data: list[dict[str, Any]], texts: list[str]) -> list[dict[str, Any]]:
        return [self._resized(item) if self.index in (None, item["index"]) else item for item in data]

    def _resized(self, item: dict[str, Any]) -> dict[str, Any]:
        vector = _decoded(item["embedding"])
        resized = np.resize(vector, max(0, len(vector) + self.by))
        return {**item, "embedding": _encoded(resized, item["embedding"])}


@dataclass(frozen=True, kw_only=True)
class Html(Fault):
    """A page with status 200, as something between client and service may send it."""

    status: int = 200
    content: str = "<!doctype html><title>Just a moment</title><p>Checking your connection.</p>"

    async def _reply(self, course: Course) -> HttpReply:
        return HttpReply(self.status, ((b"content-type", b"text/html; charset=utf-8"),)).with_body(
            self.status, self.content.encode()
        )


def _decoded(embedding: str | list[float]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding), "<f4").copy()
    return np.array(embedding, np.float32)


def _encoded(vector: np.ndarray[Any, np.dtype[np.float32]], like: str | list[float]) -> str | list[float]:
    if isinstance(like, str):
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return [float(value) for value in vector]

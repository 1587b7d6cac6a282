"""Reading over a server's REST API: bodies written straight from arrays, replies taken as JSON says them.

The client's own models copy, check and encode a request field by field, and build a model of each point of a reply.
Here a question is encoded from its float32 numbers, a filter once for all questions (and remembered for the next
ones), and of a reply no more is looked at than what becomes of it. Connection, address, headers, limits and errors
are the client's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from nestvec_qdrant.errors import UnexpectedReply
from nestvec_qdrant.filters import compile_filter
from nestvec_qdrant.records import query_threshold

if TYPE_CHECKING:
    from nestvec.contract import Query, VendorClient
    from nestvec.filters import Filter

_JSON: Final = {"Content-Type": "application/json"}
_NUMBERS: Final = orjson.OPT_SERIALIZE_NUMPY


class Point:
    """A point of a reply, with the attributes of the client's models."""

    __slots__ = ("id", "payload", "score", "vector")

    def __init__(self, told: Any) -> None:
        if not isinstance(told, dict) or not isinstance(told.get("id"), int | str):
            raise UnexpectedReply("a point without an id")
        self.id: int | str = told["id"]
        self.score = told.get("score", 0.0)
        self.payload = told.get("payload")
        self.vector = told.get("vector")
        if not (self.payload is None or isinstance(self.payload, dict)):
            raise UnexpectedReply("a point whose payload is no object")
        if not isinstance(self.score, float | int):
            raise UnexpectedReply("a score that is no number")


async def ask(client: VendorClient[Any], request: Any, path: str, body: bytes) -> Any:
    """What the API answers to a body that is posted to a path of the request's collection."""
    reply = await client.call(
        request,
        "http.client.request",
        type_=dict[str, Any],
        method="POST",
        url=f"/collections/{{name}}/points{path}",
        path_params={"name": request.physical},
        headers=_JSON,
        content=body,
    )
    return reply.get("result")


@lru_cache(maxsize=256)
def filter_json(where: Filter | None, tenant: str | None) -> bytes | None:
    """A resolved filter, and the tenant's condition, as JSON; None selects everything. Raises as `compile_filter`."""
    compiled = compile_filter(where, tenant)
    if compiled is None:
        return None
    return compiled.model_dump_json(by_alias=True, exclude_unset=True, exclude_none=True).encode()


def query_bodies(request: Query, vector: str, where: bytes | None, payload: bool | list[str]) -> list[bytes]:
    """The body of each question of a plain search, by the vector of this name ("" is the unnamed one)."""
    shared: dict[str, Any] = {"limit": request.limit, "with_payload": payload}
    if vector:
        shared["using"] = vector
    if request.offset:
        shared["offset"] = request.offset
    threshold = query_threshold(request)
    if threshold is not None:
        shared["score_threshold"] = threshold
    rest = orjson.dumps(shared)[1:]
    if where is not None:
        rest = b'"filter":' + where + b"," + rest
    rows = np.ascontiguousarray(next(iter(request.vectors.values())), np.float32)
    return [b'{"query":' + orjson.dumps(row, option=_NUMBERS) + b"," + rest for row in rows]


def batch_body(searches: Sequence[bytes]) -> bytes:
    """Several questions in one request."""
    return b'{"searches":[' + b",".join(searches) + b"]}"


def fetch_body(ids: Sequence[Any], payload: bool | list[str], vectors: bool | list[str]) -> bytes:
    """Points by id."""
    return orjson.dumps({"ids": list(ids), "with_payload": payload, "with_vector": vectors})


def scroll_body(
    where: bytes | None, limit: int, offset: Any, payload: bool | list[str], vectors: bool | list[str]
) -> bytes:
    """A page of points."""
    asked: dict[str, Any] = {"limit": limit, "with_payload": payload, "with_vector": vectors}
    if offset is not None:
        asked["offset"] = offset
    if where is not None:
        asked["filter"] = orjson.Fragment(where)
    return orjson.dumps(asked)


def points_of(told: Any) -> list[Point]:
    """The points of a list. Raises `UnexpectedReply`."""
    if not isinstance(told, list):
        raise UnexpectedReply("no list of points")
    return [Point(each) for each in told]


def page_of(told: Any) -> tuple[list[Point], str | int | None]:
    """A page, and the cursor of the next one. Raises `UnexpectedReply`."""
    if not isinstance(told, dict):
        raise UnexpectedReply("no page")
    cursor = told.get("next_page_offset")
    if not (cursor is None or isinstance(cursor, int | str)):
        raise UnexpectedReply("a page whose next one cannot be asked for")
    return points_of(told.get("points")), cursor


def answers_of(told: Any, questions: int) -> list[list[Point]]:
    """What each question found, of a batch. Raises `UnexpectedReply`."""
    if not isinstance(told, list) or len(told) != questions:
        raise UnexpectedReply(f"not the answers to {questions} questions")
    return [answer_of(each) for each in told]


def answer_of(told: Any) -> list[Point]:
    """What one question found. Raises `UnexpectedReply`."""
    if not isinstance(told, dict):
        raise UnexpectedReply("no answer")
    return points_of(told.get("points"))

"""Bodies in, replies out: parsed with, and built from, the client's own models."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.responses import Response

from nestvec_qdrant.testing.rules import check_rules

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN_PROBLEMS = 3


class RefusedError(Exception):
    """A request that is answered with an error. Never leaves the emulator except as HTTP."""

    def __init__(self, status: int, error: str) -> None:
        self.status = status
        self.error = error
        super().__init__(f"{status}: {error}")

    @classmethod
    def bad_input(cls, description: str) -> RefusedError:
        """400, the value cannot be used."""
        return cls(400, f"Wrong input: {description}")

    @classmethod
    def not_found(cls, description: str) -> RefusedError:
        """404."""
        return cls(404, f"Not found: {description}")

    @classmethod
    def no_collection(cls, name: str) -> RefusedError:
        """404, the collection is missing."""
        return cls.not_found(f"Collection `{name}` doesn't exist!")

    @classmethod
    def collection_exists(cls, name: str) -> RefusedError:
        """409, the name is taken by a collection."""
        return cls(409, f"Wrong input: Collection `{name}` already exists!")


@cache
def _adapter(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)


def parse_body(model: Any, raw: bytes) -> Any:
    """Read a JSON body as `model`, strictly: no unknown keys, no coercion, only valid ids and ranges.

    Raises `RefusedError` (400 for the form, 422 for a value out of range).
    """
    try:
        body = _adapter(model).validate_json(raw or b"null", strict=True)
    except ValidationError as error:
        raise RefusedError(400, f"Format error in JSON body: {_problems(error)}") from error
    for violation in check_rules(body):
        raise RefusedError(violation.status, violation.error)
    return body


def _problems(error: ValidationError) -> str:
    """The first problems, without the values that caused them (vectors are long)."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    shown = [
        f"{'.'.join(str(part) for part in problem['loc']) or 'body'}: {problem['msg']}"
        for problem in found[:_SHOWN_PROBLEMS]
    ]
    more = len(found) - len(shown)
    return "; ".join([*shown, *([f"and {more} more"] if more else [])])


def success(reply: type[BaseModel], result: Any, seconds: float) -> Response:
    """200 in the client's own response model, so that a reply it could not read cannot be built."""
    content = reply.model_validate({"result": result, "status": "ok", "time": seconds})
    return _json(content.model_dump_json(by_alias=True), 200)


def plain_model(model: BaseModel) -> Response:
    """200 with a bare model: the version page has no envelope."""
    return _json(model.model_dump_json(), 200)


def failure(status: int, error: str, headers: Mapping[str, str] | None = None) -> Response:
    """Qdrant's error shape."""
    content = TypeAdapter(dict[str, Any]).dump_json({"status": {"error": error}, "time": 0.0})
    return Response(content, status, headers, media_type="application/json")


def _json(content: str, status: int) -> Response:
    return Response(content, status, media_type="application/json")


_UNNAMED = re.compile(r" for vector ''$")
_UNKNOWN_VECTOR = re.compile(r"(?:\w+ )?[Vv]ector (\S+) is not found in the collection")
_UNKNOWN_POINT = re.compile(r"Point (\S+) is not found")


def translate(error: Exception) -> RefusedError:
    """An exception of the local engine as the server's answer."""
    if isinstance(error, KeyError):
        return RefusedError.not_found(f"No point with id {error.args[0]} found")
    if isinstance(error, NotImplementedError):
        return RefusedError(501, f"The emulator cannot do this; use a server for it: {error}")
    message = str(error)
    if found := _UNKNOWN_VECTOR.search(message):
        return RefusedError.bad_input(f"Not existing vector name error: {found[1]}")
    if found := _UNKNOWN_POINT.search(message):
        return RefusedError.not_found(f"No point with id {found[1]} found")
    if message == "Empty update request":
        return RefusedError(400, f"Bad request: {message}")
    return RefusedError.bad_input(_UNNAMED.sub("", message.removeprefix("Wrong input: ")))

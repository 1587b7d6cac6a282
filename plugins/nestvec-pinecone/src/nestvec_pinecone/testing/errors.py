"""How Pinecone says no."""

from __future__ import annotations

from typing import Any, Final

_RPC: Final = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 413: 11, 429: 8, 500: 13, 503: 14}
_NAMES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    422: "UNPROCESSABLE_ENTITY",
    429: "RESOURCE_EXHAUSTED",
}


class PineconeRefusal(Exception):
    """A request that is answered with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def error_body(status: int, message: str, *, control: bool) -> dict[str, Any]:
    """The planes have different shapes of errors."""
    if control:
        return {"status": status, "error": {"code": _NAMES.get(status, "UNKNOWN"), "message": message}}
    return {"code": _RPC.get(status, 2), "message": message, "details": []}


def require(condition: object, message: str, status: int = 400) -> None:
    """Refuse the request unless the condition holds."""
    if not condition:
        raise PineconeRefusal(status, message)

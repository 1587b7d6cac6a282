"""How the Jina API says no."""

from __future__ import annotations

import secrets
from typing import Any, Final

#: The code that stands for a status where no reason of its own is known.
_CODES: Final = {
    401: "AUTH_INVALID_API_KEY",
    403: "AUTHZ_INSUFFICIENT_BALANCE",
    409: "CONFLICT_RESOURCE_BUSY",
    429: "RATE_REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "SERVICE_UNAVAILABLE",
    504: "SERVICE_TIMEOUT",
}


class JinaRefusal(Exception):
    """A request that is answered with an error status. `wait` (seconds) becomes Retry-After."""

    def __init__(self, status: int, detail: str, code: str | None = None, *, wait: float | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.code, self.wait = status, detail, code, wait

    def body(self) -> dict[str, Any]:
        """As the API describes it."""
        return error_body(self.status, self.detail, self.code)


class Invalid(JinaRefusal):
    """A request that does not fit the model's form: 422, naming the field (`input.3.text`) and what stood there."""

    def __init__(self, field: str, message: str, kind: str, given: Any = None) -> None:
        super().__init__(422, f"Validation error: {field}: {message}")
        self.error = {"field": field, "message": message, "type": kind, "input": given}

    def body(self) -> dict[str, Any]:
        """As the API describes it."""
        return {"detail": self.detail, "errors": [self.error]}


def error_body(status: int, detail: str, code: str | None = None) -> dict[str, Any]:
    """Every error but a 422 looks the same; a 422 without a known field names none."""
    if status == 422:
        return {"detail": detail, "errors": []}
    known = {"code": code} if code else {}
    return {"detail": detail, **known, "request_id": secrets.token_hex(8)}


def fault_body(status: int, message: str) -> dict[str, Any]:
    """An error that a fault wants, with the usual code of its status, or the one that the message is."""
    spelt = message.isupper() and message.replace("_", "").isalpha()
    return error_body(status, message, message if spelt else _CODES.get(status))

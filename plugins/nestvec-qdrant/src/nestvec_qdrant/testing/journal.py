"""Requests as tests of the adapter look at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nestvec_testing.emulators.journal import parsed

if TYPE_CHECKING:
    from nestvec_testing.emulators.journal import Exchange


@dataclass(frozen=True)
class RecordedRequest:
    """One request as it arrived. Of a repeated key in the query string, `query` has the last value."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes

    @classmethod
    def of(cls, exchange: Exchange) -> RecordedRequest:
        """The request of an exchange."""
        return cls(exchange.method, exchange.path, dict(exchange.query), exchange.headers, exchange.raw)

    @property
    def body(self) -> Any:
        """The parsed JSON body, or None."""
        return parsed(self.raw)

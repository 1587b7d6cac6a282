"""The faults of `nestvec_testing.emulators`, under the names that they have here."""

from __future__ import annotations

from dataclasses import dataclass

from nestvec_testing.emulators.faults import Cut as CutFault
from nestvec_testing.emulators.faults import Fault, HttpStatus
from nestvec_testing.emulators.faults import Hold as HoldFault
from nestvec_testing.emulators.faults import Malformed as MalformedFault

__all__ = ["CutFault", "Fault", "HoldFault", "MalformedFault", "StatusFault"]


@dataclass(frozen=True, kw_only=True)
class StatusFault(HttpStatus):
    """Answer with an HTTP status and Qdrant's error shape; `retry_after` (seconds) sets the header."""

    error: str = "Service internal error: injected by a test"

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", self.error)

"""A Qdrant server for tests: real HTTP, no container. Needs `nestvec-qdrant[testing]`."""

from __future__ import annotations

from nestvec_qdrant.testing.emulator import QdrantEmulator
from nestvec_qdrant.testing.faults import CutFault, Fault, HoldFault, MalformedFault, StatusFault
from nestvec_qdrant.testing.journal import RecordedRequest

__all__ = [
    "CutFault",
    "Fault",
    "HoldFault",
    "MalformedFault",
    "QdrantEmulator",
    "RecordedRequest",
    "StatusFault",
]

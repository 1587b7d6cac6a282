"""A Pinecone for tests, in a thread of the test process.

    with PineconeEmulator() as emulator:
        client = pinecone.Pinecone(api_key=emulator.api_key, host=emulator.url)

Control and data plane over real HTTP, so that the SDK's own clients, timeouts and errors are tested, too. The
data plane follows the public schema of API version 2026-04. The control plane speaks the form that the SDK
sends, 2026-07 (`schema` and `deployment` where 2026-04 has `dimension`, `metric` and `spec`). Search is exact.

Each index has its own host, as with Pinecone: here a path below one address.

Not emulated: gRPC, sparse vectors, integrated embedding, the documents API, imports, backups, pods.
"""

from __future__ import annotations

from nestvec_pinecone.testing.emulator import PineconeEmulator
from nestvec_pinecone.testing.journal import PineconeExchange
from nestvec_pinecone.testing.settings import Lag, PineconeSettings
from nestvec_testing.emulators.faults import Cut, CutShort, Delay, Fault, Hold, HttpStatus, Malformed, Meet
from nestvec_testing.emulators.plan import Storm

__all__ = [
    "Cut",
    "CutShort",
    "Delay",
    "Fault",
    "Hold",
    "HttpStatus",
    "Lag",
    "Malformed",
    "Meet",
    "PineconeEmulator",
    "PineconeExchange",
    "PineconeSettings",
    "Storm",
]

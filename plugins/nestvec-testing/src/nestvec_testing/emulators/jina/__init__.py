"""A Jina embeddings API for tests, in a thread of the test process.

    with JinaEmulator() as emulator:
        httpx.post(f"{emulator.base_url}/embeddings", headers={"Authorization": f"Bearer {emulator.api_key}"}, json=…)

Real HTTP, so that clients, timeouts and errors are tested, too. Follows the public description of the API of 2026-04:
what each model declares, the forms of replies and errors, quotas. Tokens and vectors are stand-ins that can be computed
by hand: see `count_tokens`, `plain_vectors` and `late_vectors`; or vectors come from an installed embedder.

Not emulated: images, multi-vectors, several embedding types at once, the other operations.
"""

from __future__ import annotations

from nestvec_testing.emulators.faults import Cut, CutShort, Delay, Fault, Hold, HttpStatus, Malformed, Meet
from nestvec_testing.emulators.jina.emulator import JinaEmulator
from nestvec_testing.emulators.jina.faults import (
    Altered,
    DuplicateIndex,
    Html,
    NotFiniteVectors,
    OtherDimensions,
    Reordered,
    WrongCount,
)
from nestvec_testing.emulators.jina.journal import Counters, JinaExchange
from nestvec_testing.emulators.jina.settings import KEY, JinaSettings
from nestvec_testing.emulators.jina.tokens import count_tokens
from nestvec_testing.emulators.jina.vectors import late_vectors, plain_vectors
from nestvec_testing.emulators.plan import Storm

__all__ = [
    "KEY",
    "Altered",
    "Counters",
    "Cut",
    "CutShort",
    "Delay",
    "DuplicateIndex",
    "Fault",
    "Hold",
    "Html",
    "HttpStatus",
    "JinaEmulator",
    "JinaExchange",
    "JinaSettings",
    "Malformed",
    "Meet",
    "NotFiniteVectors",
    "OtherDimensions",
    "Reordered",
    "Storm",
    "WrongCount",
    "count_tokens",
    "late_vectors",
    "plain_vectors",
]

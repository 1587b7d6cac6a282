"""What went over the wire, with the index that it went to."""

from __future__ import annotations

from dataclasses import dataclass

from nestvec_testing.emulators import journal


@dataclass(frozen=True, kw_only=True)
class PineconeExchange(journal.Exchange):
    """One request and its answer. `path` is the one below the index's host; `index` is None on the control plane."""

    index: str | None = None

"""What can be dialled: keys, delays, and where the public documentation leaves two answers open."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

#: The ways to read, which see a write at different times.
Surface: TypeAlias = Literal["fetch", "query", "stats"]


@dataclass(frozen=True)
class Lag:
    """When a write becomes visible on a surface: after so many reads that miss it, and so many seconds."""

    reads: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class PineconeSettings:
    """How this Pinecone behaves. The key is kept out of repr."""

    api_key: str = field(default="pc-test-key", repr=False)
    #: Reading by id; searching, filtering, listing ids; index statistics and the list of namespaces.
    fetch: Lag = Lag()
    query: Lag = Lag()
    stats: Lag = Lag()
    #: Descriptions of a new index that say Initializing, and of a deleted one that say Terminating.
    creating: int = 0
    deleting: int = 0
    #: How whole numbers in metadata come back: all numbers are doubles inside.
    whole_numbers: Literal["float", "int"] = "float"
    #: Whether `$ne` and `$nin` find records without the field. Pinecone has had it both ways.
    negation_finds_missing: bool = False
    #: Whether replies carry log sequence numbers.
    lsn: bool = True
    #: Whether there is anything later than API version 2025-01: fetching by metadata, dry runs, namespaces.
    recent: bool = True

    def lag(self, surface: Surface) -> Lag:
        """The surface's own."""
        return {"fetch": self.fetch, "query": self.query, "stats": self.stats}[surface]

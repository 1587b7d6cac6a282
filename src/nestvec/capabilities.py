"""What a backend or a model can do, as data.

Declared capabilities need no SDK: they serve planning and documentation. Effective ones are asked of the
server after connecting (`Adapter.capabilities()`), and may differ. The core asks before it acts; what is
missing raises `nestvec.errors.Unsupported`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from nestvec.names import NameRules
from nestvec.types import Metric, Purpose


class Power(StrEnum):
    """What a database may have of its own, beside what every backend has; see `nestvec.contract.powers`."""

    ALIASES = "aliases"
    NOTES = "notes"
    UPDATES = "updates"
    TENANCY = "tenancy"
    ADOPTION = "adoption"
    STORAGE = "storage"
    FUNNELS = "funnels"
    SETTLING = "settling"


class Freshness(StrEnum):
    """When searches find what was written, as surely as anything that is there for long."""

    #: When the write is done.
    AT_ONCE = "at once"
    #: When the collection has settled (`nestvec.contract.Settling`), which an ingestion waits for by itself.
    WHEN_SETTLED = "when settled"
    #: Some time later: nobody can tell when, and nothing hastens it.
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class BackendCapabilities:
    """What a backend can do.

    Limits are inclusive; None means that no limit is known. Sizes are bytes.
    """

    #: What the database has of its own. For the rest the core has defaults, or refuses.
    powers: frozenset[Power] = frozenset()
    #: Runs inside this process; one process at a time holds its store.
    embedded: bool = False
    #: Finding records by a filter reads all of them, over the network. Several processes had better not write then.
    scans: bool = False
    metrics: frozenset[Metric] = frozenset(Metric)
    max_dimensions: int | None = None
    names: NameRules = field(default_factory=NameRules)
    #: Search is exhaustive: results equal exact search up to rounding.
    exact: bool = False
    #: When searches find what was written. Reading by id, counting and scrolling see it at once everywhere.
    fresh: Freshness = Freshness.AT_ONCE
    #: A fetched vector equals the written one bit for bit.
    stores_exact: bool = False
    #: How many vectors a record may have, under different names.
    max_vectors: int | None = 1
    #: Vector storage kinds (`nestvec.types.Storage`): float32, float16, int8, binary.
    storage: frozenset[str] = frozenset({"float32"})
    #: Which kinds turn into which in place, as (from, to); every other change needs the collection to be built anew.
    storage_updates: frozenset[tuple[str, str]] = frozenset()
    #: How filters can look at strings (`nestvec.filters.TextOp`).
    text_filters: frozenset[str] = frozenset()
    max_write_records: int | None = None
    max_write_bytes: int | None = None
    max_fetch_ids: int | None = None
    max_limit: int | None = None
    max_metadata_bytes: int | None = None
    #: How many batches an ingestion had better have under way: more than one where requests wait for the database's
    #: clock more than they make it work.
    in_flight: int = 1
    #: Why it lacks something, by power or limit: a sentence for people, such as "an embedded store has no
    #: quantisation".
    why_not: Mapping[str, str] = field(default_factory=dict)

    @property
    def adopts(self) -> bool:
        """Whether it reads collections that somebody else made."""
        return Power.ADOPTION in self.powers

    @property
    def funnels(self) -> bool:
        """Whether it searches coarse to fine."""
        return Power.FUNNELS in self.powers


@dataclass(frozen=True, slots=True)
class TaskPair:
    """What texts and questions are embedded for. None: the model knows no tasks.

    Attributes:
        index: The task of stored texts.
        query: The task of questions.

    Example:
        >>> nv.status("docs")[0].tasks
        TaskPair(index='retrieval.passage', query='retrieval.query')
    """

    index: str | None
    query: str | None


@dataclass(frozen=True, slots=True)
class ModelCapabilities:
    """What a model can do, and everything about it that decides whether two vectors may be compared.

    `model` is the canonical name: the same for every host of the same weights. `dimensions` is the full
    length; `min_dimensions` the shortest useful prefix (equal to `dimensions` for a model that is neither
    Matryoshka-trained nor nested by a `rotation`).
    """

    model: str
    dimensions: int
    min_dimensions: int
    purposes: Mapping[Purpose, TaskPair]
    #: Every task the model takes; empty for a model without tasks.
    tasks: tuple[str, ...] = ()
    max_tokens: int | None = None
    late_chunking: bool = False
    normalized: bool = True
    #: Where the model runs, and on which weights: provenance, vouched for by measurement and not part of the space. A
    #: short stable name without secrets, the same for everybody who gets the same vectors in the same way: the API's
    #: name, or the plugin's with revision and number format. Empty: nothing else can stand in for this embedder.
    host: str = ""
    #: Text put before the input, by task.
    prompts: Mapping[str, str] = field(default_factory=dict)
    #: Fingerprint of the nesting rotation that the core applies to full vectors, or None.
    rotation: str | None = None
    #: Chunks that make a good request, and requests that may be in flight.
    batch: int = 256
    concurrency: int = 1
    #: The quota of whoever pays for the embedder, where there is one.
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    @property
    def matryoshka(self) -> bool:
        """Whether a prefix of the vector is itself a usable vector."""
        return self.min_dimensions < self.dimensions

"""Requests about records: writing, reading, searching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from nestvec.types import Metric, Record

if TYPE_CHECKING:
    from nestvec.filters import Filter
    from nestvec.types import FloatArray

    Vectors: TypeAlias = Mapping[str, FloatArray]


#: What that is called where a record grows too large.
GIVEN_TOLD: Final = "the metadata as they were given, kept as JSON because flat fields do not hold them (nested values)"


@dataclass(frozen=True, slots=True)
class Write:
    """Insert or replace records by id, durably. Answered with None.

    `vectors[name]` has one row for each record. The order of records is the order of becoming durable: an
    adapter that splits the request writes the parts in order. `generation` is the one that the writer
    resolved; nobody sends or repeats the request after `until`, when the writer's lease ends.
    """

    method: ClassVar[str] = "write"
    physical: str
    records: Sequence[Record]
    vectors: Vectors
    generation: int = 1
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete records by id, in order. Answered with None; ids that are not there are no error.

    `generation` and `until` as for `Write`.
    """

    method: ClassVar[str] = "remove"
    physical: str
    ids: Sequence[str]
    generation: int = 1
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Fetch:
    """Read records by id. Answered with `Batch`; missing ids are absent from it, in no promised order.

    Without `content` the adapter may leave text and metadata out: only ids and system fields are needed.
    """

    method: ClassVar[str] = "fetch"
    physical: str
    ids: Sequence[str]
    vectors: bool = False
    content: bool = True


@dataclass(frozen=True, slots=True)
class Scroll:
    """Read all records that match, page by page. Answered with `Batch`, whose `cursor` asks for the next page."""

    method: ClassVar[str] = "scroll"
    physical: str
    where: Filter | None = None
    limit: int = 256
    cursor: str | int | None = None
    vectors: bool = False
    content: bool = True


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records, and their vectors where they were asked for: float32, one row each, C-contiguous."""

    records: Sequence[Record]
    vectors: Vectors | None = None
    cursor: str | int | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """Answered with the exact number of records that match."""

    method: ClassVar[str] = "count"
    physical: str
    where: Filter | None = None


@dataclass(frozen=True, slots=True)
class Settle:
    """Let every search find what was written to a physical collection. Answered with None when that is so.

    After about `timeout` seconds of waiting (0: begin, and wait for nothing) the answer is a sentence about what
    searches may still miss. Where not `everything`, an ingestion of this client has ended, be it of one record: what
    this adapter wrote is meant, and where nothing needs to be done for it, finding that out must cost next to nothing.
    """

    method: ClassVar[str] = "settle"
    physical: str
    timeout: float
    everything: bool = True


@dataclass(frozen=True, slots=True)
class ListTenants:
    """Answered with the names of all tenants that have records, each once, in no promised order.

    A collection that was created without tenants has none. Where reading lags behind writing, a tenant that just
    lost its last record may still be named; one that has records is never left out.
    """

    method: ClassVar[str] = "list_tenants"
    physical: str


@dataclass(frozen=True, slots=True)
class Query:
    """Search with each row of `vectors[DENSE]`, shape (questions, dimensions).

    Answered with one list of `Found` for each question, best first: those after the first `offset`, at most `limit`,
    none with a score below `threshold`. Scores are higher-is-better (see `Metric`).
    """

    method: ClassVar[str] = "query"
    physical: str
    vectors: Vectors
    metric: Metric
    limit: int
    offset: int = 0
    threshold: float | None = None
    where: Filter | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a search from coarse to fine: the best `limit` candidates by the vector of this name."""

    vector: str
    limit: int


@dataclass(frozen=True, slots=True)
class QueryStaged(Query):
    """The same in steps, for backends with `Funnels` (`stages`) or `VectorStorage` (`rescore`).

    The first stage's vector chooses candidates of all records that match, each following stage some of those before,
    and `DENSE` gives the final order, the scores, and what `threshold`, `limit` and `offset` count. All names are in
    `vectors`; no stage's limit is below `limit + offset`, nor above that of the stage before it.

    On a collection with quantised storage, `rescore` is how many candidates of the quantised index are compared once
    more by the vectors as stored, whose scores are answered: never fewer than `limit + offset`. With stages it is None:
    the first stage may choose by quantised vectors, and the next ones compare stored vectors anyway.
    """

    method: ClassVar[str] = "query_staged"
    stages: tuple[Stage, ...] = ()
    rescore: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A record found by a search."""

    record: Record
    score: float

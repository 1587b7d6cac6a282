"""The contract between the core and its plugins.

The core decides and yields *requests*; an `Embedder` answers `Encode`, an `Adapter` answers the others.
Each request names the method that answers it, so a driver is a few lines and an adapter is one method for
each request. Adapters see vectors, never texts to embed and never tasks.

All vectors are `numpy.float32` arrays, one row for each record or query.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from nestvec.types import Field, FieldType, Metric, Record, Span, Usage

if TYPE_CHECKING:
    from nestvec.capabilities import BackendCapabilities, ModelCapabilities
    from nestvec.errors import NestvecError
    from nestvec.filters import Filter
    from nestvec.options import Options
    from nestvec.types import FloatArray

    Vectors: TypeAlias = Mapping[str, FloatArray]

#: nestvec's own filterable bookkeeping fields; adapters index them like declared ones.
SYSTEM_FIELDS: Mapping[str, Field] = {
    "document_id": Field(FieldType.KEYWORD),
    "chunk": Field(FieldType.INTEGER),
    "layout": Field(FieldType.KEYWORD),
}

# ---------------------------------------------------------------- embedding


@dataclass(frozen=True, slots=True)
class Group:
    """The chunks of one document (or one question). `key` names it in failures; spans index `text`."""

    key: str
    text: str
    spans: tuple[Span, ...]

    def texts(self) -> list[str]:
        """The chunks' texts, in order."""
        return [self.text[start:end] for start, end in self.spans]


@dataclass(frozen=True, slots=True)
class Encode:
    """Embed every span of every group for one task.

    Answered with `Encoded`. `dimensions` is the length of the vectors wanted. Under `late`, the spans of a
    group are embedded in the context of their whole text, and no two groups ever share a context.
    """

    method: ClassVar[str] = "encode"
    groups: tuple[Group, ...]
    task: str | None
    dimensions: int
    late: bool = False


@dataclass(frozen=True, slots=True)
class EncodeFailure:
    """One group that could not be embedded, and why. `span` is the guilty span's number where known."""

    group: int
    error: NestvecError
    span: int | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """The answer to `Encode`.

    `vectors[i]` has shape (spans of group i, dimensions), float32 — or is None where `failures` names
    group i. An embedder returns a whole group or fails it; it never drops a span.
    """

    vectors: tuple[FloatArray | None, ...]
    failures: tuple[EncodeFailure, ...] = ()
    usage: Usage = field(default_factory=Usage)


class Embedder(ABC):
    """Turns texts into vectors. Instances must be safe to call from several threads."""

    @abstractmethod
    def encode(self, request: Encode) -> Encoded:
        """Embed. Raises `EmbedderError` when no group can be served; failures of single groups go in the reply."""

    def rotation(self) -> FloatArray | None:
        """The nesting rotation whose fingerprint the capabilities name: shape (full, full), or None."""
        return None

    def count_tokens(self) -> Callable[[str], int] | None:
        """A counter of this model's tokens, or None where the embedder has no tokenizer at hand."""
        return None

    def close(self) -> None:  # noqa: B027 - nothing to close is a fine default
        """Release resources. Safe to call twice."""


class AsyncEmbedder(ABC):
    """The asynchronous form of `Embedder`; same contract."""

    @abstractmethod
    async def encode(self, request: Encode) -> Encoded:
        """See `Embedder.encode`."""

    def rotation(self) -> FloatArray | None:
        """See `Embedder.rotation`."""
        return None

    def count_tokens(self) -> Callable[[str], int] | None:
        """See `Embedder.count_tokens`."""
        return None

    async def close(self) -> None:  # noqa: B027
        """Release resources. Safe to call twice."""


# ---------------------------------------------------------------- collections as a whole


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A physical collection as the backend describes it.

    `record` is what nestvec stored on it, or None for a foreign collection. `fields` are the indexed
    metadata fields, or None where the engine can not tell (whether a field holds lists need not be known).
    """

    physical: str
    vectors: Mapping[str, int]
    metric: Metric
    record: Mapping[str, Any] | None
    fields: Mapping[str, Field] | None = None


@dataclass(frozen=True, slots=True)
class Resolve:
    """Answered with the physical name that the pointer `name` leads to, or None."""

    method: ClassVar[str] = "resolve"
    name: str


@dataclass(frozen=True, slots=True)
class Describe:
    """Answered with `CollectionInfo`, or None where no such physical collection exists."""

    method: ClassVar[str] = "describe"
    physical: str


@dataclass(frozen=True, slots=True)
class ListCollections:
    """Answered with the names of all physical collections."""

    method: ClassVar[str] = "list_collections"


@dataclass(frozen=True, slots=True)
class Create:
    """Create a physical collection, its indexes and its record. Answered with None.

    `vectors` maps vector names to dimensions. Repeating the same request after an interruption completes it.
    """

    method: ClassVar[str] = "create"
    physical: str
    vectors: Mapping[str, int]
    metric: Metric
    fields: Mapping[str, Field]
    record: Mapping[str, Any]
    tenants: bool = False
    options: Options | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """Replace the record and add indexes for `fields`. Never touches vectors. Answered with None."""

    method: ClassVar[str] = "update"
    physical: str
    fields: Mapping[str, Field]
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Point:
    """Let the pointer `name` lead to `physical`, atomically for readers. Answered with None."""

    method: ClassVar[str] = "point"
    name: str
    physical: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Delete a physical collection. Answered with None; dropping what is not there is no error."""

    method: ClassVar[str] = "drop"
    physical: str


# ---------------------------------------------------------------- records


@dataclass(frozen=True, slots=True)
class Write:
    """Insert or replace records by id, durably. Answered with None.

    `vectors[name]` has one row for each record. The order of records is the order of becoming durable: an
    adapter that splits the request writes the parts in order. `generation` is the one that the writer
    resolved; the driver does not repeat the request after `until`, when the writer's lease ends.
    """

    method: ClassVar[str] = "write"
    physical: str
    records: Sequence[Record]
    vectors: Vectors
    generation: int = 1
    tenant: str | None = None
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
    tenant: str | None = None
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
    tenant: str | None = None


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
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records, and their vectors (one row each) where they were asked for."""

    records: Sequence[Record]
    vectors: Vectors | None = None
    cursor: str | int | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """Answered with the exact number of records that match."""

    method: ClassVar[str] = "count"
    physical: str
    where: Filter | None = None
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """Search with each row of `vectors[name]`, shape (questions, dimensions).

    Answered with one list of `Found` for each question, best first: those after the first `offset`, at
    most `limit`, none with a score below `threshold`. Scores are higher-is-better (see `Metric`).
    """

    method: ClassVar[str] = "query"
    physical: str
    vectors: Vectors
    metric: Metric
    limit: int
    offset: int = 0
    threshold: float | None = None
    where: Filter | None = None
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A record found by a search."""

    record: Record
    score: float


BackendRequest: TypeAlias = (
    Resolve
    | Describe
    | ListCollections
    | Create
    | Update
    | Point
    | Drop
    | Write
    | Remove
    | Fetch
    | Scroll
    | Count
    | Query
)


class Adapter(ABC):
    """Speaks to one backend. Instances must be safe to call from several threads.

    Filters arrive resolved: every leaf carries its field's type. Reserved records never show up in any
    answer. Vendor exceptions are mapped onto `nestvec.errors.BackendError` and chained. An adapter does
    not retry; the drivers do.
    """

    @abstractmethod
    def capabilities(self) -> BackendCapabilities:
        """What the connected backend really can do (declared capabilities refined by asking it)."""

    @abstractmethod
    def resolve(self, request: Resolve) -> str | None: ...
    @abstractmethod
    def describe(self, request: Describe) -> CollectionInfo | None: ...
    @abstractmethod
    def list_collections(self, request: ListCollections) -> list[str]: ...
    @abstractmethod
    def create(self, request: Create) -> None: ...
    @abstractmethod
    def update(self, request: Update) -> None: ...
    @abstractmethod
    def point(self, request: Point) -> None: ...
    @abstractmethod
    def drop(self, request: Drop) -> None: ...
    @abstractmethod
    def write(self, request: Write) -> None: ...
    @abstractmethod
    def remove(self, request: Remove) -> None: ...
    @abstractmethod
    def fetch(self, request: Fetch) -> Batch: ...
    @abstractmethod
    def scroll(self, request: Scroll) -> Batch: ...
    @abstractmethod
    def count(self, request: Count) -> int: ...
    @abstractmethod
    def query(self, request: Query) -> list[list[Found]]: ...

    def close(self) -> None:  # noqa: B027
        """Release connections and locks. Safe to call twice."""


class AsyncAdapter(ABC):
    """The asynchronous form of `Adapter`, for backends with a native asynchronous client; same contract."""

    @abstractmethod
    async def capabilities(self) -> BackendCapabilities: ...
    @abstractmethod
    async def resolve(self, request: Resolve) -> str | None: ...
    @abstractmethod
    async def describe(self, request: Describe) -> CollectionInfo | None: ...
    @abstractmethod
    async def list_collections(self, request: ListCollections) -> list[str]: ...
    @abstractmethod
    async def create(self, request: Create) -> None: ...
    @abstractmethod
    async def update(self, request: Update) -> None: ...
    @abstractmethod
    async def point(self, request: Point) -> None: ...
    @abstractmethod
    async def drop(self, request: Drop) -> None: ...
    @abstractmethod
    async def write(self, request: Write) -> None: ...
    @abstractmethod
    async def remove(self, request: Remove) -> None: ...
    @abstractmethod
    async def fetch(self, request: Fetch) -> Batch: ...
    @abstractmethod
    async def scroll(self, request: Scroll) -> Batch: ...
    @abstractmethod
    async def count(self, request: Count) -> int: ...
    @abstractmethod
    async def query(self, request: Query) -> list[list[Found]]: ...

    async def close(self) -> None:  # noqa: B027
        """Release connections and locks. Safe to call twice."""


# ---------------------------------------------------------------- what a plugin registers


@dataclass(frozen=True, slots=True)
class BackendPlugin:
    """A backend, as its plugin registers it. Building one must not import an SDK.

    `options` validates the `[backends.NAME]` block (without `use`), `collection_options` the table of the
    same name inside a `[collections.NAME]` block. `open_async` is None, or returns None for options that have no
    asynchronous form (embedded engines): worker threads then drive the synchronous adapter.
    """

    name: str
    summary: str
    options: type[Options]
    capabilities: Callable[[Any], BackendCapabilities]
    open: Callable[[Any], Adapter]
    open_async: Callable[[Any], AsyncAdapter | None] | None = None
    collection_options: type[Options] | None = None
    #: Options of an embedded store at a path (None: in memory); None for a backend without one.
    embedded: Callable[[Path | None], Mapping[str, Any]] | None = None
    #: Offers itself as the default, to be used without a configuration. One installed plugin may.
    default: bool = False
    #: A TOML block that `nestvec init` offers, commented out: another way to use this plugin.
    example: str = ""


@dataclass(frozen=True, slots=True)
class EmbedderPlugin:
    """An embedder, as its plugin registers it. Building one must not import an SDK.

    `capabilities(options)` needs no secret, file or network: `plan` calls it.
    """

    name: str
    summary: str
    options: type[Options]
    capabilities: Callable[[Any], ModelCapabilities]
    open: Callable[[Any], Embedder]
    open_async: Callable[[Any], AsyncEmbedder | None] | None = None
    #: Options under which this embedder needs no key, server or download; None if it always needs one.
    embedded: Mapping[str, Any] | None = None
    #: Offers itself as the default, to be used without a configuration. One installed plugin may.
    default: bool = False
    #: A TOML block that `nestvec init` offers, commented out: another way to use this plugin.
    example: str = ""


# ---------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, for metrics and audit. `name` is stable; `data` holds plain values, no secrets.

    Names: `document_written`, `document_failed`, `document_deleted`, `search_done`, `request_retried`,
    `pointer_moved`, `collection_created`, `collection_updated`, `collection_copied`.
    """

    name: str
    collection: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

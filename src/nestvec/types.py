"""The nouns of nestvec: documents, records, hits and reports.

Everything here is a plain frozen value. No value holds a connection, so all of them may be shared freely
between threads and processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float32]

Scalar: TypeAlias = str | int | float | bool | datetime
#: Any JSON value, and datetimes: mappings of strings to such, sequences of them, null.
MetadataValue: TypeAlias = Any
Metadata: TypeAlias = Mapping[str, MetadataValue]

#: The name of the one dense vector that every collection has.
DENSE = "dense"
#: The name under which a record's metadata hold, as JSON text, all that was given, where flat values are not all of it.
GIVEN: Final = "nestvec:given"


def prefix_name(dimensions: int) -> str:
    """The name of the vector that holds a record's first `dimensions` dimensions, for searching coarse to fine."""
    return f"{DENSE}_{dimensions}"


class FieldType(StrEnum):
    """What a declared metadata field holds."""

    KEYWORD = "keyword"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DATETIME = "datetime"


@dataclass(frozen=True, slots=True)
class Field:
    """A declared metadata field. `many` marks a list of values, written `"keyword[]"` in a config file."""

    type: FieldType
    many: bool = False

    @classmethod
    def parse(cls, text: str) -> Field:
        """Read `"keyword"` or `"integer[]"`. Raises `ValueError` for anything else."""
        name, many = (text[:-2], True) if text.endswith("[]") else (text, False)
        return cls(FieldType(name), many)

    def __str__(self) -> str:
        return f"{self.type}[]" if self.many else str(self.type)


class Metric(StrEnum):
    """How two vectors are compared. Scores are higher-is-better for each of them.

    Attributes:
        COSINE: The cosine of their angle, as it is.
        DOT: Their dot product, as it is.
        EUCLIDEAN: Minus their distance, not squared.
    """

    COSINE = "cosine"
    DOT = "dot"
    EUCLIDEAN = "euclidean"


class Storage(StrEnum):
    """How a database keeps vectors.

    `float32` and `float16` are the numbers that are stored, and compared. `int8` and `binary` quantise what a search
    runs through; the vectors themselves stay float32, and give the final order and scores of the best candidates.
    """

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"
    BINARY = "binary"

    @property
    def quantised(self) -> bool:
        """Whether a search finds candidates by approximations, and rescores them."""
        return self in (Storage.INT8, Storage.BINARY)

    @property
    def oversampling(self) -> float:
        """How many candidates a search takes for each result, where the configuration does not say."""
        return {Storage.INT8: 2.0, Storage.BINARY: 4.0}.get(self, 1.0)


class Purpose(StrEnum):
    """What a collection is for; with the model's task table it fixes the pair (index task, query task)."""

    RETRIEVAL = "retrieval"
    MATCHING = "matching"
    CLUSTERING = "clustering"
    CLASSIFICATION = "classification"


Span: TypeAlias = tuple[int, int]
"""Half-open character range in a document's text."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a document that arrives split. Checked on ingestion, with its document.

    Attributes:
        text: What is embedded, and found. It may be blank where there is a vector.
        vector: Its vector, array-like; kept as float32. None: the collection's embedder makes it.
        span: Where it is in its document's text; None for all of a document's chunks: it is looked for there.

    Example:
        >>> nestvec.Chunk("Travel expenses are paid back.", [1, 0, 0]).vector.dtype
        dtype('float32')
    """

    text: str
    vector: FloatArray | None = field(default=None, compare=False, repr=False)
    span: Span | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "vector", _as_vector(self.vector))


@dataclass(frozen=True, slots=True)
class Document:
    """A text with an id and metadata: what people put in. Checked on ingestion, one by one.

    Attributes:
        id: Any non-empty string; an integer becomes its decimal string.
        text: The text, split into chunks when it is stored. With `chunks` it may be left out.
        metadata: Any JSON object, and datetimes: it comes back as it was given.
        vector: The vector of the whole text, array-like, which is then not split; kept as float32.
        chunks: The document's chunks, for one that arrives split; without a text, it is theirs, joined by blank lines.

    Example:
        >>> Document(7, "Travel expenses are paid back.", {"lang": "en"}).id
        '7'
        >>> chunks = [nestvec.Chunk("Travel is paid."), nestvec.Chunk("Meals are not.")]
        >>> Document("trip", chunks=chunks).chunks[1].text
        'Meals are not.'
    """

    id: str
    text: str | None = None
    metadata: Metadata = field(default_factory=dict)
    vector: FloatArray | None = field(default=None, compare=False, repr=False)
    chunks: Sequence[Chunk] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.id, int) and not isinstance(self.id, bool):
            object.__setattr__(self, "id", str(self.id))
        if self.vector is not None:
            object.__setattr__(self, "vector", _as_vector(self.vector))
        if isinstance(self.chunks, list):
            object.__setattr__(self, "chunks", tuple(self.chunks))


def _as_vector(value: Any) -> Any:
    """float32, without a copy where it is that already; what is no array of numbers stays as it is, to be refused."""
    if value is None:
        return None
    import numpy as np

    try:
        array = np.asarray(value)
        with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused
            return array.astype(np.float32, copy=False) if array.dtype.kind in "fiu" else value
    except (TypeError, ValueError, RuntimeError):  # the last: a tensor that is still being trained
        return value


@dataclass(frozen=True, slots=True)
class Record:
    """A chunk as it is stored, without its vectors (those travel beside it as arrays).

    Attributes:
        id: As the database has it.
        document_id: The document that it belongs to.
        text: The chunk's text; None where texts are not stored.
        metadata: The document's.
        system: nestvec's own flat bookkeeping; empty for a record that was joined from a document's chunks.
    """

    id: str
    document_id: str
    text: str | None
    metadata: Metadata
    system: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Hit:
    """One result of a search.

    Attributes:
        id: The record's, as the database has it.
        document_id: The document that the chunk belongs to.
        score: Higher is better: cosine (-1 to 1), dot product, or minus the Euclidean distance.
        text: The chunk's text; None where texts are not stored.
        metadata: The document's.
        span: Where the chunk is in its document: the first character, and the one after the last.
        vector: As it is stored, where asked for (`vectors=True`); None also where the chunk was replaced meanwhile.
        document: The whole document, where documents were asked for; None also where it was deleted meanwhile.
    """

    id: str
    document_id: str
    score: float
    text: str | None
    metadata: Metadata
    span: Span
    vector: FloatArray | None = field(default=None, compare=False, repr=False)
    document: Document | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What an embedder consumed. Counters add up with `+`; an embedder leaves at 0 what it cannot know.

    Attributes:
        tokens: Tokens that were read, as the embedder counts them.
        requests: Requests that were answered.
        retries: Requests that had to be repeated.
        windows: Stretches of text that were embedded in one context, under late chunking.
        cached: Texts whose vectors came from a cache; for them nothing else was consumed.
    """

    tokens: int = 0
    requests: int = 0
    retries: int = 0
    windows: int = 0
    cached: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.tokens + other.tokens,
            self.requests + other.requests,
            self.retries + other.retries,
            self.windows + other.windows,
            self.cached + other.cached,
        )


@dataclass(frozen=True, slots=True)
class FailedDocument:
    """A document that was not stored, and why.

    Attributes:
        document_id: Its id; None where it has none.
        error: The reason, a sentence.
        line, path: Where it was read, if from a file; lines count from 1.
    """

    document_id: str | None
    error: str
    line: int | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class FieldMisfit:
    """Values of a declared field that are of another type: kept as they are, and not found by filters on the field.

    Attributes:
        field: The field's name.
        declared: Its type, as declared.
        documents: In how many documents.
        document_id: The first of them.
        problem: What is wrong with its value, a sentence.
    """

    field: str
    declared: str
    documents: int
    document_id: str
    problem: str


def merged_misfits(misfits: Iterable[FieldMisfit]) -> tuple[FieldMisfit, ...]:
    """Each field once, with all of its documents."""
    found: dict[str, FieldMisfit] = {}
    for each in misfits:
        first = found.get(each.field)
        found[each.field] = each if first is None else replace(first, documents=first.documents + each.documents)
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Report:
    """What an ingestion did. Reports add up with `+`.

    Attributes:
        documents: Documents that are stored now as given.
        embedded, unchanged: Chunks that were embedded, and chunks that kept their vectors.
        deleted: Chunks that were removed because their document changed.
        failed: The documents that are not stored.
        seconds: How long it took.
        usage: What the embedder consumed.
        superseded: Documents that were stored, and were another writer's version before that was done.
        unsettled: What searches may still miss of it, in a sentence (see `Collection.settle`); None: nothing.
        given: Chunks that were stored with vectors that came with them.
        misfits: Declared fields that some documents have a value of another type for, each once.
        skipped: Documents that were left as they are (`on_existing="skip"`), or of which a later or earlier one of the
            same call counted (`duplicates`).
    """

    documents: int = 0
    embedded: int = 0
    unchanged: int = 0
    deleted: int = 0
    failed: tuple[FailedDocument, ...] = ()
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    superseded: int = 0
    unsettled: str | None = None
    given: int = 0
    misfits: tuple[FieldMisfit, ...] = ()
    skipped: int = 0

    @property
    def chunks(self) -> int:
        """Chunks that are stored now for the documents of this report: `embedded + unchanged + given`."""
        return self.embedded + self.unchanged + self.given

    def __add__(self, other: Report) -> Report:
        return Report(
            self.documents + other.documents,
            self.embedded + other.embedded,
            self.unchanged + other.unchanged,
            self.deleted + other.deleted,
            self.failed + other.failed,
            self.seconds + other.seconds,
            self.usage + other.usage,
            self.superseded + other.superseded,
            self.unsettled or other.unsettled,
            self.given + other.given,
            merged_misfits((*self.misfits, *other.misfits)),
            self.skipped + other.skipped,
        )


def merge(reports: Iterable[Report]) -> Report:
    """Add reports up, in time proportional to what is in them."""
    listed = list(reports)
    return Report(
        sum(report.documents for report in listed),
        sum(report.embedded for report in listed),
        sum(report.unchanged for report in listed),
        sum(report.deleted for report in listed),
        tuple(failure for report in listed for failure in report.failed),
        sum(report.seconds for report in listed),
        sum((report.usage for report in listed), Usage()),
        sum(report.superseded for report in listed),
        next((report.unsettled for report in listed if report.unsettled), None),
        sum(report.given for report in listed),
        merged_misfits(misfit for report in listed for misfit in report.misfits),
        sum(report.skipped for report in listed),
    )

"""What a collection should be (`CollectionSpec`), and what nestvec writes onto it (its record)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from nestvec._chunking import Chunking
from nestvec._damaged import DAMAGED
from nestvec._metadata import Projection
from nestvec.errors import SpaceUnknown
from nestvec.spaces import EmbeddingSpace
from nestvec.types import DENSE, Field, Metric, Storage, prefix_name

if TYPE_CHECKING:
    from nestvec.capabilities import ModelCapabilities
    from nestvec.contract import Create, ForeignLayout
    from nestvec.options import Options

RECORD_VERSION = 1
#: In place of an embedder's name: there is none, and all vectors are given.
NO_EMBEDDER = "none"


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """What a collection should be. `backend` and `embedder` are the names of their configuration blocks."""

    name: str
    space: EmbeddingSpace
    model: ModelCapabilities
    backend: str = ""
    embedder: str = ""
    metric: Metric = Metric.COSINE
    fields: Mapping[str, Field] = field(default_factory=dict)
    #: Where the value of a field is in the metadata, unless it is the top-level key of the same name.
    paths: Mapping[str, str] = field(default_factory=dict)
    #: Whether filters may look at what is not declared, too.
    open_fields: bool = False
    #: Whether a value of another type than declared fails its document.
    strict_fields: bool = False
    #: Whether documents without a text are stored.
    keep_empty: bool = False
    chunking: Chunking = field(default_factory=Chunking)
    namespaces: bool = False
    store_text: bool = True
    options: Options | None = None
    #: Set for a collection that somebody else made and that nestvec only reads.
    foreign: ForeignLayout | None = None
    #: Whether adopting it compares some of its vectors with what the model gives for their texts.
    verify: bool = True
    storage: Storage = Storage.FLOAT32
    #: Lengths of the prefixes by which a search chooses its candidates, shortest first.
    funnel: tuple[int, ...] = ()
    #: How many times as many candidates as it needs a search takes, of a quantised index or in each stage.
    oversampling: float = 1.0
    #: What the layout of a freshly ingested document is called.
    layout: str = field(init=False)
    #: What is stored of metadata.
    projection: Projection = field(init=False, repr=False, compare=False)
    #: Whether nothing is embedded for it: vectors come with documents and questions.
    without_embedder: bool = field(init=False)

    def __post_init__(self) -> None:
        given = (self.fields, self.paths, self.open_fields, self.strict_fields, self.foreign is not None)
        object.__setattr__(self, "projection", Projection(*given))
        object.__setattr__(self, "without_embedder", self.embedder == NO_EMBEDDER)
        object.__setattr__(self, "layout", self.chunking.layout(store_text=self.store_text))

    @property
    def vectors(self) -> dict[str, int]:
        """Vector names and their dimensions."""
        return {**{prefix_name(size): size for size in self.funnel}, DENSE: self.space.dimensions}

    def creation(self, physical: str, record: Mapping[str, Any]) -> Create:
        """The request that creates a physical collection for it, with this record."""
        from nestvec.contract import Create, CreateExtended

        known = (physical, self.vectors, self.metric, self.fields, record, self.options)
        if not self.namespaces and self.storage is Storage.FLOAT32:
            return Create(*known)
        return CreateExtended(*known, self.namespaces, self.storage)

    def record(self, generation: int, before: StoredCollection | None = None) -> dict[str, Any]:
        """The plain values that nestvec stores on the physical collection.

        Fields that were declared `before` stay known: their values are still there, in their type.
        """
        adopted = {"foreign": self.foreign.to_dict()} if self.foreign is not None else {}
        # Only where they are not the default: the records of collections without them stay what they are.
        stored = {"storage": self.storage.value} if self.storage is not Storage.FLOAT32 else {}
        funnel = {"funnel": list(self.funnel)} if self.funnel else {}
        known = {} if before is None else before.known_fields
        retired = {name: kind for name, kind in known.items() if name not in self.fields}
        kept = {} if before is None else {name: path for name, path in before.paths.items() if name in retired}
        paths = {"paths": {**kept, **self.paths}} if kept or self.paths else {}
        empty = {"keep_empty": True} if self.keep_empty or (before is not None and before.keep_empty) else {}
        opened = {"open_fields": True} if self.open_fields else {}
        return {
            "nestvec": RECORD_VERSION,
            "name": self.name,
            "generation": generation,
            "space": self.space.to_dict(),
            "metric": self.metric.value,
            "fields": {name: str(kind) for name, kind in self.fields.items()},
            "retired": {name: str(kind) for name, kind in retired.items()},
            "chunking": asdict(self.chunking),
            "namespaces": self.namespaces,
            "store_text": self.store_text,
            **adopted,
            **stored,
            **funnel,
            **paths,
            **opened,
            **empty,
        }


@dataclass(frozen=True, slots=True)
class StoredCollection:
    """What a collection's record says it is."""

    name: str
    generation: int
    space: EmbeddingSpace
    metric: Metric
    fields: Mapping[str, Field]
    retired: Mapping[str, Field]
    chunking: Chunking
    namespaces: bool
    store_text: bool
    foreign: ForeignLayout | None = None
    storage: Storage = Storage.FLOAT32
    funnel: tuple[int, ...] = ()
    paths: Mapping[str, str] = field(default_factory=dict)
    open_fields: bool = False
    #: Whether there may be documents without a text: once it is so, it stays.
    keep_empty: bool = False

    @property
    def known_fields(self) -> dict[str, Field]:
        """Every field that is or was declared, with its type."""
        return {**self.retired, **self.fields}

    @classmethod
    def read(cls, record: Mapping[str, Any] | None, physical: str) -> StoredCollection:
        """Read a record. Raises `SpaceUnknown` where there is none or it cannot be understood."""
        if not record:
            raise SpaceUnknown(
                f"collection {physical!r} was not made by nestvec: it carries no embedding space, so nestvec can "
                f"not vouch for its vectors; choose another collection name, or adopt it (adopt = true)"
            )
        if not isinstance(record, Mapping):
            raise SpaceUnknown(f"the record of collection {physical!r} is damaged: it is a {type(record).__name__}")
        if record.get("nestvec") != RECORD_VERSION:
            raise SpaceUnknown(
                f"collection {physical!r} carries a record of version {record.get('nestvec')!r}; this nestvec "
                f"reads version {RECORD_VERSION}: use the version of nestvec that made it"
            )
        try:
            return cls._parse(record)
        except DAMAGED as error:
            raise SpaceUnknown(f"the record of collection {physical!r} is damaged: {error!r}") from error

    @classmethod
    def _parse(cls, record: Mapping[str, Any]) -> StoredCollection:
        from nestvec.contract import ForeignLayout

        return cls(
            name=record["name"],
            generation=int(record["generation"]),
            space=EmbeddingSpace.from_dict(record["space"]),
            metric=Metric(record["metric"]),
            fields={name: Field.parse(kind) for name, kind in record["fields"].items()},
            retired={name: Field.parse(kind) for name, kind in record["retired"].items()},
            chunking=Chunking(**record["chunking"]),
            namespaces=bool(record["namespaces"]),
            store_text=bool(record["store_text"]),
            foreign=ForeignLayout.from_dict(record["foreign"]) if "foreign" in record else None,
            storage=Storage(record.get("storage", Storage.FLOAT32)),
            funnel=tuple(int(size) for size in record.get("funnel", ())),
            paths={str(name): str(path) for name, path in record.get("paths", {}).items()},
            open_fields=bool(record.get("open_fields", False)),
            keep_empty=bool(record.get("keep_empty", False)),
        )

"""Where a collection's records are, and what a catalogue of collections has to answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Protocol, TypeVar

from nestvec.contract import Adopt, CollectionInfo, Create, ForeignLayout, SetAlias, Update
from nestvec.errors import CollectionConflict, Unsupported
from nestvec.types import DENSE, Metric
from nestvec_pinecone.calls import Operation
from nestvec_pinecone.foreign import namespace_of
from nestvec_pinecone.keys import NOTES, tenant_namespace

T = TypeVar("T")

_METRICS: Final[Mapping[str, Metric]] = {
    "cosine": Metric.COSINE,
    "dotproduct": Metric.DOT,
    "euclidean": Metric.EUCLIDEAN,
}
METRIC_NAMES: Final[Mapping[Metric, str]] = {metric: name for name, metric in _METRICS.items()}


@dataclass(frozen=True, slots=True)
class Place:
    """A collection's index and its namespaces there: those that begin with `prefix`, or just `default`."""

    physical: str
    host: str
    dimension: int
    tenants: bool
    default: str = ""
    prefix: str = ""
    #: The namespace of the index that holds its notes.
    notes: str = NOTES
    #: How to read it, if somebody else made it.
    foreign: ForeignLayout | None = None

    def namespace(self, tenant: str | None) -> str:
        """Where a tenant's records are. Raises `InvalidName`."""
        return self.default if tenant is None else tenant_namespace(tenant, self.prefix)

    def seen(self, foreign: ForeignLayout | None) -> Place:
        """The place itself, or the one namespace that is read of somebody else's index."""
        if foreign is None:
            return self
        return replace(self, tenants=False, default=namespace_of(foreign), prefix="", foreign=foreign)


class Catalog(Protocol):
    """Which collections there are, what they are, and where pointers lead."""

    #: Whether a place stays right until requests to it fail.
    lasting: ClassVar[bool]

    def resolve_alias(self, name: str) -> Operation[str | None]: ...
    def describe(self, physical: str, foreign: ForeignLayout | None = None) -> Operation[CollectionInfo | None]: ...
    def names(self) -> Operation[list[str]]: ...
    def create(self, request: Create) -> Operation[None]: ...
    def update(self, request: Update) -> Operation[None]: ...
    def adopt(self, request: Adopt) -> Operation[None]: ...
    def set_alias(self, request: SetAlias) -> Operation[None]: ...
    def drop_alias(self, name: str) -> Operation[None]: ...
    def drop(self, physical: str) -> Operation[None]: ...
    def locate(self, physical: str, foreign: ForeignLayout | None = None) -> Operation[Place]: ...


def metric_of(name: str, collection: str) -> Metric:
    """nestvec's name of a metric."""
    if name not in _METRICS:
        raise Unsupported(
            f"collection {collection!r} compares vectors by {name!r}; nestvec knows {', '.join(sorted(Metric))}: "
            f"choose another collection name"
        )
    return _METRICS[name]


def one_vector(vectors: Mapping[str, T], collection: str) -> T:
    """What is given for the one vector. Raises `Unsupported` for any other vectors."""
    if set(vectors) != {DENSE}:
        raise Unsupported(
            f"collection {collection!r}: a Pinecone record has one vector, {DENSE!r}, not {', '.join(sorted(vectors))}"
        )
    return vectors[DENSE]


def check_same(request: Create, found: CollectionInfo) -> None:
    """Raise `CollectionConflict` where a collection to complete is not the one that was begun."""
    wanted: tuple[Any, ...] = (dict(request.vectors), request.metric, dict(request.record))
    if (dict(found.vectors), found.metric, found.record) != wanted:
        raise CollectionConflict(
            f"collection {request.physical!r} exists already and is another one: it has vectors {dict(found.vectors)} "
            f"({found.metric}) and {'another' if found.record else 'no'} nestvec record; nothing was changed"
        )

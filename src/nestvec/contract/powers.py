"""Optional powers of a backend: classes to inherit from beside `Adapter`, for what the database has of its own.

An adapter declares its powers twice: by inheriting, and in `BackendCapabilities.powers`, which plans read without
opening anything. One class may serve several forms of a backend; what counts is what is declared for the options.

| power | what it adds | without it |
|---|---|---|
| `Aliases` | names that lead to collections | the core keeps them as records of its own |
| `Notes` | short texts beside a collection | the core keeps them as records of its own |
| `Updates` | changing a collection in place | what differs needs a migration |
| `Tenancy` | tenants kept apart by the database | the core marks records, and filters |
| `Adoption` | reading what others made | `Unsupported` |
| `VectorStorage` | vectors kept small | float32 only |
| `Funnels` | searching coarse to fine | `Unsupported` |
| `Settling` | letting searches find what is fresh | nothing to do, or `Unsupported` where that is uncertain |
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from nestvec.capabilities import Power
from nestvec.contract.adapters import Adapter, Answer
from nestvec.contract.collections import (
    Create,
    CreateExtended,
    Describe,
    Drop,
    DropAlias,
    ListCollections,
    ReadNote,
    ResolveAlias,
    SetAlias,
    Update,
    WriteNote,
)
from nestvec.contract.foreign import Adopt, ForeignLayout
from nestvec.contract.records import Count, Fetch, ListTenants, Query, QueryStaged, Remove, Scroll, Settle, Write

if TYPE_CHECKING:
    from nestvec.contract.records import Found


class Aliases(ABC):
    """Names that lead to physical collections, and switch atomically for readers."""

    power: ClassVar[Power] = Power.ALIASES

    @abstractmethod
    def resolve_alias(self, request: ResolveAlias) -> Answer[str | None]: ...
    @abstractmethod
    def set_alias(self, request: SetAlias) -> Answer[None]: ...
    @abstractmethod
    def drop_alias(self, request: DropAlias) -> Answer[None]: ...


class Notes(ABC):
    """Short texts that belong to a physical collection and go with it."""

    power: ClassVar[Power] = Power.NOTES

    @abstractmethod
    def write_note(self, request: WriteNote) -> Answer[None]: ...
    @abstractmethod
    def read_note(self, request: ReadNote) -> Answer[str | None]: ...


class Updates(ABC):
    """Changing a collection where it is: its record, its indexes, and with `VectorStorage` how it keeps vectors."""

    power: ClassVar[Power] = Power.UPDATES

    @abstractmethod
    def update(self, request: Update) -> Answer[None]: ...


class ExtendedCreation(ABC):
    """What `Tenancy` and `VectorStorage` share: a collection is made ready for them when it is created."""

    @abstractmethod
    def create_extended(self, request: CreateExtended) -> Answer[None]: ...


class StagedSearch(ABC):
    """What `VectorStorage` and `Funnels` share: candidates are chosen by something coarser, then compared once more."""

    @abstractmethod
    def query_staged(self, request: QueryStaged) -> Answer[list[list[Found]]]: ...


class Tenancy(ExtendedCreation):
    """Keeps several tenants apart in one collection that was created for them (`CreateExtended.tenants`)."""

    power: ClassVar[Power] = Power.TENANCY

    @abstractmethod
    def of_tenant(self, tenant: str) -> Adapter:
        """This adapter, seen by one tenant: it writes, reads, counts and removes the tenant's records alone.

        Plain, cheap and without I/O. Without it, requests are about the records of all tenants.
        """

    @abstractmethod
    def list_tenants(self, request: ListTenants) -> Answer[list[str]]: ...


class Adoption(ABC):
    """Reads collections that somebody else made, where they are and as they are."""

    power: ClassVar[Power] = Power.ADOPTION

    @abstractmethod
    def reading(self, layout: ForeignLayout) -> Adapter:
        """This adapter, for reading somebody else's collection: it describes, fetches, scrolls, counts and queries.

        Records are answered as the layout says: native ids as strings, the declared fields as metadata, no `system`;
        the vector that is meant under the name `DENSE`. Filters are on scope "foreign": names are the backend's own.
        `describe` knows that vector alone, and of the declared fields those whose type the engine knows; it raises
        `CollectionConflict` where there is no such vector, or several and none is named. Plain, and without I/O.
        """

    @abstractmethod
    def adopt(self, request: Adopt) -> Answer[None]: ...


class VectorStorage(ExtendedCreation, StagedSearch):
    """Keeps vectors as float16, or searches by quantised ones (`BackendCapabilities.storage`)."""

    power: ClassVar[Power] = Power.STORAGE


class Funnels(StagedSearch):
    """Searches coarse to fine, by several vectors of a record."""

    power: ClassVar[Power] = Power.FUNNELS


class Settling(ABC):
    """Lets searches find what is fresh, where they need the database to index it first (`Freshness.WHEN_SETTLED`)."""

    power: ClassVar[Power] = Power.SETTLING

    @abstractmethod
    def settle(self, request: Settle) -> Answer[str | None]: ...


class FullAdapter(Adapter, Aliases, Notes, Updates, Tenancy, Adoption, VectorStorage, Funnels, Settling):
    """An adapter with every power: what the core completes the others to, with its defaults."""


#: Every class of this module that stands for a power.
POWERS: tuple[type[Any], ...] = (Aliases, Notes, Updates, Tenancy, Adoption, VectorStorage, Funnels, Settling)

BackendRequest: TypeAlias = (
    Describe
    | Create
    | Drop
    | ListCollections
    | Write
    | Remove
    | Fetch
    | Scroll
    | Count
    | Query
    | ResolveAlias
    | SetAlias
    | DropAlias
    | WriteNote
    | ReadNote
    | Update
    | CreateExtended
    | QueryStaged
    | ListTenants
    | Adopt
    | Settle
)

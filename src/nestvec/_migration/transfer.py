"""What all passes of a migration share (`Transfer`), and what each of them found and did (`TransferStatistics`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from nestvec._migration.routes import Transform, Way
from nestvec.types import FailedDocument, FieldMisfit, Usage, merged_misfits

if TYPE_CHECKING:
    from nestvec._chunking import Splitter
    from nestvec._collections.opening import OpenCollection
    from nestvec._specs import CollectionSpec
    from nestvec.contract import Event

Phase: TypeAlias = Literal["documents", "changes", "last changes"]
#: Documents looked at more closely at the end.
SAMPLE = 32


@dataclass(frozen=True, slots=True)
class PassProgress:
    """How far a pass is: records of the documents seen, of so many in the source, and documents brought over in it."""

    phase: Phase
    seen: int
    total: int
    brought: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """From one generation to another: what all passes share. Both collections are pinned."""

    source: OpenCollection
    target: OpenCollection
    way: Way
    transform: Transform
    splitter: Splitter
    #: Texts of documents whose texts are not stored, by document hash.
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    progress: Callable[[PassProgress], object] | None = None
    #: Bring nothing over; only count what differs.
    dry: bool = False
    #: The target was in use before: what it holds in other chunks than it would get now is left as it is.
    used: bool = False

    def of_tenant(self, tenant: str | None) -> Transfer:
        """The same, of one namespace."""
        return replace(self, source=self.source.of_tenant(tenant), target=self.target.of_tenant(tenant))

    @property
    def spec(self) -> CollectionSpec:
        """What is wanted, with every field whose type is known: with those that were declared before, too."""
        before, wanted = self.source.spec, self.target.spec
        retired = {name: path for name, path in before.paths.items() if name not in wanted.fields}
        fields = {**before.fields, **wanted.fields}
        return replace(wanted, fields=fields, paths={**retired, **wanted.paths}, keep_empty=True)


@dataclass(frozen=True, slots=True, order=True)
class SampledDocument:
    """A document of the sample: a hash by which the choice is made, its namespace, its id."""

    digest: str
    tenant: str | None = field(compare=False)
    key: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class TransferStatistics:
    """What a pass found and did, in documents; `chunks` are the target's afterwards."""

    seen: int = 0
    brought: int = 0
    deleted: int = 0
    chunks: int = 0
    #: The latest version of these is not in the target.
    failed: tuple[FailedDocument, ...] = ()
    usage: Usage = field(default_factory=Usage)
    #: Declared fields that some of the documents have a value of another type for.
    misfits: tuple[FieldMisfit, ...] = ()
    sample: tuple[SampledDocument, ...] = ()

    @property
    def changes(self) -> int:
        """How much the target differed."""
        return self.brought + self.deleted

    def __add__(self, other: TransferStatistics) -> TransferStatistics:
        return TransferStatistics(
            self.seen + other.seen,
            self.brought + other.brought,
            self.deleted + other.deleted,
            self.chunks + other.chunks,
            self.failed + other.failed,
            self.usage + other.usage,
            merged_misfits((*self.misfits, *other.misfits)),
            tuple(sorted((*self.sample, *other.sample))[:SAMPLE]),
        )


def quiet(collection: OpenCollection) -> OpenCollection:
    """Without the events of single documents and searches: to listeners, nothing was done to the collection."""
    notify = collection.session.notify

    def tell(event: Event) -> None:
        if not event.name.startswith(("document_", "search_")):
            notify(event)

    return replace(collection, session=collection.session.notifying(tell))

"""What migrating tells: how far it is, what it did, and beforehand what it would cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from nestvec._collections.write_fence import GenerationPlace
from nestvec._migration.routes import Way
from nestvec.types import FailedDocument, FieldMisfit, Usage


class MigrationStage(StrEnum):
    """Where a migration is; in this order.

    Attributes:
        COPYING: Documents are brought over; everybody reads and writes as before.
        CATCHING_UP: What changed meanwhile is brought over.
        VERIFYING: Both generations are compared.
        DRAINING: New writes wait, until those under way have ended.
        SWITCHING: The collection's name is about to lead to the new generation.
        DONE: It does.
    """

    COPYING = "copying"
    CATCHING_UP = "catching up"
    VERIFYING = "verifying"
    DRAINING = "waiting for writers"
    SWITCHING = "switching"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class MigrationProgress:
    """How far a migration is.

    Attributes:
        stage: Where it is.
        done, total: How many of the source's records this stage has done, of how many.
        brought: How many documents were brought over so far.
        note: A sentence for people, where there is more to say: for how long writers wait, for instance.
    """

    stage: MigrationStage
    done: int = 0
    total: int = 0
    brought: int = 0
    note: str = ""


ProgressCallback: TypeAlias = Callable[[MigrationProgress], object]


@dataclass(frozen=True, slots=True)
class Overlap:
    """How far the nearest neighbours before and after agree. Documents are compared, not chunks.

    Another model finds others: a low overlap is no error, but worth a look.

    Attributes:
        questions: How many asked.
        k: How many hits of each were compared.
        mean, least: The share of hits that both have: the mean of all questions, and the least.
        asked: Whether these were real questions; else stored documents asked by their own vectors.
    """

    questions: int
    k: int
    mean: float
    least: float
    asked: bool = False


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What a migration, a shrinking or a rollback did.

    Attributes:
        collection: Its name.
        way: How vectors were had; None where nothing had to be brought over.
        reason: Why no cheaper way would do, or nothing had to be done.
        source, target: The generation that it comes from, and the new one.
        switched: Whether the name leads elsewhere now.
        documents, chunks: What the new generation holds.
        brought: Documents that this run wrote.
        changed, deleted: How many of them changed while it ran, and how many were deleted.
        verified: How many were compared.
        overlap: How far the nearest neighbours before and after agree; None where that was not asked.
        writers_waited: For how many seconds writers were held up, at most.
        seconds: How long it took.
        usage: What the embedder consumed.
        failed: Documents that could not be brought over; then nothing was switched.
        misfits: Declared fields that some documents have a value of another type for, each once.
    """

    collection: str
    way: Way | None
    reason: str
    source: GenerationPlace
    target: GenerationPlace
    switched: bool
    documents: int = 0
    chunks: int = 0
    brought: int = 0
    changed: int = 0
    deleted: int = 0
    verified: int = 0
    overlap: Overlap | None = None
    writers_waited: float = 0.0
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    failed: tuple[FailedDocument, ...] = ()
    misfits: tuple[FieldMisfit, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values.

        Returns:
            The fields by name.

        Example:
            >>> nv.migrate("docs").to_dict()["switched"]
            False
        """
        return asdict(self)


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """What a migration would do and cost. Costs are estimates from a sample of the stored texts.

    Attributes:
        collection: Its name.
        way: How vectors are had; None where there is nothing to do.
        reason: Why no cheaper way will do, or nothing has to be done.
        source, target: The generation that it comes from, and the new one.
        documents, chunks: How many there are.
        tokens, requests: 0 where nothing is embedded; None where they cannot be known.
        money: In the currency of the price in the configuration; None without one.
        seconds: The least time that the embedder's quota allows; None without one.
        writers_wait: How many seconds a writer may be held up, at most, beside the last pass.
        changes: What differs, in sentences.
        advice: Sentences for people: that shrinking would do instead, for instance.
    """

    collection: str
    way: Way | None
    reason: str
    source: GenerationPlace
    target: GenerationPlace
    documents: int = 0
    chunks: int = 0
    tokens: int | None = 0
    requests: int | None = 0
    money: float | None = 0.0
    seconds: float | None = None
    writers_wait: float = 0.0
    changes: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values.

        Returns:
            The fields by name.

        Example:
            >>> nv.plan_migration("handbook").to_dict()["documents"]
            2
        """
        return asdict(self)

"""What migrating tells: how far it is, what it did, and beforehand what it would cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from nestvec._collections.write_fence import GenerationPlace
from nestvec._migration.routes import Way
from nestvec.types import FailedDocument, Usage


class MigrationStage(StrEnum):
    """Where a migration is; in this order."""

    COPYING = "copying"
    CATCHING_UP = "catching up"
    VERIFYING = "verifying"
    DRAINING = "waiting for writers"
    SWITCHING = "switching"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class MigrationProgress:
    """How far a migration is: `done` of `total` records of the source in this stage, `brought` documents so far."""

    stage: MigrationStage
    done: int = 0
    total: int = 0
    brought: int = 0
    #: A sentence for people, where there is more to say: for how long writers wait, for instance.
    note: str = ""


ProgressCallback: TypeAlias = Callable[[MigrationProgress], object]


@dataclass(frozen=True, slots=True)
class Overlap:
    """How far the nearest neighbours before and after agree: the mean share of `k` hits that both have.

    `questions` were real ones where `asked`, else stored documents whose own vectors asked. Documents are compared, not
    chunks. Another model finds others: a low overlap is no error, but worth a look.
    """

    questions: int
    k: int
    mean: float
    least: float
    asked: bool = False


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What a migration, a shrinking or a rollback did.

    `documents` and `chunks` are what the new generation holds; `brought` how many documents were written by this run,
    `changed` how many of them because they changed while it ran; `failed` names those that are not there, which leaves
    everything as it was (`switched` is False). `writers_waited` is for how many seconds writers were held up, at most.
    `way` is None where nothing had to be brought over, for the `reason` given; then `switched` tells whether the name
    leads elsewhere now.
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

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """What a migration would do and cost; nothing is changed. `way` is None where there is nothing to do.

    `tokens`, `requests` and `money` are estimates from a sample of the stored texts, 0 where nothing is embedded, and
    None where they cannot be known (`money` without a price in the configuration). `seconds` is the least time that
    the embedder's quota allows, None without one. `writers_wait` is how many seconds a writer may be held up, at most,
    beside the last pass. `advice` are sentences for people: that shrinking would do instead, for instance.
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
        """Plain JSON values."""
        return asdict(self)

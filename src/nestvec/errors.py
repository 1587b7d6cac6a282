"""Every error that nestvec raises, in one tree.

    NestvecError
    ├── ConfigError                 a file, key or option is wrong; `problems` lists all of them
    │   └── SecretError             a secret is missing when its component opens
    ├── PluginError
    │   ├── PluginNotFound          no installed distribution offers that name
    │   ├── PluginConflict          two distributions claim one name
    │   └── PluginBroken            the plugin, or its SDK, cannot be imported or breaks the contract
    ├── InvalidInput                a value handed over by the caller cannot be used
    │   ├── InvalidDocument         … a document
    │   ├── InvalidFilter           … a filter
    │   └── InvalidName             … the name of a collection, a tenant or a note
    ├── Unsupported                 the backend or model cannot do this; says what would work
    ├── SpaceError
    │   ├── SpaceMismatch           two embedding spaces differ; says where
    │   ├── HostMismatch            another host of the model gives other vectors; says how far off they are
    │   └── SpaceUnknown            a foreign collection: nestvec cannot vouch for its space
    ├── CollectionError
    │   ├── CollectionNotFound
    │   ├── CollectionConflict      it exists and differs; nothing was changed
    │   ├── CollectionMoved         it was migrated, and is to be found elsewhere; says where
    │   ├── MigrationInterrupted    (retryable) a migration was interrupted while it switched
    │   └── GenerationMoved         a writer was fenced: the alias moved during its work
    ├── IngestFailed                some documents were not stored; carries the `Report`
    ├── EmbedderError
    │   ├── EmbedderUnavailable     (retryable)
    │   ├── EmbedderDenied          the key is missing, wrong, or its balance used up
    │   ├── EmbedderRefused         the request cannot succeed as it is
    │   └── EmbedderInvalidReply    wrong count, size, non-finite numbers, or a vector of zeros
    └── BackendError
        ├── BackendUnavailable      (retryable) not there, too slow, overloaded
        ├── BackendLocked           another process holds the embedded store
        ├── BackendDenied           credentials missing, wrong or not allowed to do this
        ├── BackendRefused          the request cannot succeed as it is
        └── BackendFull             disk full or read-only

A message says what happened, to which collection or document, and what to do. `retryable` tells whether
the same call may succeed later without a change. Vendor exceptions never escape; they are chained as the
cause. What a message quotes of servers, files and arguments is made visible (`\\x1b`, `\\u202e`); where it has several
lines, all but the first are indented.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from nestvec._visible import visible_lines
from nestvec.masking import masked

if TYPE_CHECKING:
    from nestvec.types import Report


#: Shorter secrets are masked in what others say only: they are words of ours, too.
_WORD: Final = 8


class NestvecError(Exception):
    """The root of all errors that nestvec raises on purpose. No message holds a secret that was read."""

    retryable: ClassVar[bool] = False
    #: Set where a collection is not to be found as it was looked for: a handle that has another description of it
    #: (see `nestvec._collections.following`) tries that one.
    unbound: bool = False

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(masked(each, _WORD) if isinstance(each, str) else each for each in arguments))

    def __str__(self) -> str:
        """The message, which cannot steer a terminal or forge a line of a log."""
        return visible_lines(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        """With all that it carries: an error of a worker process arrives where its result is waited for."""
        return _unpickled, (type(self), self.args), (self.__dict__, _portable(self.__cause__))

    def __setstate__(self, state: Any) -> None:
        carried, self.__cause__ = state
        self.__dict__.update(carried)


def _unpickled(kind: type[NestvecError], args: tuple[Any, ...]) -> NestvecError:
    """The error again; it is not initialised once more, because its message is whole."""
    return kind.__new__(kind, *args)


def _portable(cause: BaseException | None) -> BaseException | None:
    """A cause as it can travel: errors of vendors hold connections and locks, and are told by name and message."""
    if cause is None or isinstance(cause, NestvecError):
        return cause
    return RuntimeError(masked(f"{type(cause).__module__}.{type(cause).__qualname__}: {cause}", _WORD))


class ConfigError(NestvecError):
    """A configuration cannot be used. `problems` holds one sentence for each thing to mend."""

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        self.problems = tuple(visible_lines(masked(problem, _WORD)) for problem in problems or (message,))
        super().__init__("\n".join([message, *(f"  - {problem}" for problem in self.problems if problems)]))


class SecretError(ConfigError):
    """A secret is missing or unreadable. The message names where it was looked for, never the secret."""


class PluginError(NestvecError):
    """A plugin cannot be used."""


class PluginNotFound(PluginError):
    """No installed distribution offers the plugin."""


class PluginConflict(PluginError):
    """Two installed distributions claim one plugin name."""


class PluginBroken(PluginError):
    """The plugin cannot be imported, or does not keep the hook contract."""


class InvalidInput(NestvecError, ValueError):
    """A value handed over by the caller cannot be used."""


class InvalidDocument(InvalidInput):
    """A document cannot be stored as it is."""


class InvalidFilter(InvalidInput):
    """A filter cannot be used on this collection."""


class InvalidName(InvalidInput):
    """The name of a collection, a tenant or a note breaks nestvec's or the backend's naming rules."""


class Unsupported(NestvecError):
    """The backend or the model cannot do what was asked; the message says what would work."""


class SpaceError(NestvecError):
    """Vectors that would be compared do not come from one embedding space."""


class SpaceMismatch(SpaceError):
    """Two embedding spaces differ. `differences` maps field names to the pair (stored, wanted)."""

    def __init__(self, message: str, differences: dict[str, tuple[object, object]]) -> None:
        self.differences = differences
        super().__init__(message)


class HostMismatch(SpaceError):
    """An embedder's vectors are not those of the host that filled the collection, although the space is the same.

    `made_by` and `host` name the two, `least` and `median` are the cosines that were measured.
    """

    def __init__(self, message: str, *, made_by: str, host: str, least: float, median: float) -> None:
        self.made_by, self.host, self.least, self.median = made_by, host, least, median
        super().__init__(message)


class SpaceUnknown(SpaceError):
    """The collection carries no space, or none that can be read: nestvec cannot vouch for it."""


class CollectionError(NestvecError):
    """Something is wrong with a collection as a whole."""


class CollectionNotFound(CollectionError):
    """The collection does not exist."""


class CollectionConflict(CollectionError):
    """The collection exists and differs from what is wanted. Nothing was changed."""


class CollectionMoved(CollectionError):
    """The collection was migrated to another place, which the message names; nothing is read or written here."""


class MigrationInterrupted(CollectionError):
    """A migration was interrupted while it switched: writing goes on when it has been run to its end."""

    retryable = True


class GenerationMoved(CollectionError):
    """The alias moved to another generation while a write was under way; the write was refused."""


class IngestFailed(NestvecError):
    """Some documents were not stored; all others were. `report` names each failure."""

    def __init__(self, message: str, report: Report) -> None:
        self.report = report
        super().__init__(message)


class EmbedderError(NestvecError):
    """An embedder failed."""


class EmbedderUnavailable(EmbedderError):
    """The embedder cannot be reached or is overloaded; the same call may succeed later."""

    retryable = True


class EmbedderDenied(EmbedderError):
    """The key is missing, wrong, not allowed to do this, or its balance is used up."""


class EmbedderRefused(EmbedderError):
    """The embedder will not take this request as it is."""


class EmbedderInvalidReply(EmbedderError):
    """The embedder answered with the wrong number of vectors, another size, non-finite numbers, or zeros only."""


class BackendError(NestvecError):
    """A backend failed."""


class BackendUnavailable(BackendError):
    """The backend cannot be reached or is overloaded; the same call may succeed later."""

    retryable = True


class BackendLocked(BackendError):
    """Another process holds the embedded store."""


class BackendDenied(BackendError):
    """The credentials are missing, wrong, or do not allow this."""


class BackendRefused(BackendError):
    """The backend will not take this request as it is."""


class BackendFull(BackendError):
    """The backend cannot write: its disk is full or read-only."""


class NotSettledWarning(UserWarning):
    """What was stored is safe, but searches may still miss some of it; `Collection.settle` waits for longer."""

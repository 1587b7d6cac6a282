"""What a client gives to the rules that change a collection as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from nestvec._session.session import Session
    from nestvec.config import Connection
    from nestvec.types import FloatArray

T = TypeVar("T")


class LifecycleOwner(Protocol):
    """Both clients are one. Its methods raise what opening a backend or an embedder raises."""

    def session(self, backend: str, embedder: str) -> Session:
        """A session with a backend and an embedder of the configuration, by their names; nothing is opened yet."""
        ...

    async def read(self, work: Callable[[], T]) -> T:
        """Call something that reads files or takes long: where that would hold up an event loop, in a thread."""
        ...

    async def rotation(self, connection: Connection[Any]) -> FloatArray | None:
        """What an embedder's stored vectors are turned by, shape (full, full); None: by nothing."""
        ...

    async def token_counter(self, embedder: str) -> Callable[[str], int] | None:
        """An embedder's counter of tokens; None where it has none. Opens the embedder."""
        ...

    async def open_embedder(self, embedder: str) -> None:
        """Open an embedder that will be needed: what it lacks, such as its key, is told before anything is made."""
        ...

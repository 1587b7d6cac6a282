"""What rules that begin with a whole configuration ask of the client that runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from nestvec._collections.opening import OpenCollection
    from nestvec._session.session import Session
    from nestvec.config import Config, Connection
    from nestvec.runtime import Runtime
    from nestvec.types import FloatArray

T = TypeVar("T")


class ClientServices(Protocol):
    """A client, as such rules see it. Under the synchronous one, none of these methods suspends."""

    @property
    def config(self) -> Config:
        """What the client was opened with."""

    @property
    def runtime(self) -> Runtime:
        """How the client behaves."""

    def session(self, backend: str, embedder: str) -> Session:
        """A session over blocks of the configuration, where no handle has one. An empty name: none is asked for."""

    async def located(self, name: str) -> OpenCollection:
        """A collection where it is now, and as what; where it is nowhere, what is wanted: using that says why.

        Raises `InvalidName` for one that the configuration does not have.
        """

    async def rotation(self, connection: Connection[Any]) -> FloatArray | None:
        """What an embedder's stored vectors are turned by. It is opened only if the rotation is its plugin's own."""

    async def outside(self, work: Callable[..., T], *arguments: Any) -> T:
        """Read files or compute for long: under the asynchronous client in a worker thread."""

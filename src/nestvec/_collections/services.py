"""What rules that begin with a whole configuration ask of the client that runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from nestvec._collections.describing import alternatives, spec_named
from nestvec._collections.following import located
from nestvec._collections.opening import OpenCollection

if TYPE_CHECKING:
    from nestvec._session.session import Session
    from nestvec.config import Config, Connection
    from nestvec.contract import Embedder
    from nestvec.runtime import Runtime
    from nestvec.types import FloatArray

T = TypeVar("T")


class ClientServices(Protocol):
    """A client, as such rules see it. Under the synchronous one, none of these methods suspends."""

    config: Config
    runtime: Runtime

    def session(self, backend: str, embedder: str) -> Session:
        """A session over blocks of the configuration; nothing is opened yet."""

    def embedding(self, embedder: str) -> Session:
        """A session for embedding alone."""

    async def embedder(self, name: str) -> Embedder:
        """The opened embedder of an embedder block."""

    async def rotation(self, connection: Connection[Any]) -> FloatArray | None:
        """What an embedder's stored vectors are turned by. It is opened only if the rotation is its plugin's own."""

    async def outside(self, work: Callable[..., T], *arguments: Any) -> T:
        """Read files or compute for long: under the asynchronous client in a worker thread."""


async def open_live(client: ClientServices, name: str) -> OpenCollection:
    """A collection where it is now, and as what; where it is nowhere, what is wanted: using that says why.

    Raises `InvalidName` for one that the configuration does not have.
    """
    among = alternatives(client.config, spec_named(client.config, name), client.runtime)
    states = [state for state in (among.wanted, among.previous) if state is not None]
    sessions = [client.session(state.spec.backend, state.spec.embedder) for state in states]
    live = await located(among, sessions)
    return OpenCollection(live.state, sessions[live.number])

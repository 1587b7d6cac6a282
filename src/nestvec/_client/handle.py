"""What the handles of both clients share: what their collection is, and may be."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from nestvec._client.traveling import TravelingHandle
from nestvec._collections.describing import alternatives, counts_tokens, make_splitter
from nestvec._collections.following import located
from nestvec._collections.opening import OpenCollection

if TYPE_CHECKING:
    from nestvec._chunking import Splitter
    from nestvec._client.connections import Connections
    from nestvec._client.ingestion import DocumentTurns
    from nestvec._session.session import Session
    from nestvec._specs import CollectionSpec
    from nestvec.spaces import EmbeddingSpace


class Handle(TravelingHandle):
    """A handle of one collection.

    `spec` is what the configuration wants it to be. Where the configuration also says what it was before (`previous`),
    or where it was shrunk, the handle serves what there is, and follows a migration within one lease: every single
    call is answered wholly by one generation, in one space, on one backend. A call that a migration overtakes is begun
    again in the new one.
    """

    def __init__(self, connections: Connections, spec: CollectionSpec) -> None:
        self.spec = spec
        self.tenant: str | None = None
        self._owns = False
        self._face: Any = None
        self._turns: list[DocumentTurns] | None = None
        self._connections = connections
        self._among = alternatives(connections.config, spec, connections.runtime)
        previous = self._among.previous
        #: What it is in each alternative, as the configuration says; and a session for each.
        self._specs = (spec,) if previous is None else (spec, previous.spec)
        self._splitters: dict[int, Splitter] = {}
        self._sessions: tuple[Session, ...] = tuple(
            connections.session(each.backend, each.embedder, make_splitter=partial(self._make_splitter, number))
            for number, each in enumerate(self._specs)
        )

    def __repr__(self) -> str:
        tenant = f" namespace={self.tenant!r}" if self.tenant is not None else ""
        return f"<{type(self).__name__} {self.spec.name!r}{tenant} space={self.space.fingerprint}>"

    @property
    def space(self) -> EmbeddingSpace:
        """The space that the last call was answered in; before any call, the one that is wanted. Asks nobody."""
        return self._among.live.state.spec.space

    def namespace(self, tenant: str) -> Self:
        """The same collection, seen by one tenant. Nothing is asked for it.

        Args:
            tenant: Its name; the first document that is stored makes it.

        Returns:
            A handle that writes, reads, counts and deletes that tenant's documents alone.

        Raises:
            InvalidName: The first call raises it where the collection has no namespaces, or the name is blank.

        Example:
            >>> nv["shared"].namespace("acme").count()
            1
        """
        view = type(self).__new__(type(self))
        view.__dict__.update(self._whole())
        view.tenant, view._face = tenant, None
        return view

    def _whole(self) -> dict[str, Any]:
        """All that is known of it; opened, where it landed from a pickle."""
        _ = self.spec
        return self.__dict__

    def _owning(self) -> Self:
        """The same; closing it closes the client, which nobody else has."""
        self._owns = True
        return self

    def _in_face(self, client: Callable[[], Any]) -> Any:
        """The same collection, seen by the same tenant, in the other face of its client: made once."""
        if self._face is None:
            face = client()[self.spec.name]
            if self.tenant is not None:
                face = face.namespace(self.tenant)
            with self._connections.family.lock:
                if self._face is None:
                    self._face, face._face = face, self
        return self._face

    def _find_turns(self) -> list[DocumentTurns]:
        """What writers of documents take turns by, wherever the collection is."""
        self._turns = self._connections.turns(spec.backend for spec in self._specs)
        return self._turns

    async def _located(self) -> OpenCollection:
        """Where the collection is now, and as what."""
        live = await located(self._among, self._sessions)
        return OpenCollection(live.state, self._sessions[live.number], self.tenant)

    async def _make_splitter(self, number: int) -> Splitter:
        """What splits documents for an alternative. It is kept here, for each ingestion has sessions of its own."""
        if number not in self._splitters:
            spec, connections = self._specs[number], self._connections
            count = (await connections.embedder(spec.embedder)).count_tokens() if counts_tokens(spec) else None
            self._splitters[number] = make_splitter(connections.config, spec, count)
        return self._splitters[number]

"""What the handles of both clients share: what their collection is, and may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from nestvec._client.base import make_alternatives

if TYPE_CHECKING:
    from nestvec._chunking import Splitter
    from nestvec._client.base import Runtime
    from nestvec._collections.opening import Binding
    from nestvec._specs import CollectionSpec
    from nestvec.config import Config
    from nestvec.spaces import EmbeddingSpace


class Handle:
    """A handle of one collection.

    `spec` is what the configuration wants it to be. Where the configuration also says what it was before (`previous`),
    or where it was shrunk, the handle serves what there is, and follows a migration within one lease: every single
    call is answered wholly by one generation, in one space, on one backend. A call that a migration overtakes is begun
    again in the new one.
    """

    def __init__(self, config: Config, spec: CollectionSpec, runtime: Runtime) -> None:
        self.spec = spec
        self.tenant: str | None = None
        self._among = make_alternatives(config, spec, runtime)
        self._splitters: dict[int, Splitter] = {}

    def __repr__(self) -> str:
        tenant = f" namespace={self.tenant!r}" if self.tenant is not None else ""
        return f"<{type(self).__name__} {self.spec.name!r}{tenant} space={self.space.fingerprint}>"

    @property
    def space(self) -> EmbeddingSpace:
        """The space that the last call was answered in; before any call, the one that is wanted. Asks nobody."""
        return self._among.live.binding.spec.space

    def namespace(self, tenant: str) -> Self:
        """The same collection, seen by one tenant."""
        view = type(self).__new__(type(self))
        view.__dict__.update(self.__dict__)
        view.tenant = tenant
        return view

    @property
    def _binding(self) -> Binding:
        """That of what is wanted."""
        return self._among.wanted

    @property
    def _specs(self) -> tuple[CollectionSpec, ...]:
        """What it is in each place, as the configuration says."""
        previous = self._among.previous
        return (self.spec,) if previous is None else (self.spec, previous.spec)

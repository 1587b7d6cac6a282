"""Requests as the kit sees them: those of the contract, and where one goes that is not about the whole backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from nestvec.contract import POWERS, Adapter, BackendRequest

if TYPE_CHECKING:
    from nestvec.contract import Encode, ForeignLayout

#: The methods of an adapter that answer requests, and which power each belongs to where it is not obligatory.
METHODS: tuple[str, ...] = tuple(kind.method for kind in get_args(BackendRequest))
#: The methods of an adapter that give a view of it.
VIEWS = ("of_tenant", "reading")


@dataclass(frozen=True, slots=True)
class Within:
    """A request to a view of an adapter: for one tenant (`Tenancy`), or in somebody else's collection (`Adoption`)."""

    request: BackendRequest
    tenant: str | None = None
    layout: ForeignLayout | None = None

    @property
    def method(self) -> str:
        """The method that answers it."""
        return self.request.method


@dataclass(frozen=True, slots=True)
class Wait:
    """A rule lets seconds pass. Answered with None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Splitting:
    """A rule needs what splits documents. Answered with a `Splitter`."""


Plain: TypeAlias = "BackendRequest | Encode | Wait | Splitting | Within"


@dataclass(frozen=True, slots=True)
class SideRequest:
    """What a rule of two sides asks of one of them, such as the source or the target of a migration."""

    side: str
    request: Plain

    @property
    def method(self) -> str:
        """The method that answers it, where it goes to a plugin."""
        return str(getattr(self.request, "method", type(self.request).__name__.lower()))


def bare(request: Any) -> Any:
    """The request of the contract, or the `Wait` or `Splitting`, without the side and the view that it goes to."""
    while isinstance(request, SideRequest | Within):
        request = request.request
    return request


def addressed(request: BackendRequest, tenant: str | None, layout: ForeignLayout | None) -> BackendRequest | Within:
    """The request as the kit hands it out: plain, if it is about the whole backend."""
    return request if tenant is None and layout is None else Within(request, tenant, layout)


def view_of(adapter: Any, request: Any) -> Any:
    """The adapter, or the view of it, that a request goes to."""
    view = adapter
    if isinstance(request, Within):
        view = view if request.layout is None else view.reading(request.layout)
        view = view if request.tenant is None else view.of_tenant(request.tenant)
    return view


def powers_of(adapter: Adapter) -> frozenset[str]:
    """The powers whose classes an adapter inherits from."""
    return frozenset(each.power for each in POWERS if isinstance(adapter, each))

"""An adapter or embedder that is called without awaiting, whether its plugin wrote plain methods or `async def`."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, TypeVar

from nestvec._session.session import finished
from nestvec.contract import Embedder, FullAdapter

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: The methods that may be `async def`. An adapter's own may be plain, and those that the core adds are not.
_METHODS = ("close", *sorted(FullAdapter.__abstractmethods__ | Embedder.__abstractmethods__))


class BlockingFacade:
    """Calls methods, plain or `async def`, and gives their answers. What it does not know comes from the component."""

    __slots__ = ("component",)  # a method put here would be called by nobody else: put it on the component

    def __init__(self, component: Any) -> None:
        self.component = component

    def __repr__(self) -> str:
        return repr(self.component)

    def of_tenant(self, tenant: str) -> BlockingFacade:
        """The adapter, seen by one tenant."""
        return BlockingFacade(self.component.of_tenant(tenant))

    def reading(self, layout: Any) -> BlockingFacade:
        """The adapter, for reading somebody else's collection."""
        return BlockingFacade(self.component.reading(layout))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.component, name)
        return _finishing(value) if callable(value) else value


def blocking(component: T) -> T | Any:
    """The component with methods that are called and not awaited: itself, where its methods are plain."""
    awaited = any(iscoroutinefunction(getattr(component, name, None)) for name in _METHODS)
    return BlockingFacade(component) if awaited else component


def _finishing(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        return finished(lambda: method(*arguments, **options))

    return call

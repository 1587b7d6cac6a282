"""An adapter or embedder from a plugin's `open`, called without awaiting: for tests that speak to it directly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nestvec._session.session import finished


class BlockingFacade:
    """Calls methods, plain or `async def`, and gives their answers. What it does not know comes from the component."""

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


def blocking(component: Any) -> Any:
    """The component, with methods that are called and not awaited."""
    return BlockingFacade(component)


def _finishing(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        return finished(lambda: method(*arguments, **options))

    return call

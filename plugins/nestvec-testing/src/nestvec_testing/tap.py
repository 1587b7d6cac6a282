"""Adapters that let every request pass through a function first: for watching, counting and breaking things."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias, get_args

from nestvec.contract import Adapter, AsyncAdapter, BackendRequest

#: Gets a request and the function that performs it; returns its answer, or raises.
Intercept: TypeAlias = Callable[[Any, Callable[[Any], Any]], Any]

METHODS: tuple[str, ...] = tuple(kind.method for kind in get_args(BackendRequest))


def tap(inner: Adapter, intercept: Intercept) -> Adapter:
    """An adapter in front of `inner`. Closing it leaves `inner` open: several clients may share it."""
    adapter: Adapter = _Tap(inner, intercept)
    return adapter


def async_tap(inner: AsyncAdapter, intercept: Intercept) -> AsyncAdapter:
    """The same in front of an asynchronous adapter; `intercept` runs in a worker thread."""
    adapter: AsyncAdapter = _AsyncTap(inner, intercept)
    return adapter


class _Front:
    def __init__(self, inner: Any, intercept: Intercept) -> None:
        self._inner = inner
        self._intercept = intercept


def _forward(method: str) -> Any:
    def forward(self: Any, request: Any) -> Any:
        return self._intercept(request, getattr(self._inner, method))

    return forward


def _forward_async(method: str) -> Any:
    async def forward(self: Any, request: Any) -> Any:
        loop = asyncio.get_running_loop()
        perform = getattr(self._inner, method)

        def wait(changed: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(perform(changed), loop).result()

        return await asyncio.to_thread(self._intercept, request, wait)

    return forward


def _capabilities(self: Any) -> Any:
    return self._inner.capabilities()


_Tap: Any = type(
    "Tap", (_Front, Adapter), {"capabilities": _capabilities, **{name: _forward(name) for name in METHODS}}
)
_AsyncTap: Any = type(
    "AsyncTap",
    (_Front, AsyncAdapter),
    {"capabilities": _capabilities, **{name: _forward_async(name) for name in METHODS}},
)

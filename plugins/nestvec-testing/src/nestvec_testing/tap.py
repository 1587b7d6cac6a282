"""Adapters that let every request pass through a function first: for watching, counting and breaking things."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any, TypeAlias

from nestvec._session.session import finished
from nestvec.contract import POWERS, Adapter, ForeignLayout
from nestvec_testing.requests import METHODS, VIEWS, addressed, bare, view_of

#: Gets a request and the function that performs it; returns its answer, or raises.
Intercept: TypeAlias = Callable[[Any, Callable[[Any], Any]], Any]


def tap(inner: Any, intercept: Intercept, *, native: bool = False) -> Any:
    """An adapter in front of `inner`, of every power that `inner` has. Closing it leaves `inner` open.

    `intercept` gets each request and what performs it. A request to a view of the adapter is `Within` its tenant or
    layout. Where `native` says that `inner` is awaited in an event loop, `intercept` runs in a worker thread.
    """
    return _front_of(inner)(inner, intercept, native=native)


def tap_in_place(adapter: Any, intercept: Intercept, *, native: bool = False) -> None:
    """Let every request to this very object, and to views of it that are made from now on, pass through `intercept`.

    For adapters that are open already.
    """
    names = [name for name in (*METHODS, *VIEWS) if hasattr(adapter, name)]
    before = SimpleNamespace(**{name: getattr(adapter, name) for name in names})
    tapped = tap(before, intercept, native=native)
    for name in names:
        setattr(adapter, name, getattr(tapped, name))


class _Front:
    def __init__(
        self,
        inner: Any,
        intercept: Intercept,
        *,
        native: bool,
        tenant: str | None = None,
        layout: ForeignLayout | None = None,
    ) -> None:
        self._inner, self._intercept, self._native = inner, intercept, native
        self._tenant, self._layout = tenant, layout

    def __repr__(self) -> str:
        return f"<tap of {self._inner!r}>"

    def capabilities(self) -> Any:
        return self._inner.capabilities()

    def of_tenant(self, tenant: str) -> Any:
        return type(self)(self._inner, self._intercept, native=self._native, tenant=tenant, layout=self._layout)

    def reading(self, layout: ForeignLayout) -> Any:
        return type(self)(self._inner, self._intercept, native=self._native, tenant=self._tenant, layout=layout)

    def _pass(self, request: Any) -> Any:
        asked = addressed(request, self._tenant, self._layout)
        if self._native:
            return self._pass_native(asked)
        return self._intercept(asked, lambda changed: finished(self._method(changed), bare(changed)))

    async def _pass_native(self, asked: Any) -> Any:
        loop = asyncio.get_running_loop()

        def perform(changed: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(self._awaited(changed), loop).result()

        return await asyncio.to_thread(self._intercept, asked, perform)

    async def _awaited(self, request: Any) -> Any:
        answer = self._method(request)(bare(request))
        return await answer if inspect.isawaitable(answer) else answer

    def _method(self, request: Any) -> Callable[[Any], Any]:
        method: Callable[[Any], Any] = getattr(view_of(self._inner, request), request.method)
        return method


def _forward(method: str) -> Any:
    def forward(self: Any, request: Any) -> Any:
        return self._pass(request)

    forward.__name__, forward.__qualname__ = method, f"tap.{method}"
    return forward


def _front_of(inner: Any) -> Any:
    return _inheriting(tuple(power for power in POWERS if isinstance(inner, power)))


@cache
def _inheriting(powers: tuple[type[Any], ...]) -> Any:
    return type("Tap", (_Front, Adapter, *powers), {name: _forward(name) for name in METHODS})

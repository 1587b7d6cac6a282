"""What adapters give, whether their methods are plain or `async def`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from inspect import isawaitable
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from nestvec.contract import Answer, Batch, Scroll

T = TypeVar("T")


async def settled(answer: Answer[T]) -> T:
    """What a method of an adapter gave, awaited if need be. Never suspends for an adapter that does not."""
    return await answer if isawaitable(answer) else answer


class _Scrollable(Protocol):
    """An adapter, or a backend in a session."""

    def scroll(self, request: Scroll, /) -> Answer[Batch]: ...


async def pages(source: _Scrollable, request: Scroll) -> AsyncIterator[Batch]:
    """Every page, from the request's on."""
    while True:
        batch = await settled(source.scroll(request))
        yield batch
        if batch.cursor is None:
            return
        request = replace(request, cursor=batch.cursor)

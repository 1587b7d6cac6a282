"""What adapters give, whether their methods are plain or `async def`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from inspect import isawaitable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from nestvec.contract import Adapter, Answer, Scroll
    from nestvec.types import Record

T = TypeVar("T")


async def settled(answer: Answer[T]) -> T:
    """What a method of an adapter gave, awaited if need be. Never suspends for an adapter that does not."""
    return await answer if isawaitable(answer) else answer


async def pages(adapter: Adapter, request: Scroll) -> AsyncIterator[Sequence[Record]]:
    """The records of every page, from the request's on."""
    while True:
        batch = await settled(adapter.scroll(request))
        yield batch.records
        if batch.cursor is None:
            return
        request = replace(request, cursor=batch.cursor)

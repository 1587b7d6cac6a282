"""Whether a blocking plugin is one: its methods come to their end without an event loop."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import CoroutineType
from typing import Any


def never_suspends(method: Callable[..., Any], *arguments: Any) -> Any:
    """The answer of a method of what `open` returned, plain or `async def`.

    Raises `AssertionError` if the method suspends, needs an event loop, or gives something else to be awaited.
    """
    name = f"{getattr(method, '__name__', method)} of what `open` returns"
    answer = method(*arguments)
    if not inspect.isawaitable(answer):
        return answer
    assert type(answer) is CoroutineType, f"{name} is plain or `async def`, but gives {type(answer).__name__}"
    try:
        answer.send(None)
    except StopIteration as stop:
        return stop.value
    except RuntimeError as error:
        raise AssertionError(f"{name} works without an event loop, but: {error}") from error
    answer.close()
    raise AssertionError(f"{name} suspends: without an event loop it never comes to its end")

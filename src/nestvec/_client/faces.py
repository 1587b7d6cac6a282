"""The two faces of one client, and of its handles: the same configuration and the same engines, called and awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any, Final

from nestvec._client.ingestion import running_loop
from nestvec._session.answers import settled
from nestvec._session.session import finished
from nestvec.errors import NestvecError

if TYPE_CHECKING:
    from nestvec._client.connections import Connections
    from nestvec._session.session import Component

#: Seconds that another thread's event loop has for closing.
PATIENCE: Final = 30.0
#: What is being closed in a loop that nobody here can wait for: a loop itself keeps its tasks only while they run.
_closing: set[asyncio.Task[None]] = set()


def close_face(face: Connections) -> None:
    """Close what a face has open, from outside of its event loop. To be called once its client is closed.

    What is awaited is awaited in its own loop; where that is the one that runs here, it is closed in its next steps.
    Where that loop does not run any more, in one of its own. Where something cannot be closed, everything else is.
    """
    awaited: list[Component[Any]] = []
    with ExitStack() as last:
        last.callback(_close_in, face.loop, awaited)
        for component in face.take():
            if component.native:
                awaited.append(component)
            elif component.close is not None:
                last.callback(finished, component.close)


def _close_in(loop: asyncio.AbstractEventLoop | None, components: Sequence[Component[Any]]) -> None:
    if not components:
        return
    here = running_loop()
    if loop is not None and loop is here:
        task = loop.create_task(_close(components))
        _closing.add(task)
        task.add_done_callback(_closing.discard)
    elif loop is not None and loop.is_running():
        _wait_for(asyncio.run_coroutine_threadsafe(_close(components), loop))
    elif here is None:
        asyncio.run(_close(components))
    else:
        _elsewhere(lambda: asyncio.run(_close(components)))


def _wait_for(closing: Future[None]) -> None:
    try:
        closing.result(PATIENCE)
    except TimeoutError as error:
        raise NestvecError(
            f"the event loop of the asynchronous face did not close its connections within {PATIENCE:.0f} seconds; "
            f"await client.aio.close() there before the client is closed"
        ) from error


def _elsewhere(work: Callable[[], None]) -> None:
    """In a thread, where no loop runs."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


async def _close(components: Sequence[Component[Any]]) -> None:
    async with AsyncExitStack() as last:
        for component in components:
            if component.close is not None:
                last.push_async_callback(_settle, component.close)


async def _settle(close: Callable[[], Any]) -> None:
    await settled(close())

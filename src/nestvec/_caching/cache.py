"""A cache as an embedder uses it: whatever is wrong with its folder, the work goes on, and it is said once."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from nestvec._caching.answer import Keep, Look
from nestvec._caching.disk import FAILURES, Disk, reason
from nestvec.contract import Event

_LOG = logging.getLogger(__name__)
#: Seconds for which a folder that failed is left alone.
_PAUSE = 300.0
#: Folders of which this process said already that they can not be used.
_told: set[Path] = set()
_telling = threading.Lock()


class Cache:
    """A folder of vectors, opened when it is first needed. Safe for threads: one of its own does the work.

    After a fork the child goes without it; a client that the child opens has a cache of its own.
    """

    def __init__(
        self, path: Path, size: int, notify: Callable[[Event], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = path.absolute()
        self.size = size
        self._notify, self._clock = notify, clock
        self._process = os.getpid()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="nestvec-cache")
        self._lock = threading.Lock()
        self._closed = False
        self._disk: Disk | None = None
        self._pause = clock()

    def perform(self, step: Look | Keep) -> Future[Any]:
        """Do it soon. What can not be done counts as not found, or is left undone."""
        with self._lock:
            if not self._closed and os.getpid() == self._process:
                return self._worker.submit(self._perform, step)
        nothing: Future[Any] = Future()
        nothing.set_result(_nothing(step))
        return nothing

    def close(self) -> None:
        """Close the database. Safe to call twice; afterwards nothing is found."""
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed and os.getpid() == self._process:
            self._worker.submit(self._let_go)
            self._worker.shutdown()

    # ------------------------------------------------------------ in its own thread

    def _perform(self, step: Look | Keep) -> Any:
        if self._clock() < self._pause:
            return _nothing(step)
        try:
            if self._disk is None:
                self._disk = Disk(self.path, self.size)
            return self._disk.get(step.keys) if isinstance(step, Look) else self._disk.put(step.values)
        except FAILURES as error:
            self._pause = self._clock() + _PAUSE
            self._let_go()
            self._tell(error)
            return _nothing(step)

    def _let_go(self) -> None:
        disk, self._disk = self._disk, None
        if disk is not None:
            with suppress(*FAILURES):  # of a folder that failed; what was kept is durable
                disk.close()

    def _tell(self, error: Exception) -> None:
        with _telling:
            if self.path in _told:
                return
            _told.add(self.path)
        said = reason(error)
        _LOG.warning("the embedding cache %s can not be used, and texts are embedded without it: %s", self.path, said)
        self._notify(Event("cache_failed", None, {"path": str(self.path), "error": said}))


def _nothing(step: Look | Keep) -> list[None] | None:
    return [None] * len(step.keys) if isinstance(step, Look) else None

"""A cache as an embedder uses it: whatever is wrong with its folder, the work goes on, and it is said once."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from nestvec._caching.disk import FAILURES, Disk, reason
from nestvec.contract import Event

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
#: Seconds for which a folder that failed is left alone.
_PAUSE = 300.0
#: Folders of which this process said already that they cannot be used.
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

    def look(self, keys: Sequence[bytes]) -> Future[list[bytes | None]]:
        """The value of each key, or None, in order. What cannot be read counts as not found."""
        return self._soon(lambda disk: disk.get(keys), [None] * len(keys))

    def keep(self, values: Sequence[tuple[bytes, bytes]]) -> Future[None]:
        """Keep values under their keys. What cannot be kept is left out."""
        return self._soon(lambda disk: disk.put(values), None)

    def _soon(self, work: Callable[[Disk], T], nothing: T) -> Future[T]:
        with self._lock:
            if not self._closed and os.getpid() == self._process:
                return self._worker.submit(self._perform, work, nothing)
        done: Future[T] = Future()
        done.set_result(nothing)
        return done

    def close(self) -> None:
        """Close the database. Safe to call twice; afterwards nothing is found."""
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed and os.getpid() == self._process:
            self._worker.submit(self._let_go)
            self._worker.shutdown()

    # ------------------------------------------------------------ in its own thread

    def _perform(self, work: Callable[[Disk], T], nothing: T) -> T:
        if self._clock() < self._pause:
            return nothing
        try:
            if self._disk is None:
                self._disk = Disk(self.path, self.size)
            return work(self._disk)
        except FAILURES as error:
            self._pause = self._clock() + _PAUSE
            self._let_go()
            self._tell(error)
            return nothing

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
        _LOG.warning("the embedding cache %s cannot be used, and texts are embedded without it: %s", self.path, said)
        self._notify(Event("cache_failed", None, {"path": str(self.path), "error": said}))

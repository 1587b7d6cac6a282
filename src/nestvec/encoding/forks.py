"""Processes that were forked from one that embeds: what has threads of its own does not survive that, and hangs."""

from __future__ import annotations

import os

from nestvec.errors import EmbedderError


class ForkGuard:
    """Remembers the process in which an engine was used first. One for each engine, made with its module."""

    def __init__(self) -> None:
        self._process: int | None = None

    def check(self) -> None:
        """To be called before the engine is used. Raises `EmbedderError` in a forked child of that process."""
        self._process = self._process or os.getpid()
        if self._process != os.getpid():
            raise EmbedderError(
                "this process was forked from one that had embedded already, and the engine's threads do not survive "
                'that; start processes by spawning (multiprocessing.set_start_method("spawn")), or embed after '
                "forking only"
            )

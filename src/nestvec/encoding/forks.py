"""Processes that were forked from one that embeds: what has threads of its own does not survive that, and hangs."""

from __future__ import annotations

import os

from nestvec.errors import EmbedderError


class ForkGuard:
    """Knows whether this process was forked from one that used an engine. One for each engine, made with its module.

    To be asked before the engine is used: `if not guard.passed: guard.check()`.
    """

    def __init__(self) -> None:
        #: Whether this very process passed the check before.
        self.passed = False
        self._used_before = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    def check(self) -> None:
        """Note that the engine is used. Raises `EmbedderError` in a forked child of a process that used it before."""
        if self._used_before:
            raise EmbedderError(
                "this process was forked from one that had embedded already, and the engine's threads do not survive "
                'that; start processes by spawning (multiprocessing.set_start_method("spawn")), or embed after '
                "forking only"
            )
        self.passed = True

    def _forked(self) -> None:
        self._used_before, self.passed = self._used_before or self.passed, False

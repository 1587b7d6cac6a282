"""What is asked before each piece of work in this process: was it forked, was the caller interrupted?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nestvec.errors import EmbedderError

if TYPE_CHECKING:
    from nestvec.contract import Encode

#: The process that used torch first: its threads do not survive a fork.
_pid: int | None = None


def refuse_after_fork() -> None:
    """Raises `EmbedderError` in a process that was forked from one that had used torch: it would hang."""
    global _pid
    _pid = _pid or os.getpid()
    if _pid != os.getpid():
        raise EmbedderError(
            "this process was forked from one that had loaded a model, and torch's threads do not survive that; "
            'start processes by spawning (multiprocessing.set_start_method("spawn")), or connect after forking only'
        )


def stop_if_cancelled(request: Encode) -> None:
    """Raises `EmbedderError` if the caller was interrupted."""
    if request.cancelled is not None and request.cancelled():
        raise EmbedderError("embedding was interrupted; run it again to go on")

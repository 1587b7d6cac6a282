"""What is asked before each piece of work in this process: was it forked, was the caller interrupted?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestvec.encoding.forks import ForkGuard
from nestvec.errors import EmbedderError

if TYPE_CHECKING:
    from nestvec.contract import Encode

#: Of torch, whichever embedder used it.
FORKS: Final = ForkGuard()


def stop_if_cancelled(request: Encode) -> None:
    """Raises `EmbedderError` if the caller was interrupted."""
    if request.cancelled is not None and request.cancelled():
        raise EmbedderError("embedding was interrupted; run it again to go on")

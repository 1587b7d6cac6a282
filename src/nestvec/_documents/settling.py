"""Letting searches find what is fresh, on backends whose searches need it to be indexed first."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

from nestvec._collections.checks import require_own
from nestvec._collections.opening import open_to_read
from nestvec.capabilities import Freshness
from nestvec.contract import Event, Settle
from nestvec.errors import BackendError, BackendUnavailable, InvalidInput, NotSettledWarning

if TYPE_CHECKING:
    from nestvec._collections.opening import OpenCollection

#: Seconds that an ingestion waits at its end, unless it is told otherwise.
TIMEOUT = 120.0


def check_timeout(seconds: float) -> None:
    """Raise `InvalidInput` unless that is a number of seconds."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise InvalidInput(f"seconds to wait until a collection has settled: a number of 0 or more, not {seconds!r}")


async def settle(collection: OpenCollection, seconds: float) -> None:
    """Wait until searches find everything, whoever wrote it.

    Raises `BackendUnavailable` where that takes longer, `Unsupported` where nobody can tell, or it was adopted.
    """
    check_timeout(seconds)
    spec = collection.spec
    require_own(spec, "settle it")
    target = await open_to_read(collection)
    missing = await settled_everything(collection, target.physical, seconds)
    if missing is not None and seconds > 0:
        raise BackendUnavailable(f"collection {spec.name!r} has not settled: {missing}")


async def settled_everything(collection: OpenCollection, physical: str, seconds: float) -> str | None:
    """Settle a physical collection. What searches may still miss then, in a sentence; None: nothing."""
    return await collection.backend.settle(Settle(physical, seconds))


async def settle_ingested(collection: OpenCollection, seconds: float) -> str | None:
    """At the end of an ingestion: let searches find what it wrote. What they may still miss, or None.

    Asks nobody where they find it at once, or where it is uncertain. What was stored is stored, so a backend that
    fails here ends nothing.
    """
    if collection.capabilities.fresh is not Freshness.WHEN_SETTLED:
        return None
    try:
        target = await open_to_read(collection)
        missing = await collection.backend.settle(Settle(target.physical, seconds, everything=False))
    except BackendError as error:
        missing = f"searches may miss some of what was stored: the collection could not be settled ({error})"
    if missing is not None:
        collection.session.emit(Event("collection_unsettled", collection.spec.name, {"reason": missing}))
    return missing


def warn_unsettled(name: str, missing: str | None, seconds: float) -> None:
    """Tell whoever called a method of a handle, unless they did not want to wait."""
    if missing is not None and seconds > 0:
        warnings.warn(f"collection {name!r}: {missing}", NotSettledWarning, stacklevel=3)

"""How clients behave where no configuration says so: clocks, leases, retries and plugins."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nestvec._session.retry import LEASE, RetryPolicy
from nestvec.registry import Registry, default_registry

if TYPE_CHECKING:
    from nestvec.contract import Event

__all__ = ["RetryPolicy", "Runtime"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """How a client behaves where no configuration says so.

    Attributes:
        registry: The plugins; default: those of installed distributions.
        clock: Gives seconds, from any beginning; default: `time.monotonic`.
        lease: For how many seconds a handle trusts where it found its collection; default 30.
        retry: How requests to backends are repeated.
        wall: Gives seconds since 1970, by which processes agree how long a migration may hold writers up.
        pause: For tests: called with the seconds that a rule wants to pass, instead of letting them pass.

    Example:
        >>> with nestvec.connect("nestvec.toml", nestvec.Runtime(lease=5.0)) as nv:
        ...     nv["docs"].count()
        3
    """

    registry: Registry = field(default_factory=default_registry)
    clock: Callable[[], float] = time.monotonic
    lease: float = LEASE
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    wall: Callable[[], float] = time.time
    pause: Callable[[float], object] | None = None

    def notify(self, event: Event) -> None:
        """Tell every listener.

        Args:
            event: What happened.

        Example:
            >>> from nestvec.contract import Event
            >>> nestvec.Runtime().notify(Event("search_done", "docs", {"queries": 1, "hits": 10}))
        """
        self.registry.notify(event)

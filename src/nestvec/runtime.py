"""How clients behave where no configuration says so: clocks, leases, retries and plugins."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nestvec._collections.opening import LEASE
from nestvec._session.retry import RetryPolicy
from nestvec.registry import Registry, default_registry

if TYPE_CHECKING:
    from nestvec.contract import Event

__all__ = ["RetryPolicy", "Runtime"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """How a client behaves: its clock (seconds), lease, retries and plugins.

    `wall` is the time of day in seconds since 1970, by which processes agree how long a migration may hold writers up.
    `pause` is for tests: called with the seconds that a rule wants to pass, instead of letting them pass.
    """

    registry: Registry = field(default_factory=default_registry)
    clock: Callable[[], float] = time.monotonic
    lease: float = LEASE
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    wall: Callable[[], float] = time.time
    pause: Callable[[float], object] | None = None

    def notify(self, event: Event) -> None:
        """Tell every listener."""
        self.registry.notify(event)

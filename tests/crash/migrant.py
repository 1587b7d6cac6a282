"""Run as a process of its own: migrate, shrink or roll a collection back, telling each request before it is sent.

    python migrant.py CONFIG_JSON HOW

Prints a line before each request to a database, so that whoever reads them can kill it at any of them. Nobody else
writes, so nobody has to be waited for.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from nestvec._client import connect
from nestvec._client.sync import Nestvec
from nestvec._session.session import complete
from nestvec.runtime import Runtime
from nestvec_testing.registry import test_registry
from nestvec_testing.requests import bare
from nestvec_testing.tap import tap_in_place

DIMENSIONS = 16
METHODS = ("create", "update", "set_alias", "drop_alias", "write_note", "write", "remove", "scroll", "fetch", "count")


class Skipping:
    """Clocks that jump ahead where somebody wants to wait."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def pause(self, seconds: float) -> None:
        self.skipped += seconds

    def clock(self) -> float:
        return time.monotonic() + self.skipped

    def wall(self) -> float:
        return time.time() + self.skipped


def runtime() -> Runtime:
    """One in which waiting takes no time."""
    clocks = Skipping()
    return Runtime(test_registry(), clock=clocks.clock, wall=clocks.wall, lease=0.5, pause=clocks.pause)


def told(request: Any, perform: Callable[[Any], Any]) -> Any:
    """Tells of a request before it is sent."""
    if (method := bare(request).method) in METHODS:
        sys.stdout.write(method + "\n")
        sys.stdout.flush()
    return perform(request)


def main() -> None:
    config, how = json.loads(sys.argv[1]), sys.argv[2]
    with connect(config, runtime()) as client:
        for backend in config["backends"]:
            tap_in_place(complete(client._connections.adapter(backend)), told)
        go(client, how)


def go(client: Nestvec, how: str) -> None:
    """The command, as a user gives it."""
    if how == "shrink":
        report = client.shrink("docs", DIMENSIONS)
    elif how == "rollback":
        report = client.rollback("docs")
    else:
        report = client.migrate("docs")
    assert not report.failed, report


if __name__ == "__main__":
    main()

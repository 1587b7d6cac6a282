"""Processes that are born in milliseconds and can be killed at any moment.

A helper process imports once what all of them need, and forks one for each that is asked for. It ends, and all of them
with it, when its standard input is closed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
#: Seconds that a process may take to end when it should.
_PATIENCE = 120.0


class Nursery:
    """For tests: starts, kills and awaits processes. Use it in a `with` statement; for one thread."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", f"{_FOLDER.name}.writer"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=_FOLDER.parent)

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_PATIENCE)

    def start(self, **order: Any) -> int:
        """Let a process do that; its number."""
        return self._ask("start", order)

    def kill(self, number: int) -> int:
        """SIGKILL; how it ended (it may have been quicker)."""
        return self._ask("kill", number)

    def wait(self, number: int) -> int:
        """How it ended: its exit status, or minus the signal that killed it. Killed where that takes too long."""
        return self._ask("wait", number)

    def _ask(self, verb: str, what: Any) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([verb, what]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def serve(live: Callable[[dict[str, Any]], object]) -> None:
    """The helper's main loop: `live` is what a process does with its order."""
    alive: set[int] = set()
    answers = sys.stdout
    for line in sys.stdin:
        verb, what = json.loads(line)
        if verb == "start":
            alive.add(answer := _born(what, live))
        else:
            alive.discard(what)
            answer = _ended(what, kill=verb == "kill")
        answers.write(f"{answer}\n")
        answers.flush()
    for number in alive:
        _ended(number, kill=True)


def _born(order: dict[str, Any], live: Callable[[dict[str, Any]], object]) -> int:
    assert threading.active_count() == 1, "a process that has threads must not fork"
    number = os.fork()
    if number:
        return number
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(2, 1)
        live(order)
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _ended(number: int, *, kill: bool) -> int:
    until = time.monotonic() + _PATIENCE
    while not kill and time.monotonic() < until:
        found, status = os.waitpid(number, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])

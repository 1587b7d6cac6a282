"""Running things in threads that must come to their end, and saying where they stand if they do not."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def run_watched(works: Sequence[Callable[[], T]], *, deadline: float = 30.0) -> list[T]:
    """Run each in a thread of its own, all at once; returns what they return, in order.

    Raises what the first of them raised; and `AssertionError` with the stacks of those that have not ended within
    `deadline` seconds. Such threads are left behind; they do not keep the process from ending.
    """
    found: dict[int, T] = {}
    failed: dict[int, BaseException] = {}

    def run(number: int, work: Callable[[], T]) -> None:
        try:
            found[number] = work()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            failed[number] = error

    threads = [
        threading.Thread(target=run, args=each, name=f"watched-{each[0]}", daemon=True) for each in enumerate(works)
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + deadline
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    stuck = [thread for thread in threads if thread.is_alive()]
    if stuck:
        raise AssertionError(f"{len(stuck)} of {len(threads)} threads still run after {deadline} s:\n{stacks(stuck)}")
    for number in sorted(failed):
        raise failed[number]
    return [found[number] for number in range(len(threads))]


def stacks(threads: Sequence[threading.Thread]) -> str:
    """Where threads stand, innermost call last."""
    frames = sys._current_frames()
    return "\n".join(
        f"{thread.name}:\n" + "".join(traceback.format_stack(frames[thread.ident]))
        for thread in threads
        if thread.ident in frames
    )

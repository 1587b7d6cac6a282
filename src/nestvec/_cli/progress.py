"""How far long work has come: a bar on a terminal, now and then a line elsewhere. All of it on standard error."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

from nestvec._cli.output import amount, warn

#: Elsewhere than on a terminal a line is due after so many seconds, or so many percent.
_SECONDS, _PERCENT = 5.0, 10.0


class Progress(ABC):
    """Hears how much of the work is done, and how many documents are stored."""

    @abstractmethod
    def advance(self, done: int, stored: int) -> None:
        """`done` counts in the unit of the total; it never goes back."""

    def close(self) -> None:  # noqa: B027 - a line needs no closing
        """Clear the screen's line before something else is printed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def progress(total: int | None, *, unit: str = "B", noun: str = "document", verb: str = "stored") -> Progress:
    """A bar if standard error is a terminal, else lines. `total` None: nobody knows how much there is.

    `noun` and `verb` say what is counted, and what has become of it.
    """
    return Bar(total, unit, verb) if sys.stderr.isatty() else Lines(total, noun=noun, verb=verb)


class Bar(Progress):
    """A bar of tqdm's."""

    def __init__(self, total: int | None, unit: str, verb: str = "stored") -> None:
        from tqdm import tqdm

        self._verb = verb
        scaled = unit == "B"
        self._bar = tqdm(total=total, unit=unit, unit_scale=scaled, file=sys.stderr, dynamic_ncols=True, leave=False)

    def advance(self, done: int, stored: int) -> None:
        """See `Progress`."""
        self._bar.set_postfix_str(f"{stored:,} {self._verb}", refresh=False)
        self._bar.update(max(done - self._bar.n, 0))

    def close(self) -> None:
        """See `Progress`."""
        self._bar.close()


class Lines(Progress):
    """Plain lines, for log files: every few seconds, or every tenth of the work."""

    def __init__(
        self,
        total: int | None,
        clock: Callable[[], float] = time.monotonic,
        *,
        noun: str = "document",
        verb: str = "stored",
    ) -> None:
        self._total = total
        self._noun, self._verb = noun, verb
        self._clock = clock
        self._said = clock()
        self._percent = 0.0

    def advance(self, done: int, stored: int) -> None:
        """See `Progress`."""
        percent = 100 * min(done / self._total, 1.0) if self._total else 0.0
        now = self._clock()
        if now - self._said < _SECONDS and percent - self._percent < _PERCENT:
            return
        self._said, self._percent = now, percent
        warn(f"{amount(stored, self._noun)} {self._verb}" + (f" ({percent:.0f} %)" if self._total else ""))

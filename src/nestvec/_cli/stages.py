"""How far a migration is: a bar for each of its stages on a terminal, plain lines elsewhere. All on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from nestvec._cli.output import amount, warn

if TYPE_CHECKING:
    from nestvec._migration.report import MigrationProgress, MigrationStage

#: Elsewhere than on a terminal a line is due after so many seconds, or so many percent.
_SECONDS, _PERCENT = 5.0, 10.0


class Stages:
    """Hears the progress of a migration. `stage` is the last one heard, for whoever has to say where it was stopped."""

    def __init__(self, *, terminal: bool | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.stage: MigrationStage | None = None
        self._terminal = sys.stderr.isatty() if terminal is None else terminal
        self._clock = clock
        self._bar: Any = None
        self._note = ""
        self._said = clock()
        self._percent = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __call__(self, state: MigrationProgress) -> None:
        """Show it."""
        if state.stage is not self.stage:
            self._begin(state)
        if state.note and state.note != self._note:
            self._note = state.note
            self._tell(state.note)
        if self._bar is not None:
            self._advance(self._bar, state)
        elif not self._terminal:
            self._line(state)

    def close(self) -> None:
        """Clear the screen's line before something else is printed."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _begin(self, state: MigrationProgress) -> None:
        self.close()
        self.stage, self._percent, self._said = state.stage, 0.0, self._clock()
        if not self._terminal:
            warn(f"{state.stage.value}")
        elif state.total:
            from tqdm import tqdm

            total, name = state.total, state.stage.value
            self._bar = tqdm(total=total, desc=name, unit="record", file=sys.stderr, dynamic_ncols=True, leave=False)

    def _tell(self, note: str) -> None:
        if self._bar is not None:
            self._bar.clear()
        warn(note)

    def _advance(self, bar: Any, state: MigrationProgress) -> None:
        bar.total = state.total
        bar.set_postfix_str(f"{state.brought:,} documents brought over", refresh=False)
        bar.update(state.done - bar.n)  # backwards, where another pass begins

    def _line(self, state: MigrationProgress) -> None:
        percent = 100 * min(state.done / state.total, 1.0) if state.total else 0.0
        now = self._clock()
        if percent < self._percent:  # another pass of the same stage
            self._percent = 0.0
        if not state.total or (now - self._said < _SECONDS and percent - self._percent < _PERCENT):
            return
        self._said, self._percent = now, percent
        warn(f"{state.stage.value}: {percent:.0f} %, {amount(state.brought, 'document')} brought over")

"""How a fuzz test runs: few examples, always the same, in CI; others for its share of ten minutes in `make soak`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

from nestvec.errors import NestvecError

SOAK = bool(os.environ.get("NESTVEC_SOAK"))
#: Seconds of one test in a soak: there are about twenty.
SHARE = 30.0
#: Seconds that one input may take, on a machine that has other things to do: what takes the square of its length to
#: read takes minutes.
PATIENCE = 20.0

Check = Callable[[Path, Any], None]


def ours(call: Callable[[], Any]) -> Any:
    """What a call gives: a result, or an error of ours, which says something."""
    try:
        return call()
    except NestvecError as error:
        said = str(error)
    assert said
    return None


def fuzz(inputs: SearchStrategy[Any], examples: int = 100) -> Callable[[Check], Callable[[Path], None]]:
    """Make a test of a check, which gets a folder of its own and an input."""

    def decorate(check: Check) -> Callable[[Path], None]:
        def timed(folder: Path, given_input: Any) -> None:
            began = time.monotonic()
            check(folder, given_input)
            assert time.monotonic() - began < PATIENCE

        run = settings(
            max_examples=500 if SOAK else examples,
            derandomize=not SOAK,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
        )(given(given_input=inputs)(timed))

        def test(tmp_path: Path) -> None:
            until = time.monotonic() + SHARE
            run(tmp_path)
            while SOAK and time.monotonic() < until:
                run(tmp_path)

        test.__doc__ = check.__doc__
        return test

    return decorate

"""What makes a conformance class hard to weaken: its checks cannot be replaced, only excused, and visibly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest

from nestvec.errors import NestvecError


class Guarded:
    """The base of the kit's classes.

    `excused` maps names of tests to the reason why this plugin cannot pass them. An excused test still runs,
    and must fail: once it passes, the excuse has to go.
    """

    excused: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__module__.startswith("nestvec_testing."):
            return
        problems = [*_replaced(cls), *_bad_excuses(cls), *_marks(cls)]
        if problems:
            raise TypeError(f"{cls.__name__} weakens the conformance kit: " + "; ".join(problems))

    @pytest.fixture(autouse=True)
    def _excuses(self, request: pytest.FixtureRequest) -> None:
        reason = self.excused.get(request.node.originalname)
        if reason is not None:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True, raises=(AssertionError, NestvecError)))


def checks_of(kit: type) -> dict[str, Any]:
    """The tests of a kit class by name."""
    found: dict[str, Any] = {}
    for base in reversed(kit.__mro__):
        if base.__module__.startswith("nestvec_testing."):
            found |= {name: value for name, value in vars(base).items() if name.startswith("test_")}
    return found


def _own(cls: type) -> dict[str, Any]:
    """Everything that the kit itself defines: tests, fixtures and what they use."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("nestvec_testing."):
            found |= {name: value for name, value in vars(base).items() if not name.startswith("__")}
    return {name: value for name, value in found.items() if name not in ("excused", *_OPEN)}


#: What a subclass is meant to provide or may set.
_OPEN = ("backend", "embedder")


def _replaced(cls: type) -> list[str]:
    own = _own(cls)
    changed = [
        name
        for name, value in own.items()
        for base in cls.__mro__
        if not base.__module__.startswith("nestvec_testing.") and vars(base).get(name, value) is not value
    ]
    return [f"it replaces {name!r}; excuse a test with excused = {{{name!r}: reason}}" for name in sorted(set(changed))]


def _bad_excuses(cls: type[Guarded]) -> list[str]:
    known = checks_of(cls)
    unknown = [f"it excuses {name!r}, which is no test of the kit" for name in cls.excused if name not in known]
    silent = [
        f"it excuses {name!r} without a reason" for name, reason in cls.excused.items() if not str(reason or "").strip()
    ]
    return [*unknown, *silent]


def _marks(cls: type) -> list[str]:
    marks = vars(cls).get("pytestmark", [])
    listed = marks if isinstance(marks, list) else [marks]
    return ["it carries an xfail mark; use excused" for mark in listed if getattr(mark, "name", "") == "xfail"]


class Caught:
    """The error that `refused` caught."""

    error: BaseException | None = None

    @property
    def text(self) -> str:
        """Its message."""
        return str(self.error)


@contextmanager
def refused(kind: type[NestvecError] | tuple[type[NestvecError], ...], rule: str) -> Iterator[Caught]:
    """The block must raise `kind`; anything else, and nothing at all, breaks the rule."""
    caught = Caught()
    names = kind.__name__ if isinstance(kind, type) else " or ".join(each.__name__ for each in kind)
    try:
        yield caught
    except kind as error:
        caught.error = error
    except Exception as error:
        vendor = "" if isinstance(error, NestvecError) else " (a vendor exception escapes)"
        raise AssertionError(f"{rule}: expected {names}, got {type(error).__name__}{vendor}: {error}") from error
    else:
        raise AssertionError(f"{rule}: expected {names}, but nothing was raised")

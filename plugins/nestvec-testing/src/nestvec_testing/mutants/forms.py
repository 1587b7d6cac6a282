"""Adapters that declare something else than they are, or suspend where nothing may."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any, Final

from nestvec.capabilities import Freshness, Power
from nestvec.contract import Adapter, Adoption, Aliases, Count, Funnels, Notes, Scroll, Settling, Updates, VectorStorage
from nestvec_testing.memory import CAPABILITIES, MemoryAdapter
from nestvec_testing.mutants.base import Mutant, register

FORMS: Final[list[Mutant]] = []
mutant = partial(register, FORMS)

_METHODS = {name: value for name, value in vars(MemoryAdapter).items() if name not in ("__dict__", "__weakref__")}
_OTHERS = (Adapter, Aliases, Notes, Updates, Adoption, VectorStorage, Funnels, Settling)
#: Has the methods, but does not inherit the power that it declares.
ClaimsTenancy = mutant("test_powers_are_those_inherited", "but it lacks tenancy")(
    type("ClaimsTenancy", _OTHERS, _METHODS)
)


@mutant("test_powers_are_those_inherited", "but none declares funnels")
class HidesFunnels(MemoryAdapter):
    """Inherits a power that it never declares."""

    declared = replace(CAPABILITIES, powers=CAPABILITIES.powers - {Power.FUNNELS})


@mutant("test_powers_fit_the_other_capabilities", "the power of storage goes with kinds of it")
class KeepsFloatsOnly(MemoryAdapter):
    """Declares the power, and no kind of storage."""

    declared = replace(CAPABILITIES, storage=frozenset({"float32"}))


@mutant("test_powers_fit_the_other_capabilities", "need the power of settling")
class SettlesByNobody(MemoryAdapter):
    """Says that searches find what has settled, and has nothing to settle it with."""

    declared = replace(CAPABILITIES, fresh=Freshness.WHEN_SETTLED, powers=CAPABILITIES.powers - {Power.SETTLING})


@mutant("test_the_blocking_form_never_suspends", "count of what `open` returns suspends")
class SuspendsToCount(MemoryAdapter):
    """Lets others run, in what `open` returns."""

    async def count(self, request: Count) -> int:  # type: ignore[override]  # the contract allows it
        await asyncio.sleep(0)
        return super().count(request)


@mutant("test_the_blocking_form_never_suspends", "scroll of what `open` returns works without an event loop")
class NeedsALoop(MemoryAdapter):
    """Awaits a client that knows event loops only."""

    async def scroll(self, request: Scroll) -> Any:  # type: ignore[override]  # the contract allows it
        await asyncio.sleep(0.001)
        return super().scroll(request)


@mutant("test_the_blocking_form_never_suspends", "is plain or `async def`, but gives Future")
class GivesFutures(MemoryAdapter):
    """Leaves the work to a loop of its own."""

    def count(self, request: Count) -> Any:
        made = asyncio.Future[int](loop=asyncio.new_event_loop())
        made.set_result(super().count(request))
        made.get_loop().close()
        return made

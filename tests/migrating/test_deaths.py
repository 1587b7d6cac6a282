"""A migration may die at any request: somebody answers all the time, and running it again ends it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from nestvec._client import Nestvec
from nestvec._migration.report import MigrationReport

from .world import CASES, MATCHING, SHORTER, Death, Killed, World, answers, corpus, document, expected, filled, settled


class Act:
    """What may die: how it begins, what is run, and what the collection is afterwards."""

    def __init__(
        self, before: dict[str, Any], wanted: dict[str, Any], run: Callable[[Nestvec], MigrationReport]
    ) -> None:
        self.before, self.wanted, self.run = before, wanted, run

    def begin(self, world: World) -> None:
        filled(world, corpus(3))

    @property
    def after(self) -> dict[str, Any]:
        return self.wanted


class Back(Act):
    """Going back, after something was written."""

    def begin(self, world: World) -> None:
        filled(world, corpus(3))
        client = world.open(self.wanted)
        client.migrate("docs")
        client["docs"].upsert([document("d1", 5, "second")])
        client["docs"].upsert(corpus(3))

    @property
    def after(self) -> dict[str, Any]:
        return {}


class Again(Back):
    """Going forward after having gone back."""

    def begin(self, world: World) -> None:
        super().begin(world)
        world.open(self.wanted).rollback("docs")

    @property
    def after(self) -> dict[str, Any]:
        return self.wanted


def migrating(client: Nestvec) -> MigrationReport:
    return client.migrate("docs")


def shrinking(client: Nestvec) -> MigrationReport:
    return client.shrink("docs", 8)


def going_back(client: Nestvec) -> MigrationReport:
    return client.rollback("docs")


ACTS = {
    **{case: Act({}, wanted, migrating) for case, (wanted, _) in CASES.items()},
    "namespaces": Act({"namespaces": True}, MATCHING, migrating),
    "shrink": Act({}, SHORTER, shrinking),
    **{f"back, {case}": Back({}, CASES[case][0], going_back) for case in ("embed", "derive elsewhere")},
    **{f"again, {case}": Again({}, CASES[case][0], migrating) for case in ("embed", "copy elsewhere")},
}


@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
@pytest.mark.parametrize("name", ACTS)
def test_it_may_die_at_any_request_and_goes_on(name: str, after: bool) -> None:
    act = ACTS[name]
    for death in itertools.count():
        world = World(act.before)
        act.begin(world)
        report = dying(world, act, death, after=after)
        if report is not None:
            assert death > 30, "it was never killed"
            break
        assert expected(corpus(3)) in answers(world, act.wanted), f"nobody answers after death {death}"
        report = act.run(world.open(act.wanted))
        assert report.switched or "nothing to do" in report.reason
        settled(world, corpus(3), act.after)
        world.close()
    world.close()


def dying(world: World, act: Act, death: int, *, after: bool) -> MigrationReport | None:
    client = world.open(act.wanted)
    Death(client, death, after=after)
    try:
        return act.run(client)
    except Killed:
        return None

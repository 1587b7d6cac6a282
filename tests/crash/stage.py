"""The collection that campaigns are about, and how their faults are told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from nestvec._client import connect
from nestvec._client.sync import Nestvec
from nestvec._collections import intents
from nestvec._documents.repair import RepairReport
from nestvec.errors import NestvecError
from nestvec.runtime import Runtime
from nestvec_testing.registry import test_registry

from .raw import Place
from .versions import CHUNK

#: Seconds for which handles trust what they looked up, and how much longer what was in flight may take to arrive.
LEASE, GRACE = 1.0, 0.5
#: Seconds by which the clocks of this machine's processes differ.
SKEW = 0.1
#: Seconds after which nothing of a dead writer can be under way any more: it trusted its lease, its last request may
#: have taken another one, and times are kept in whole seconds.
SILENCE = 2 * LEASE + SKEW + 1 + GRACE
_TOLD = 12
#: Records that a repair, and what it looked at, may name without having found anything wrong.
_COUNTS = {"documents", "records"}


def hasten() -> None:
    """Let nobody here wait for clocks of other machines."""
    intents.SKEW = SKEW  # type: ignore[attr-defined]


def config(place: Place) -> dict[str, Any]:
    """One collection, `docs`, there."""
    fields = {"stamp": "keyword", "document": "keyword"}
    return {
        "backends": {"store": dict(place.options)},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {"dimensions": 8, "chunking": {"size": CHUNK}, "fields": fields}},
    }


@contextmanager
def opened(place: Place) -> Iterator[Nestvec]:
    """A client of it in this process."""
    with connect(config(place), Runtime(test_registry(), lease=LEASE)) as client:
        yield client


def attempted(faults: Iterator[str]) -> Iterator[str]:
    """The faults that are found; one more, where looking for them fails."""
    try:
        yield from faults
    except NestvecError as error:
        yield f"{type(error).__name__}: {error}"


def told(faults: Iterable[str]) -> str:
    """Some of them, and how many there are."""
    listed = list(faults)
    return "\n".join([f"{len(listed)} faults", *listed[:_TOLD]])


def found_by(report: RepairReport) -> list[str]:
    """What a repair says that was wrong."""
    counts = {name: value for name, value in asdict(report).items() if name not in _COUNTS}
    return [f"{name}: {value}" for name, value in counts.items() if value]

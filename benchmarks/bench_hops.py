"""How far a call travels through nestvec: files entered, moves between them, frames above the vendor's client.

Nothing here is timed. `count()`, `search()` and `upsert()` of one document are followed on a warm handle on Qdrant's
engine in memory; whoever reads the code, or a traceback, walks the same way. A file counts once it is entered by a
call, a move is every change from one file to another. Also counted are the lines that are printed where a collection
is missing: one that was never created, and one that somebody else dropped under a warm handle.

`--visits` shows the whole way.
"""

from __future__ import annotations

import argparse
import functools
import inspect
import json
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from qdrant_client import QdrantClient
from qdrant_client.local.qdrant_local import QdrantLocal

import nestvec
from nestvec import Collection, Document, F

#: The synchronous clients of its vendor.
VENDOR = (QdrantLocal, QdrantClient)
VALUES: dict[str, Any] = {
    "backends": {"q": {"use": "qdrant", "path": ":memory:"}},
    "embedders": {"m": {"use": "e5"}},
    "collections": {"docs": {"dimensions": 128, "fields": {"lang": "keyword"}}},
}
CALLS: dict[str, Callable[[Collection], object]] = {
    "count": lambda docs: docs.count(),
    "search": lambda docs: docs.search("How many days of vacation do I get?", limit=2, where=F.lang == "de"),
    "upsert": lambda docs: docs.upsert([Document("hr-7", "Jeder hat dreissig Tage Urlaub.", {"lang": "de"})]),
}


def inside(file: str) -> str | None:
    """A file of nestvec's distributions, from its package on; None for every other."""
    _, _, path = file.replace("\\", "/").replace("/site-packages/", "/src/").rpartition("/src/")
    return path if path.startswith("nestvec") and file != __file__ else None


def frames_above(frame: FrameType | None) -> list[str]:
    """Nestvec's frames of a stack, outermost first: `file:line function`."""
    found: list[str] = []
    while frame is not None:
        if path := inside(frame.f_code.co_filename):
            found.append(f"{path}:{frame.f_lineno} {frame.f_code.co_qualname}")
        frame = frame.f_back
    return found[::-1]


@dataclass
class Trip:
    """The way of one call: files in the order of visits, and the stack when the vendor was called deepest."""

    visits: list[str] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)
    vendor: str = ""

    def entered(self, frame: FrameType, event: str, _: object) -> None:
        """Hear of a profiler's event."""
        if event == "call" and (path := inside(frame.f_code.co_filename)) and self.visits[-1:] != [path]:
            self.visits.append(path)

    def called(self, method: str, caller: FrameType | None) -> None:
        """Hear of a call of the vendor's client."""
        if len(frames := frames_above(caller)) > len(self.frames):
            self.frames, self.vendor = frames, method

    def as_json(self) -> dict[str, Any]:
        """What was counted, and of what."""
        return {
            "files": sorted(set(self.visits)),
            "moves": len(self.visits) - 1,
            "visits": self.visits,
            "vendor": self.vendor,
            "frames": self.frames,
        }


class Vendor:
    """Listens at the vendor's clients, for the rest of this process."""

    def __init__(self) -> None:
        self.trip: Trip | None = None
        self.client: Any = None
        for kind in VENDOR:
            for name, method in inspect.getmembers(kind, inspect.isfunction):
                if not name.startswith("_"):
                    setattr(kind, name, self._heard(name, method))

    def _heard(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(client: Any, *arguments: Any, **options: Any) -> Any:
            self.client = client
            if self.trip is not None:
                self.trip.called(name, sys._getframe(1))  # noqa: SLF001 - as a debugger does
            return method(client, *arguments, **options)

        return call

    def drop_everything(self) -> None:
        """What somebody else may do to a database."""
        for each in self.client.get_collections().collections:
            self.client.delete_collection(each.name)

    @contextmanager
    def following(self) -> Iterator[Trip]:
        """Everything called in this block, in threads that it starts, too."""
        self.trip = trip = Trip()
        threading.setprofile(trip.entered)
        sys.setprofile(trip.entered)
        try:
            yield trip
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
            self.trip = None


@contextmanager
def warm() -> Iterator[Collection]:
    """A handle that has done all of this before: modules are imported, the model is loaded, the collection is known."""
    with nestvec.connect(VALUES) as nv:
        nv.apply()
        docs = nv["docs"]
        docs.upsert(Document(name, "warm up text", {"lang": "de"}) for name in "ab")
        for call in CALLS.values():
            call(docs)
        docs.delete("hr-7")
        yield docs


def trips(vendor: Vendor) -> dict[str, Any]:
    """The way of each call."""
    found = {}
    with warm() as docs:
        for name, call in CALLS.items():
            with vendor.following() as trip:
                call(docs)
            found[name] = trip.as_json()
    return found


def printed(call: Callable[[Collection], object], docs: Collection) -> int:
    """Lines of the traceback of a call that fails, below one frame of the caller's."""
    try:
        call(docs)
    except nestvec.NestvecError as error:
        start = error.__traceback__
        error.__traceback__ = start and start.tb_next  # without this function
        return len("".join(traceback.format_exception(error)).splitlines())
    raise AssertionError("the collection is there")


def never_created() -> dict[str, int]:
    """Lines by call where nobody called `apply`."""
    with nestvec.connect(VALUES) as nv:
        return {name: printed(call, nv["docs"]) for name, call in CALLS.items()}


def dropped(vendor: Vendor) -> dict[str, int]:
    """Lines by call where the collection is gone, and the handle does not know it yet."""
    lines = {}
    for name, call in CALLS.items():
        with warm() as docs:
            vendor.drop_everything()
            lines[name] = printed(call, docs)
    return lines


def measure() -> dict[str, Any]:
    """Everything that this benchmark counts."""
    vendor = Vendor()
    return {"calls": trips(vendor), "never_created": never_created(), "dropped": dropped(vendor)}


def show(result: dict[str, Any], *, visits: bool) -> None:
    """The table, and the ways if wanted."""
    print(f"{'':8} {'files':>6} {'moves':>6} {'frames above the client':>24} {'lines where missing (dropped)':>30}")
    for name, trip in result["calls"].items():
        frames = f"{len(trip['frames'])} ({trip['vendor']})"
        lines = f"{result['never_created'][name]} ({result['dropped'][name]})"
        print(f"{name:8} {len(trip['files']):6} {trip['moves']:6} {frames:>24} {lines:>30}")
    if visits:
        for name, trip in result["calls"].items():
            print(f"\n{name}:", *trip["visits"], sep="\n  ")
            print(f"\n{name}, above {trip['vendor']}:", *trip["frames"], sep="\n  ")


def main() -> None:
    """Print what was counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visits", action="store_true", help="every visit of a file, in order")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure()
    if options.json:
        print(json.dumps(result))
    else:
        show(result, visits=options.visits)


if __name__ == "__main__":
    main()

"""What a mutant is, and how the kit is run against it without a test session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from nestvec.contract import Adapter
from nestvec_testing.adapters import AdapterConformance
from nestvec_testing.bench import BackendUnderTest, Bench
from nestvec_testing.embedder_bench import EmbedderBench, EmbedderUnderTest
from nestvec_testing.embedders import EmbedderConformance
from nestvec_testing.loop import Driver
from nestvec_testing.memory import CAPABILITIES, foreign_layout
from nestvec_testing.memory import nestvec_backend as memory
from nestvec_testing.recording import RecordingEmbedder
from nestvec_testing.recording import nestvec_embedder as recording

C = TypeVar("C", bound=type)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A plugin broken in one way: the `check` of the kit that catches it, and words of its message.

    `subject` is what the kit's fixture would return.
    """

    name: str
    subject: BackendUnderTest | EmbedderUnderTest
    check: str
    reason: str

    def run(self, driver: Driver = "sync") -> None:
        """Run the check that must catch it. Raises `AssertionError` if it does."""
        run_check(self.subject, self.check, driver)


def run_check(subject: BackendUnderTest | EmbedderUnderTest, check: str, driver: Driver = "sync") -> None:
    """Run one test of the kit on a plugin, outside pytest. Raises what the test raises."""
    if isinstance(subject, BackendUnderTest):
        with Bench(subject, driver) as bench:
            getattr(AdapterConformance(), check)(bench)
    else:
        with EmbedderBench(subject, driver) as embedder_bench:
            getattr(EmbedderConformance(), check)(embedder_bench)


def register(found: list[Mutant], check: str, reason: str, **options: Any) -> Callable[[C], C]:
    """Class decorator: a subclass of `MemoryAdapter` or `RecordingEmbedder` becomes a mutant of its name.

    An adapter's attribute `declared` is what its plugin declares; without it that is what `MemoryAdapter` can do.
    """

    def add(broken: C) -> C:
        found.append(Mutant(broken.__name__, _subject(broken, options), check, reason))
        return broken

    return add


def _subject(broken: Any, options: Any) -> BackendUnderTest | EmbedderUnderTest:
    if issubclass(broken, Adapter):
        declared = getattr(broken, "declared", CAPABILITIES)
        plugin = replace(memory(), open=broken, capabilities=lambda _: declared)
        return BackendUnderTest(plugin, options, foreign=foreign_layout)
    assert issubclass(broken, RecordingEmbedder), f"{broken} must break one of the kit's own plugins"
    return EmbedderUnderTest(replace(recording(), open=broken), options)

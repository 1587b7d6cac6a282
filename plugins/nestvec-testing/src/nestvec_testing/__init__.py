"""The test kit: conformance suites for adapters and embedders, and stand-ins for both.

A plugin's author subclasses `AdapterConformance` or `EmbedderConformance` and provides one fixture. Importing this
package is cheap; its parts are imported when they are used.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nestvec_testing.adapters import SAMPLE, AdapterConformance
    from nestvec_testing.bench import BackendUnderTest, Bench
    from nestvec_testing.discarding import DiscardingAdapter
    from nestvec_testing.embedder_bench import EmbedderBench, EmbedderUnderTest
    from nestvec_testing.embedders import EmbedderConformance
    from nestvec_testing.memory import MemoryAdapter
    from nestvec_testing.recording import RecordingEmbedder
    from nestvec_testing.registry import test_registry
    from nestvec_testing.requests import SideRequest, Splitting, Wait, Within, bare
    from nestvec_testing.stepping import Asking, Stepper, answered, perform, trace
    from nestvec_testing.watchdog import run_watched

__all__ = [
    "SAMPLE",
    "AdapterConformance",
    "Asking",
    "BackendUnderTest",
    "Bench",
    "DiscardingAdapter",
    "EmbedderBench",
    "EmbedderConformance",
    "EmbedderUnderTest",
    "MemoryAdapter",
    "RecordingEmbedder",
    "SideRequest",
    "Splitting",
    "Stepper",
    "Wait",
    "Within",
    "answered",
    "bare",
    "perform",
    "run_watched",
    "test_registry",
    "trace",
]

_WHERE = {
    "SAMPLE": "adapters",
    "AdapterConformance": "adapters",
    "SideRequest": "requests",
    "Asking": "stepping",
    "BackendUnderTest": "bench",
    "Bench": "bench",
    "DiscardingAdapter": "discarding",
    "EmbedderBench": "embedder_bench",
    "EmbedderConformance": "embedders",
    "EmbedderUnderTest": "embedder_bench",
    "MemoryAdapter": "memory",
    "RecordingEmbedder": "recording",
    "Splitting": "requests",
    "Stepper": "stepping",
    "Wait": "requests",
    "Within": "requests",
    "answered": "stepping",
    "bare": "requests",
    "perform": "stepping",
    "run_watched": "watchdog",
    "test_registry": "registry",
    "trace": "stepping",
}
#: Modules that hold assertions, for pytest to explain.
_REWRITTEN = ("adapters", "bench", "data", "embedder_bench", "embedders", "guard", "mutants", "suspending")

if "pytest" in sys.modules:
    sys.modules["pytest"].register_assert_rewrite(*(f"{__name__}.{name}" for name in _REWRITTEN))


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

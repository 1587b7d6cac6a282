"""What every module of the adapter kit builds on: the fixtures."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from nestvec_testing.bench import BackendUnderTest, Bench
from nestvec_testing.guard import Guarded
from nestvec_testing.loop import DRIVERS, Driver

#: How many times more examples are tried by a class marked `soak`, and everywhere while NESTVEC_SOAK is set.
SOAK = 20


class AdapterKit(Guarded):
    """Each test takes one `bench` and runs twice: with the synchronous and with the asynchronous client."""

    @pytest.fixture
    def backend(self) -> BackendUnderTest:
        """To be provided by the subclass."""
        raise NotImplementedError(
            f"{type(self).__name__} must define a fixture `backend` that returns a nestvec_testing.BackendUnderTest"
        )

    @pytest.fixture(params=DRIVERS)
    def driver(self, request: pytest.FixtureRequest) -> Driver:
        """Which client and driver."""
        chosen: Driver = request.param
        return chosen

    @pytest.fixture
    def bench(self, backend: BackendUnderTest, driver: Driver, request: pytest.FixtureRequest) -> Iterator[Bench]:
        """The backend, ready for the test, and cleared away after it."""
        soak = request.node.get_closest_marker("soak") is not None or bool(os.environ.get("NESTVEC_SOAK"))
        effort = SOAK if soak else 1
        with Bench(backend, driver, effort=effort) as bench:
            yield bench

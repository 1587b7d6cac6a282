"""Errors between processes: each class, with all that it carries, and the pool of workers goes on."""

from __future__ import annotations

import copy
import importlib
import multiprocessing
import pickle
import pkgutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from nestvec.errors import ConfigError, HostMismatch, IngestFailed, NestvecError, SpaceMismatch
from nestvec.types import FailedDocument, FieldMisfit, Report

PACKAGES = ("nestvec", "nestvec_qdrant", "nestvec_milvus", "nestvec_pinecone", "nestvec_e5", "nestvec_sagemaker")
REPORT = Report(
    1, failed=(FailedDocument("a", "no text", 3, "a.jsonl"),), misfits=(FieldMisfit("y", "integer", 1, "a", "x"),)
)
#: How errors with more than a message are made.
MADE: dict[str, Callable[[type[Any]], NestvecError]] = {
    "ConfigError": lambda kind: kind("wrong", ["one", "two"]),
    "SecretError": lambda kind: kind("missing", ["no key"]),
    "SpaceMismatch": lambda kind: kind("differs", {"dimensions": (8, 16)}),
    "HostMismatch": lambda kind: kind("differs", made_by="a", host="b", least=0.5, median=0.75),
    "Throttled": lambda kind: kind("slower", "requests", 2.5),
    "IngestFailed": lambda kind: kind("failed", REPORT),
}


def classes() -> list[type[NestvecError]]:
    """Every class of ours, of the core and of the plugins that are here."""
    for package in PACKAGES:
        root = importlib.import_module(package)
        for found in pkgutil.walk_packages(root.__path__, f"{package}."):
            if "testing" not in found.name and not found.name.endswith("__main__"):
                importlib.import_module(found.name)

    def below(kind: type[NestvecError]) -> Iterator[type[NestvecError]]:
        yield kind
        for each in kind.__subclasses__():
            yield from below(each)

    return sorted(
        {each for each in below(NestvecError) if each.__module__.split(".")[0] in PACKAGES},
        key=lambda each: each.__name__,
    )


def made(kind: type[NestvecError]) -> NestvecError:
    error = MADE.get(kind.__name__, lambda each: each("the message\nof \x1b two lines"))(kind)
    error.add_note("a note")
    error.__cause__ = OSError(5, "the disk")
    return error


def fail(name: str) -> None:
    """In a worker: raise an error of this class."""
    raise made(next(each for each in classes() if each.__name__ == name))


def same(one: NestvecError, two: NestvecError) -> None:
    assert type(one) is type(two)
    assert (one.args, str(one), one.__dict__) == (two.args, str(two), two.__dict__)


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_each_error_pickles_and_copies_with_all_that_it_carries(kind: type[NestvecError]) -> None:
    error = made(kind)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        same(again, error)
        assert "OSError" in str(again.__cause__)
        assert "the disk" in str(again.__cause__)
    same(copy.deepcopy(error), error)
    same(copy.copy(error), error)


def test_causes_of_ours_stay_what_they_are() -> None:
    error = SpaceMismatch("outer", {"model": ("a", "b")})
    error.__cause__ = HostMismatch("inner", made_by="a", host="b", least=0.1, median=0.2)
    again = pickle.loads(pickle.dumps(error)).__cause__
    assert isinstance(again, HostMismatch)
    assert (again.least, again.host) == (0.1, "b")


def test_a_pool_of_processes_survives_each_class() -> None:
    names = [kind.__name__ for kind in classes()]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for name, future in [(name, pool.submit(fail, name)) for name in names]:
            told = future.exception()
            assert type(told).__name__ == name, told
        assert pool.submit(len, "goes on").result() == 7


def test_what_an_error_carries_is_usable_in_the_other_process() -> None:
    again = pickle.loads(pickle.dumps(IngestFailed("failed", REPORT)))
    assert again.report == REPORT
    again = pickle.loads(pickle.dumps(ConfigError("wrong", ["one", "two"])))
    assert again.problems == ("one", "two")


def test_errors_that_are_each_others_cause_travel() -> None:
    one, two = ConfigError("one", ["a"]), ConfigError("two", ["b"])
    one.__cause__, two.__cause__ = two, one
    again = pickle.loads(pickle.dumps(one))
    assert str(again.__cause__) == str(two)
    assert again.__cause__.__cause__ is again

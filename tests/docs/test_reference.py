"""Signatures, docstrings and the reference pages say the same, and every example runs, awaited ones too."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import doctest
import enum
import inspect
import shutil
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

import nestvec
from nestvec import Document, Runtime, errors

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))  # the scripts that write the pages

from docstrings import Docstring, names, parse  # noqa: E402
from python_reference import (  # noqa: E402
    CHAPTERS,
    EXAMPLES,
    FACES,
    GIVEN,
    TWINS,
    async_page,
    awaited,
    explained,
    find,
    function_of,
    methods_of,
    properties_of,
    python_page,
)

#: They raise nothing of their own: they close, or tell what is known already.
NEVER_RAISE = {"close", "close_shared_clients", "to_dict", "differences", "notify", "pause", "exists"}
#: What raises `InvalidName` and no more is said by the class.
CLASSES = [name for name in nestvec.__all__ if inspect.isclass(getattr(nestvec, name))] + ["FieldExpression", "Filter"]
CLASSES.remove("NestvecError")
FUNCTIONS = [name for name in nestvec.__all__ if inspect.isfunction(getattr(nestvec, name))]
METHODS = [f"{name}.{method}" for name in CLASSES for method in methods_of(find(name))]
EVERYTHING = [*CLASSES, *FUNCTIONS, *METHODS]
#: Values that people make themselves.
MADE = {"Chunk", "Document", "Question", "RetryPolicy", "Runtime", "DimensionsOptions", "EmbeddingSpace", "TaskPair"}


def parameters(value: Any) -> list[str]:
    return [name for name in inspect.signature(value).parameters if name not in ("self", "cls")]


def own(name: str) -> Docstring:
    return parse(function_of(find(name)))


def test_there_is_a_public_face() -> None:
    assert len(METHODS) > 60
    assert {"Collection.search", "DimensionsReport.from_dict", "Page.ids"} - set(METHODS) == {"Page.ids"}


@pytest.mark.parametrize("name", [*FUNCTIONS, *METHODS])
def test_a_docstring_names_exactly_the_parameters(name: str) -> None:
    told, value = explained(name), function_of(find(name))
    assert names(told.args) == parameters(value)
    answers = inspect.signature(value).return_annotation
    said = told.yields if "Iterator" in answers else told.returns
    assert bool(said) == (answers != "None"), f"{name} gives {answers}"


@pytest.mark.parametrize("name", [*FUNCTIONS, *METHODS])
def test_a_docstring_says_what_is_raised_and_shows_an_example(name: str) -> None:
    told = explained(name)
    assert told.example
    assert bool(told.raises) != (name.rpartition(".")[2] in NEVER_RAISE)


@pytest.mark.parametrize("name", EVERYTHING)
def test_what_is_raised_is_an_error(name: str) -> None:
    for each in names(explained(name).raises):
        assert inspect.isclass(getattr(errors, each, None)) or each == "KeyError", each


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_names_exactly_its_fields(name: str) -> None:
    kind, told = find(name), explained(name)
    if issubclass(kind, enum.Enum):
        assert names(told.attributes) == [each.name for each in kind]
    elif dataclasses.is_dataclass(kind) and name != "Filter":
        assert names(told.attributes) == [each.name for each in dataclasses.fields(kind)]
    assert bool(told.example) == (name in MADE or name in ("FieldExpression", "Filter"))
    for each in properties_of(kind).values():
        assert inspect.getdoc(each)


@pytest.mark.parametrize("name", [name for name in EVERYTHING if name.startswith(("Async", "aco"))])
def test_a_twin_refers_to_the_other_and_repeats_nothing(name: str) -> None:
    first, dot, rest = name.partition(".")
    one = next(key for key, value in TWINS.items() if value == first)
    told = own(name)
    if rest != "namespace":  # inherited by both
        assert told.twin is not None
        assert told.twin.removeprefix("nestvec.") == f"{one}{dot}{rest}"
        assert "\n" not in told.prose
        assert not told.args


@pytest.mark.parametrize(("one", "other"), [(one, other) for one, other in TWINS.items() if one not in GIVEN])
def test_both_functions_have_the_same_parameters_and_defaults(one: str, other: str) -> None:
    _check_alike(find(one), find(other))


@pytest.mark.parametrize("kind", ["Nestvec", "Collection"])
def test_both_clients_have_the_same_methods_with_the_same_parameters_and_defaults(kind: str) -> None:
    one, other = find(kind), find(TWINS[kind])
    assert methods_of(one) == methods_of(other)
    twins = {FACES.get(f"{kind}.{name}", name).rpartition(".")[2] for name in properties_of(one)}
    assert twins == properties_of(other).keys()
    for name in methods_of(one):
        _check_alike(getattr(one, name), getattr(other, name))


def _check_alike(one: Callable[..., Any], other: Callable[..., Any]) -> None:
    pairs = zip(inspect.signature(one).parameters.values(), inspect.signature(other).parameters.values(), strict=True)
    for mine, theirs in pairs:
        assert (mine.name, mine.kind, mine.default) == (theirs.name, theirs.kind, theirs.default)
        if mine.name != "documents":  # they may arrive asynchronously
            assert mine.annotation == theirs.annotation


def test_every_name_has_its_place_on_a_page() -> None:
    listed = [name for named in CHAPTERS.values() for name in named]
    assert len(listed) == len(set(listed))
    synchronous = [name for name in nestvec.__all__ if name not in (*TWINS.values(), "F", "ID", "NestvecError")]
    members = [f"{kind}.{name}" for kind in ("Nestvec", "Collection") for name in methods_of(find(kind))]
    members += [f"{kind}.{name}" for kind in ("Nestvec", "Collection") for name in properties_of(find(kind))]
    assert set(listed) == {*synchronous, *members}


def test_the_pages_are_up_to_date() -> None:
    for name, text in (("python.md", python_page()), ("python-async.md", async_page())):
        page = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
        assert page.partition("\n")[2] == text, f"{name} is out of date; run `make docs`"


# ---------------------------------------------------------------- the examples run


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples start from, on disk."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copy(EXAMPLES / "nestvec.toml", folder)
    with contextlib.chdir(folder):
        before = (folder / "nestvec.toml").read_text(encoding="utf-8").replace("dimensions = 128\n", "")
        (folder / "before.toml").write_text(before, encoding="utf-8")
        with nestvec.connect("before.toml") as nv:
            nv.apply("handbook", "shared")
            nv["handbook"].upsert([Document("vacation", "There are 30 days of vacation."), Document("b", "Else.")])
            nv["shared"].namespace("acme").upsert([Document("a", "Everything about acme.")])
        namespace: dict[str, Any] = {}
        exec(compile((EXAMPLES / "start.py").read_text(encoding="utf-8"), "start.py", "exec"), namespace)
        namespace["nv"].close()
        _make_articles("store")
    return folder


def _make_articles(path: str) -> None:
    """What LangChain would have made."""
    payloads = [{"page_content": text, "metadata": {"lang": "en"}} for text in ("Holidays.", "Expenses.")]
    with contextlib.closing(QdrantClient(path=path)) as client:
        client.create_collection("articles", models.VectorParams(size=384, distance=models.Distance.COSINE))
        points = [models.PointStruct(id=i, vector=[1.0] * 384, payload=each) for i, each in enumerate(payloads)]
        client.upsert("articles", points)


@pytest.fixture
def started(prepared: Path, tmp_path: Path) -> Iterator[Runtime]:
    """A folder of the example's own, and time that does not take any."""
    folder = tmp_path / "example"
    shutil.copytree(prepared, folder)
    clock = Clock()
    with contextlib.chdir(folder):
        yield Runtime(clock=clock, wall=clock, pause=clock.pause)


NAMES = {"nestvec": nestvec, "Document": Document, "F": nestvec.F}
EXAMPLED = [name for name in EVERYTHING if explained(name).example]


@pytest.mark.parametrize("name", [*(name for name in EXAMPLED if own(name).twin is None), "F"])
def test_an_example_runs(name: str, started: Runtime) -> None:
    example = parse(type(nestvec.F)).example if name == "F" else explained(name).example
    with nestvec.connect("nestvec.toml", started) as nv:
        namespace = {**NAMES, "nv": nv, "docs": nv["docs"]}
        if "nestvec.connect(" in example:
            nv.close()  # one at a time holds the folder
        for each in doctest.DocTestParser().get_examples(example, name):
            printed = StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(each.source, name, "single"), namespace)
            assert printed.getvalue() == each.want, each.source


@pytest.mark.parametrize("name", [name for name in EXAMPLED if own(name).twin is not None])
async def test_an_awaited_example_runs(name: str, started: Runtime) -> None:
    example = awaited(explained(name).example)
    async with nestvec.aconnect("nestvec.toml", started) as nv:
        namespace = {**NAMES, "nv": nv, "docs": nv["docs"]}
        if "nestvec.aconnect(" in example:
            await nv.close()
        for each in doctest.DocTestParser().get_examples(example, name):
            code = compile(each.source, name, "single", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            printed = StringIO()
            with contextlib.redirect_stdout(printed):
                answer = FunctionType(code, namespace)()
                if inspect.iscoroutine(answer):
                    await answer
            assert printed.getvalue() == each.want, each.source

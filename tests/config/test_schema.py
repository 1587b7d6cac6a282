"""The JSON Schema takes the files that nestvec takes, and refuses what an editor should underline."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from nestvec._artifacts import About
from nestvec.config import json_schema, parse_config
from nestvec.errors import ConfigError
from nestvec.registry import Registry
from nestvec_testing.registry import test_registry

GOOD = """
artifacts = "elsewhere"
[backends.search]
use = "acme"
url = "http://db"
api_key = { env = "ACME_KEY" }
index = { lists = 4 }
[backends.other]
use = "memory"
[embedders.model]
use = "recording"
[embedders.model.cache]
path = "vectors"
size = "500 MB"
[embedders.keyed]
use = "keyed"
api_key = { file = "key.txt" }
cache = { path = "others", size = 2000000 }
nesting = { rotation = "00000000000000a1", min_dimensions = 8, path = "rotations" }
[embedders.third]
use = "recording"
nesting = "00000000000000a2"
[collections.docs]
backend = "search"
embedder = "model"
purpose = "retrieval"
dimensions = 8
metric = "dot"
chunking = { unit = "characters", size = 10, overlap = 2, format = "auto" }
fields = { lang = "keyword", years = "integer[]" }
[collections.docs.acme]
shards = 2
index = { lists = 1 }
[collections.more]
backend = "other"
embedder = "keyed"
dimensions = 8
tasks = { index = "separation" }
late_chunking = true
"""

#: What is wrong: a text of GOOD, and what stands there instead.
BAD = {
    "unknown key at the top": ("[backends.search]", "[backend.search]"),
    "unknown plugin": ('use = "acme"', 'use = "acne"'),
    "no plugin": ('use = "memory"', ""),
    "unknown option": ("url =", "urll ="),
    "unknown nested option": ("index = { lists = 4 }", "index = { list = 4 }"),
    "option of the wrong type": ('url = "http://db"', "url = 5"),
    "literal secret": ('api_key = { env = "ACME_KEY" }', 'api_key = "sk-1"'),
    "unknown place of a secret": ('{ env = "ACME_KEY" }', '{ value = "ACME_KEY" }'),
    "unknown key of a collection": ("dimensions = 8", "dimension = 8"),
    "dimensions as text": ("dimensions = 8", 'dimensions = "8"'),
    "unknown metric": ('"dot"', '"cosin"'),
    "unknown purpose": ('"retrieval"', '"search"'),
    "unknown unit": ('"characters"', '"words"'),
    "unknown key of chunking": ("overlap = 2", "overlaps = 2"),
    "size of nothing": ("size = 10", "size = 0"),
    "unknown field type": ('"keyword"', '"string"'),
    "unknown task key": ("{ index = ", "{ indices = "),
    "flag as text": ("late_chunking = true", 'late_chunking = "yes"'),
    "unknown collection option": ("shards = 2", "shard = 2"),
    "cache without a folder": ('path = "vectors"', ""),
    "unknown key of a cache": ("size = 2000000", "sizes = 2000000"),
    "cache without room": ("size = 2000000", "size = 2"),
    "size in words": ("500 MB", "a lot"),
    "no fingerprint": ("00000000000000a2", "the best one"),
    "unknown key of a nesting": ("min_dimensions", "minimum"),
    "nesting without a rotation": ('rotation = "00000000000000a1", ', ""),
    "no prefix at all": ("min_dimensions = 8", "min_dimensions = 0"),
    "a folder that is none": ('artifacts = "elsewhere"', "artifacts = 5"),
    "cache of a backend": ("[embedders.model.cache]", "[backends.search.cache]"),
    "options of no backend": ("[collections.docs.acme]", "[collections.docs.acne]"),
}


@pytest.fixture(autouse=True)
def rotations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The artifacts that GOOD names. Their matrices are not read here."""
    monkeypatch.chdir(tmp_path)
    for folder, name in (("rotations", "00000000000000a1"), ("elsewhere", "00000000000000a2")):
        about = {"fingerprint": name, **asdict(About("recording-v3", 64))}
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.npy").touch()
        (tmp_path / folder / f"{name}.json").write_text(json.dumps(about), encoding="utf-8")


def violations(value: Any, schema: Any, root: Mapping[str, Any]) -> Iterator[str]:
    """What a validator would say, for the keywords that the schema uses. Refuses any other keyword."""
    if schema in (True, False):
        yield from [] if schema else ["nothing may stand here"]
        return
    unknown = set(schema) - _KEYWORDS.keys() - _ANNOTATIONS
    assert not unknown, f"teach this test {unknown}"
    for keyword, check in _KEYWORDS.items():
        if keyword in schema and check is not None:
            yield from check(value, schema, root)


def _ref(value: Any, schema: Any, root: Mapping[str, Any]) -> Iterator[str]:
    target: Any = root
    for part in schema["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    return violations(value, target, root)


def _type(value: Any, schema: Any, root: Mapping[str, Any]) -> Iterator[str]:
    kinds = {"object": dict, "string": str, "boolean": bool, "integer": int, "number": (int, float), "array": list}
    kind = schema["type"]
    fits = value is None if kind == "null" else isinstance(value, kinds[kind])
    if not fits or (isinstance(value, bool) and kind != "boolean"):
        yield f"{value!r} is no {kind}"


def _object(value: Any, schema: Any, root: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    for name, item in value.items():
        part = schema.get("properties", {}).get(name, schema.get("additionalProperties", True))
        yield from (f"{name}: {problem}" for problem in violations(item, part, root))


def _count(keyword: str, wanted: int | None) -> Any:
    def check(value: Any, schema: Any, root: Mapping[str, Any]) -> Iterator[str]:
        fitting = sum(not list(violations(value, choice, root)) for choice in schema[keyword])
        if fitting == 0 or (wanted is not None and fitting != wanted):
            yield f"{value!r} fits {fitting} of {keyword}"

    return check


def _simple(keyword: str, fits: Any) -> Any:
    def check(value: Any, schema: Any, root: Mapping[str, Any]) -> Iterator[str]:
        if not fits(value, schema[keyword]):
            yield f"{value!r} against {keyword} {schema[keyword]!r}"

    return check


_ANNOTATIONS = {"title", "description", "default", "format", "$schema"}
_KEYWORDS: dict[str, Any] = {
    "$ref": _ref,
    "$defs": None,
    "type": _type,
    "properties": _object,
    "additionalProperties": lambda value, schema, root: () if "properties" in schema else _object(value, schema, root),
    "anyOf": _count("anyOf", None),
    "oneOf": _count("oneOf", 1),
    "const": _simple("const", lambda value, wanted: value == wanted),
    "enum": _simple("enum", lambda value, wanted: value in wanted),
    "required": _simple("required", lambda value, wanted: not isinstance(value, dict) or set(wanted) <= set(value)),
    "minimum": _simple("minimum", lambda value, least: not isinstance(value, int) or value >= least),
    "exclusiveMinimum": _simple("exclusiveMinimum", lambda value, least: not isinstance(value, int) or value > least),
    "maximum": _simple("maximum", lambda value, most: not isinstance(value, int) or value <= most),
    "items": None,
    "prefixItems": None,
    "minItems": None,
    "maxItems": None,
    "uniqueItems": None,
    "minLength": _simple("minLength", lambda value, least: not isinstance(value, str) or len(value) >= least),
    "pattern": _simple("pattern", lambda value, wanted: not isinstance(value, str) or re.search(wanted, value)),
}


def test_a_good_file_is_valid(registry: Registry) -> None:
    values = tomllib.loads(GOOD)
    parse_config(values, registry)
    schema = json_schema(registry)
    assert list(violations(values, schema, schema)) == []


@pytest.mark.parametrize("mistake", BAD)
def test_a_bad_file_is_invalid_for_the_schema_as_for_nestvec(registry: Registry, mistake: str) -> None:
    before, after = BAD[mistake]
    assert before in GOOD
    values = tomllib.loads(GOOD.replace(before, after, 1))
    schema = json_schema(registry)
    assert list(violations(values, schema, schema))
    with pytest.raises(ConfigError):
        parse_config(values, registry)


def test_it_is_json_of_a_stated_draft_and_every_reference_leads_somewhere(registry: Registry) -> None:
    schema = json_schema(registry)
    text = json.dumps(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    references = set(re.findall(r'"\$ref": "#/\$defs/([^"]+)"', text))
    assert references
    assert references <= set(schema["$defs"])


def test_every_installed_plugin_has_its_own_options_in_it(registry: Registry) -> None:
    schema = json_schema(registry)
    offered = {
        choice["$ref"].rpartition("/")[2]
        for choice in schema["properties"]["backends"]["additionalProperties"]["oneOf"]
    }
    assert offered == {f"backends_{name}" for name in registry.names("nestvec.backends")}
    assert schema["$defs"]["backends_acme"]["properties"]["use"] == {"const": "acme"}


def test_a_broken_plugin_takes_nothing_from_the_others_and_its_own_options_are_open() -> None:
    registry = test_registry(backend_gone="a_module_that_is_absent", embedder_gone="a_module_that_is_absent")
    schema = json_schema(registry)
    broken = {"backends": {"x": {"use": "gone", "any": 1}}, "embedders": {"x": {"use": "gone", "any": 1}}}
    assert list(violations(broken, schema, schema)) == []
    assert list(violations({"backends": {"x": {"use": "memory", "any": 1}}}, schema, schema))

"""What is stored otherwise than wanted: one answer, that opening, `apply` and migrations read alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nestvec._collections.checks import vouch
from nestvec._collections.differences import Aspect, Difference, differences
from nestvec._specs import CollectionSpec, StoredCollection
from nestvec.capabilities import BackendCapabilities
from nestvec.config import parse_config
from nestvec.contract import CollectionInfo
from nestvec.errors import CollectionConflict, SpaceMismatch
from nestvec.types import Field, FieldType, Storage
from nestvec_testing.registry import test_registry

CAN = BackendCapabilities(storage_updates=frozenset({(Storage.FLOAT32, Storage.INT8)}))


def spec() -> CollectionSpec:
    values = {
        "backends": {"store": {"use": "memory"}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {"docs": {"dimensions": 32, "fields": {"year": "integer", "lang": "keyword"}}},
    }
    return parse_config(values, test_registry()).collections["docs"]


def found(wanted: CollectionSpec, **info: Any) -> list[Difference]:
    made = spec()
    there = CollectionInfo("docs_1", made.vectors, made.metric, made.record(1))
    stored = StoredCollection.read(there.record, "docs_1")
    return differences(wanted, replace(there, **info), stored, CAN, backend="store")


def test_what_is_as_it_is_wanted_differs_in_nothing() -> None:
    assert found(spec()) == []


def changed(**changes: Any) -> CollectionSpec:
    return replace(spec(), **changes)


SHORTER = replace(spec().space, dimensions=8)
YEARS = {"year": Field(FieldType.FLOAT), "lang": Field(FieldType.KEYWORD)}


@pytest.mark.parametrize(
    ("wanted", "aspect", "path", "in_place"),
    [
        (changed(space=SHORTER), Aspect.SPACE, "space.dimensions", False),
        (changed(backend="other"), Aspect.BACKEND, "backend", False),
        (changed(funnel=(4,)), Aspect.STRUCTURE, "funnel", False),
        (changed(namespaces=True), Aspect.STRUCTURE, "namespaces", False),
        (changed(storage=Storage.FLOAT16), Aspect.STRUCTURE, "storage", False),
        (changed(storage=Storage.INT8), Aspect.STRUCTURE, "storage", True),
        (changed(fields=YEARS), Aspect.FIELD, "field 'year'", False),
        (changed(fields={"year": spec().fields["year"]}), Aspect.FIELD, "field 'lang'", True),
        (changed(store_text=False), Aspect.SETTING, "store_text", True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_difference_says_what_it_is_about_and_whether_apply_changes_it(
    wanted: CollectionSpec, aspect: Aspect, path: str, in_place: bool
) -> None:
    (one,) = found(wanted)
    assert (one.aspect, one.path, one.in_place) == (aspect, path, in_place)
    assert one.sentence


@pytest.mark.parametrize("wanted", [changed(funnel=(4,)), changed(fields=YEARS), changed(space=SHORTER)])
def test_what_is_not_changed_in_place_is_not_opened(wanted: CollectionSpec) -> None:
    made = spec()
    there = CollectionInfo("docs_1", made.vectors, made.metric, made.record(1))
    with pytest.raises((CollectionConflict, SpaceMismatch)):
        vouch(wanted, there, CAN)


def test_an_index_that_is_missing_is_completed_in_place() -> None:
    (one,) = found(spec(), fields={"year": spec().fields["year"]})
    assert (one.sentence, one.in_place) == ("complete the index of field 'lang'", True)

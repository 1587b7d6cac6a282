"""What the campaigns, and thinking about them, once found: each kind in the smallest input."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from qdrant_client.http.exceptions import UnexpectedResponse
from tests.fuzz.test_artifacts import CANARIES, FENCE, RECORD, SPACE, headed
from tests.fuzz.test_configuration import REGISTRY
from tests.fuzz.test_readers import written
from tests.writers.world import World

from nestvec._artifacts import Artifact
from nestvec._collections.intents import Intent, read_intents
from nestvec._collections.superseded import Supersedes
from nestvec._collections.write_fence import WriteFence
from nestvec._documents.repair import finish
from nestvec._hosts.note import Canaries
from nestvec._migration.generations import MigrationNote
from nestvec._readers import ReadFailure, read
from nestvec._similar import closest
from nestvec._specs import StoredCollection
from nestvec.config import load_config, parse_config
from nestvec.contract import ErrorContext
from nestvec.contract.replies import too_large
from nestvec.embedders.jina.wire import decode
from nestvec.errors import (
    CollectionError,
    ConfigError,
    EmbedderInvalidReply,
    InvalidFilter,
    InvalidInput,
    NestvecError,
    SpaceError,
    SpaceUnknown,
)
from nestvec.filters import resolve
from nestvec.masking import presentable
from nestvec.types import Field, FieldType, Record
from nestvec_pinecone.records import record_of
from nestvec_qdrant.errors import translate
from nestvec_testing.memory import _Stored

HUGE = 10**5000

# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("rows = " + "9" * 5000, "too many digits"),
        ("rows = 0x" + "f" * 5000, "limits.rows: expected a whole number of at most 64 bits"),
        ('file = "1e400 GB"', "limits.file: expected a size"),
        ('file = "' + "9" * 400 + ' GB"', "limits.file: expected a size"),
        ("file = inf", "limits.file: expected a size"),
        ('file = "a\\u0000b"', "limits.file: holds the character NUL"),
    ],
)
def test_numbers_and_texts_that_nothing_can_hold(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "nestvec.toml"
    file.write_text(f"[limits]\n{line}\n")
    with pytest.raises(ConfigError, match=said):
        load_config(file, REGISTRY)


@pytest.mark.parametrize(
    "data", [{None: None}, {"backends": {None: None}}, {"backends": {HUGE: {}}}, {"limits": "\ud800"}]
)
def test_structures_that_no_file_can_hold(data: Any) -> None:
    with pytest.raises(ConfigError):
        parse_config(data, REGISTRY)


def test_a_folder_that_cannot_be_looked_into(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be reached"):
        Artifact(tmp_path / ("x" * 5000), "0123456789abcdef").describe()


def test_long_names_are_not_compared() -> None:
    names = ["".join(chr(0x4E00 + number * step % 3001) for number in range(60_000)) for step in (7, 11)]
    began = time.monotonic()
    assert closest(names[0], names[1:]) is None
    assert closest("lang", ["text", "langs"]) == "langs"
    assert time.monotonic() - began < 5


# ---------------------------------------------------------------- readers


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_many_names_take_no_square_of_time(tmp_path: Path, name: str) -> None:
    names = [f"n{number}" for number in range(100_000)]
    object_ = "{" + ",".join(f'"{each}":1' for each in [*names, names[-1]]) + "}"
    (tmp_path / name).write_text(object_ if name == "x.jsonl" else ",".join([*names, names[-1]]))
    began = time.monotonic()
    try:
        (failure,) = read([tmp_path / name])
        assert isinstance(failure, ReadFailure)
        assert "is there twice" in failure.error
    except InvalidInput as error:
        assert "two columns are called 'n99999'" in str(error)  # noqa: PT017 - either form
    assert time.monotonic() - began < 10


def test_two_columns_of_metadata(tmp_path: Path) -> None:
    columns = [pa.array([value]) for value in ("a", "x", 1, 2)]
    (tmp_path / "x.parquet").write_bytes(written(pa.Table.from_arrays(columns, ["id", "text", "metadata", "metadata"])))
    with pytest.raises(InvalidInput, match="two columns are called 'metadata'"):
        list(read([tmp_path / "x.parquet"]))


# ---------------------------------------------------------------- filters


@pytest.mark.parametrize("value", [{"$exists": [HUGE]}, {"$eq": {"a": HUGE}}, {HUGE: 1}])
def test_numbers_that_python_does_not_print(value: object) -> None:
    with pytest.raises(InvalidFilter, match="bits"):
        resolve({"year": value}, {"year": Field(FieldType.INTEGER)})


# ---------------------------------------------------------------- notes, records, artifacts

READERS: dict[str, Callable[[str], Any]] = {
    "fence": lambda text: WriteFence.from_text(text, "p"),
    "supersedes": lambda text: Supersedes.from_text(text, "p"),
    "canaries": lambda text: Canaries.read(text, SPACE, "docs"),
    "migration": lambda text: MigrationNote.from_text(text, "p"),
}


@pytest.mark.parametrize("read_note", READERS.values(), ids=READERS)
@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "[]", "null", "5"])
def test_notes_of_any_shape(read_note: Callable[[str], Any], text: str) -> None:
    with pytest.raises((CollectionError, SpaceUnknown)):
        read_note(text)


def test_a_number_in_a_note_that_is_too_large() -> None:
    accepted = {**CANARIES, "accepted": {"other": [10**400, 0.1, 0.1]}}
    with pytest.raises(SpaceUnknown):
        Canaries.read(json.dumps(accepted), SPACE, "docs")


@pytest.mark.parametrize("until", [None, float("inf"), float("nan"), 10**400, "soon"])
def test_a_fence_that_never_runs_out_is_damaged(until: object) -> None:
    with pytest.raises(CollectionError):
        WriteFence.from_text(json.dumps({**FENCE, "until": until}), "p")


@pytest.mark.parametrize(
    "record",
    [
        [1],
        {**RECORD, "fields": []},
        {**RECORD, "fields": {"x": []}},
        {**RECORD, "funnel": [float("inf")]},
        {**RECORD, "space": 5},
    ],
)
def test_records_of_collections_of_any_shape(record: Any) -> None:
    with pytest.raises(SpaceError):
        StoredCollection.read(record, "p")


@pytest.mark.parametrize(
    "header", ["'{'descr': '<f4', ", "(" * 500, "{'descr': '<U0', 'fortran_order': False, 'shape': (4, 4)}\n"]
)
def test_headers_of_matrices(tmp_path: Path, header: str) -> None:
    artifact = Artifact(tmp_path, "0123456789abcdef")
    artifact.matrix.write_bytes(headed(header))
    with pytest.raises(ConfigError, match="cannot be read"):
        artifact.proved(4)


INTENT = Intent("r", frozenset({"a", "b"}), 100.0).records()[0].system


@pytest.mark.parametrize(
    "damage",
    [
        {"revision": None},
        {"until": "soon"},
        {"until": float("nan")},
        {"until": 10**400},
        {"documents": "["},
        {"documents": "5"},
        {"documents": "[1]"},
        {"documents": "[" * 100_000},
        {"documents": None},
        {"until": 1e300},
    ],
)
def test_a_damaged_intent_is_over_and_repaired(damage: dict[str, Any]) -> None:
    damaged = Record("bad", "", None, {}, {**INTENT, **damage})
    assert all(each.over(1000.0, 10.0) for each in read_intents([damaged]))

    world = World()
    stores = [each._collections["docs_1"].points for each in (world.adapter, world.adapter.searched)]
    for points in stores:
        points["bad"] = _Stored(damaged, {}, None)
    world.run(lambda handle: finish(handle, [None], dry_run=False))
    assert stores == [{}, {}]


def test_an_intact_part_of_a_damaged_intent_counts() -> None:
    parts = [Record("one", "", None, {}, INTENT), Record("two", "", None, {}, {**INTENT, "documents": "["})]
    found = {each.revision: each for each in read_intents(parts)}
    assert found["r"].documents == {"a", "b"}
    assert not found["r"].over(100.0, 10.0)
    assert found[""].ids == ("two",)


# ---------------------------------------------------------------- replies


def test_errors_chained_in_a_circle() -> None:
    one, two = ValueError("one"), KeyError("two")
    one.__cause__, two.__context__ = two, one
    assert presentable(one) is one
    assert too_large(one) is None


def test_refusals_nested_without_end() -> None:
    response = UnexpectedResponse(400, "no", b"[" * 100_000, None)  # type: ignore[arg-type]
    assert isinstance(translate(response, ErrorContext("place")), NestvecError)


@pytest.mark.parametrize("types", ["[", "[" * 100_000, 5, '{"x": "d"}', '{"x": "=["}'])
def test_metadata_of_pinecone_that_somebody_changed(types: object) -> None:
    with pytest.raises(NestvecError, match="is damaged"):
        record_of("a", {"nestvec_types": types, "x": "soon"})


@pytest.mark.parametrize("tokens", [10**400, 2**60, float("inf"), "9" * 5000])
def test_numbers_of_tokens_that_nobody_used(tokens: object) -> None:
    reply = {"data": [{"index": 0, "embedding": [1.0]}], "usage": {"total_tokens": tokens}}
    with pytest.raises(EmbedderInvalidReply):
        decode(json.dumps(reply).encode(), 1, 1)

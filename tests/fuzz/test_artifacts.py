"""Files of rotations, and the notes and records that are kept on servers: damaged ones are errors of ours."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from tests.fuzz.campaigns import fuzz, ours
from tests.fuzz.inputs import damaged, replaced, texts_of

from nestvec._artifacts import About, Artifact, save
from nestvec._collections.intents import Intent, read_intents
from nestvec._collections.superseded import Supersedes
from nestvec._collections.write_fence import WriteFence
from nestvec._hosts.canaries import legs_of
from nestvec._hosts.note import Canaries
from nestvec._migration.generations import MigrationNote
from nestvec._specs import StoredCollection
from nestvec.contract import ForeignLayout
from nestvec.contract.foreign_records import foreign_record
from nestvec.encoding.rotation import fingerprint
from nestvec.spaces import EmbeddingSpace
from nestvec.types import Record

#: numpy says this of headers as Python 2 wrote them.
pytestmark = pytest.mark.filterwarnings("ignore:Reading `.npy`:UserWarning")

# ---------------------------------------------------------------- rotations

ROTATION = np.eye(4, dtype="<f4")[::-1].copy()
NAME = fingerprint(ROTATION)


def saved(matrix: Any) -> bytes:
    """A matrix as a file."""
    file = io.BytesIO()
    np.save(file, matrix)
    return file.getvalue()


def headed(header: str) -> bytes:
    """A file with this header, and numbers after it."""
    coded = header.encode()
    return b"\x93NUMPY\x01\x00" + len(coded).to_bytes(2, "little") + coded + ROTATION.tobytes()


HEADERS = [
    "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4), }\n",
    "{'descr': '<U0', 'fortran_order': False, 'shape': (4, 4), }\n",
    "{'descr': [('a', '<f4')], 'fortran_order': True, 'shape': (4, 4L), }\n",
    "(" * 500,
    "{'descr': '<f4'\n  'x",
    "-" * 9000 + "1",
]


@fuzz(st.one_of(damaged([saved(ROTATION), *map(headed, HEADERS)]), st.text(max_size=30).map(headed)), 100)
def test_matrices(folder: Path, data: bytes) -> None:
    """Bytes that were the matrix of a rotation."""
    artifact = Artifact(folder, NAME)
    artifact.about.write_text(
        json.dumps({"fingerprint": NAME, "model": "m", "dimensions": 4, "source": "", "vectors": 1, "created": ""})
    )
    artifact.matrix.write_bytes(data)
    ours(artifact.load)


@fuzz(
    texts_of([{"fingerprint": NAME, "model": "m", "dimensions": 4, "source": "s", "vectors": 9, "created": "now"}]), 100
)
def test_descriptions(folder: Path, text: str) -> None:
    """Bytes that said what a rotation is of."""
    artifact = Artifact(folder, NAME)
    artifact.about.write_bytes(text.encode())
    artifact.matrix.write_bytes(saved(ROTATION))
    ours(artifact.load)
    ours(lambda: save(folder, ROTATION, About("m", 4)))


# ---------------------------------------------------------------- notes and records

SPACE = EmbeddingSpace("m", 16, True, False, "index", "query")
ROWS = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
CANARIES = json.loads(Canaries.of("host", dict.fromkeys(legs_of(SPACE), ROWS)).to_text())
CANARIES["accepted"] = {"other": [0.1, 0.2, 0.3]}
FENCE = {"state": "fenced", "by": "x", "until": 5.0, "to": {"backend": "b", "physical": "p"}}
MIGRATION = {
    "version": 1,
    "id": "x",
    "source": {"backend": "b", "physical": "p"},
    "stage": "copying",
    "started": 1.0,
    "left": None,
    "back": False,
}
RECORD = {
    "nestvec": 1,
    "name": "docs",
    "generation": 1,
    "space": SPACE.to_dict(),
    "metric": "cosine",
    "fields": {"lang": "keyword"},
    "retired": {},
    "chunking": {"unit": "characters", "size": 10, "overlap": 0, "format": "auto", "tokenizer": None},
    "namespaces": False,
    "store_text": True,
    "storage": "float32",
    "funnel": [4],
    "foreign": {"collection": "c", "fields": {}},
}


@fuzz(texts_of([FENCE, {"state": "moved", "to": FENCE["to"]}]), 150)
def test_write_fences(folder: Path, text: str) -> None:
    """Texts that were a write fence."""
    fence = ours(lambda: WriteFence.from_text(text, "p"))
    if fence is not None:
        assert fence.holds_up(1e9) in (True, False)


@fuzz(texts_of([{"version": 1, "dimensions": 1024, "earlier": [2048]}]), 100)
def test_supersedes(folder: Path, text: str) -> None:
    """Texts that said what a collection was shrunk from."""
    ours(lambda: Supersedes.from_text(text, "p").sizes)


@fuzz(texts_of([CANARIES]), 150)
def test_canaries(folder: Path, text: str) -> None:
    """Texts that were canaries."""
    read = ours(lambda: Canaries.read(text, SPACE, "docs"))
    if read is not None:
        assert read.vectors
        assert read.texts
        assert read.to_text()


@fuzz(texts_of([MIGRATION]), 100)
def test_migrations(folder: Path, text: str) -> None:
    """Texts that were the note of a migration."""
    note = ours(lambda: MigrationNote.from_text(text, "p"))
    if note is not None:
        assert note.to_text()


@fuzz(replaced(RECORD), 200)
def test_records_of_collections(folder: Path, value: Any) -> None:
    """What was the record of a collection."""
    if isinstance(value, dict):
        ours(lambda: StoredCollection.read(value, "p"))


INTENT = Intent("r", frozenset({"a", "b"}), 100.0).records()[0].system


@fuzz(st.lists(replaced(dict(INTENT)), max_size=3), 100)
def test_intents(folder: Path, systems: list[Any]) -> None:
    """What was a writer's intent stops nobody for ever."""
    found = [system for system in systems if isinstance(system, dict)]
    records = [Record(str(number), "", None, {}, system) for number, system in enumerate(found)]
    for intent in read_intents(records):
        assert all(isinstance(name, str) for name in intent.documents)
        assert intent.over(1e12, 60.0)


LAYOUT = ForeignLayout(
    "c", id="id", text="text", metadata="metadata", json=("content",), fields={"lang": "metadata.lang"}
)


@fuzz(replaced({"id": "a", "text": "x", "metadata": {"lang": "de", "more": [1]}, "content": '{"a": {"b": 1}}'}), 200)
def test_foreign_records(folder: Path, value: Any) -> None:
    """What was a record that somebody else wrote."""
    if isinstance(value, dict):
        ours(lambda: foreign_record("a", value, LAYOUT))

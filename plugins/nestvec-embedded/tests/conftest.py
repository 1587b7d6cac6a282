"""Stores to test, and records to put into them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nestvec.contract import Create, Write
from nestvec.types import DENSE, Field, FieldType, Metric, Record
from nestvec_embedded.adapter import EmbeddedAdapter, open_adapter
from nestvec_embedded.options import EmbeddedOptions

FIELDS = {
    **{kind.value: Field(kind) for kind in FieldType},
    **{f"{kind.value}_list": Field(kind, many=True) for kind in FieldType},
    'odd "name" \\ $.x': Field(FieldType.KEYWORD),
}
CREATE = Create("docs_1", {DENSE: 4}, Metric.COSINE, FIELDS, {"nestvec": 1})


def opened(path: Path | str) -> EmbeddedAdapter:
    """The adapter of a folder."""
    return open_adapter(EmbeddedOptions(path=path))


def record(identity: str, version: int = 0, **metadata: Any) -> Record:
    """A record that tells its version."""
    return Record(identity, f"doc-{identity}", f"{identity} in version {version}", metadata, {"chunk": version})


def write(*records: Record, physical: str = "docs_1") -> Write:
    """Vectors tell the version, too."""
    rows = [[1.0, float(each.system["chunk"]), 0.0, float(int(each.id[1:] or 0))] for each in records]
    return Write(physical, list(records), {DENSE: np.array(rows, np.float32)})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose store has the collection `docs_1` with the records r0 to r9."""
    path = tmp_path / "store"
    adapter = opened(path)
    adapter.create(CREATE)
    adapter.write(write(*(record(f"r{number}", keyword=f"k{number}") for number in range(10))))
    adapter.close()
    return path


@pytest.fixture
def adapter() -> Iterator[EmbeddedAdapter]:
    """A store in memory with the collection `docs_1`."""
    made = opened(":memory:")
    made.create(CREATE)
    yield made
    made.close()

"""Parquet files, and life without pyarrow."""

from __future__ import annotations

import decimal
import sys
from datetime import UTC, date, datetime

import pytest

from nestvec._readers import Mapping, read, total_size
from nestvec.errors import InvalidInput, Unsupported
from nestvec.types import Document, Field

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def write(tmp_path):
    def _write(columns: dict[str, object], name: str = "a.parquet"):
        pq.write_table(pa.table(columns), tmp_path / name)
        return tmp_path / name

    return _write


def test_rows_become_documents(write):
    path = write({"id": [1, 2], "text": ["one", "two"], "lang": ["de", None], "tags": [["a", "b"], []]})
    first, second = read([path])
    assert first.document == Document("1", "one", {"lang": "de", "tags": ["a", "b"]})
    assert second.document == Document("2", "two", {"tags": []})
    assert (first.line, second.line) == (1, 2)


def test_a_struct_called_metadata_is_spread(write):
    columns = {"id": ["a"], "text": ["x"], "metadata": [{"lang": "de", "year": 2026}]}
    (item,) = read([write(columns)])
    assert item.document.metadata == {"lang": "de", "year": 2026}
    (item,) = read([write(columns)], Mapping(metadata=("year",)))
    assert item.document.metadata == {"year": 2026}


def test_values_that_json_does_not_know(write):
    moment = datetime(2026, 1, 31, 8, 0, 0, 123456, tzinfo=UTC)
    path = write(
        {
            "id": ["a"],
            "text": ["x"],
            "at": pa.array([moment], pa.timestamp("ns", tz="Europe/Berlin")),
            "exact": pa.array([1_769_846_400_123_456_789], pa.timestamp("ns")),
            "day": [date(2026, 1, 31)],
            "price": [decimal.Decimal("9.50")],
            "count": pa.array([decimal.Decimal(7)], pa.decimal128(5, 0)),
            "kind": pa.array(["k"]).dictionary_encode(),
        }
    )
    (item,) = read([path], fields={"day": Field.parse("datetime"), "exact": Field.parse("datetime")})
    assert item.document.metadata == {
        "at": moment,
        "exact": datetime(2026, 1, 31, 8, 0, 0, 123456),  # noqa: DTZ001 - as the file has it
        "day": "2026-01-31",
        "price": 9.5,
        "count": 7,
        "kind": "k",
    }
    assert type(item.document.metadata["count"]) is int
    (item,) = read([path], Mapping(metadata=("day",)))
    assert item.document.metadata == {"day": "2026-01-31"}


def test_a_zone_that_is_not_known_here_does_no_harm(write):
    path = write({"id": ["a"], "text": ["x"], "at": pa.array([0], pa.timestamp("ms", tz="Mars/Gale"))})
    (item,) = read([path])
    assert item.document.metadata == {"at": datetime(1970, 1, 1, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"id": [1.5], "text": ["x"]}, "the id in 'id' is a fractional number"),
        ({"id": [None], "text": ["x"]}, "the id in 'id' is empty"),
        ({"id": [1], "text": [7]}, "the text in 'text' is an integer"),
        ({"id": [1], "text": ["x"], "n": [float("nan")]}, "the field 'n' is nan"),
        ({"id": [1], "text": ["x"], "b": [b"\x00"]}, "'b' is binary data.*--metadata"),
    ],
)
def test_rows_that_are_no_document_are_failures(write, columns, said):
    import re

    (bad,) = read([write(columns)])
    assert re.search(said, bad.error)
    assert bad.line == 1


def test_a_value_that_python_cannot_hold_fails_its_own_row_only(write):
    far = pa.array([0, 10**15, 0], pa.timestamp("s"))
    first, bad, last = read([write({"id": [1, 2, 3], "text": ["x", "y", "z"], "at": far})])
    assert (first.document.id, last.document.id) == ("1", "3")
    assert bad.line == 2
    assert "a value cannot be read" in bad.error


def test_a_schema_that_does_not_fit_is_refused_before_anything_is_read(write):
    path = write({"id": [1], "titel": ["x"]})
    with pytest.raises(InvalidInput, match=r"did you mean 'titel'\?"):
        read([path], Mapping(text="title"))
    with pytest.raises(InvalidInput, match="no column 'lang' for the metadata"):
        read([path], Mapping(text="titel", metadata=("lang",)))


def test_a_damaged_file_is_a_failure_and_the_others_are_read(write, tmp_path):
    write({"id": ["good"], "text": ["x"]}, "z.parquet")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing")
    (tmp_path / "b.parquet").write_bytes(b"")
    whole = write({"id": list(range(5000)), "text": [str(n) * 20 for n in range(5000)]}, "c.parquet")
    data = bytearray(whole.read_bytes())
    data[100:4000] = b"\xff" * 3900
    whole.write_bytes(data)
    *bad, last = read([tmp_path])
    assert last.document.id == "good"
    assert [item.path for item in bad] == [str(tmp_path / name) for name in ("a.parquet", "b.parquet", "c.parquet")]


def test_an_empty_table_has_no_documents(write):
    assert list(read([write({"id": pa.array([], pa.string()), "text": pa.array([], pa.string())})])) == []


def test_positions_rise_to_the_total_size(write):
    path = write({"id": list(range(1000)), "text": ["x"] * 1000})
    positions = [item.position for item in read([path])]
    assert positions == sorted(positions)
    assert len(set(positions)) > 5
    assert positions[-1] == total_size([path])


def test_columns_that_are_not_asked_for_are_not_decoded(write, monkeypatch):
    path = write({"id": ["a"], "text": ["x"], "lang": ["de"], "embedding": [[0.5] * 8]})
    seen = []
    real = pq.ParquetFile.iter_batches
    monkeypatch.setattr(
        pq.ParquetFile,
        "iter_batches",
        lambda self, **options: seen.append(options["columns"]) or real(self, **options),
    )
    (item,) = read([path], Mapping(metadata=("lang",)))
    assert item.document == Document("a", "x", {"lang": "de"})
    assert seen == [["id", "text", "lang"]]


def test_without_pyarrow_the_extra_is_named_at_once(write, monkeypatch):
    path = write({"id": [1], "text": ["x"]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "pyarrow.parquet")
    with pytest.raises(Unsupported, match=r"pip install 'nestvec\[parquet\]'") as refused:
        read([path])
    assert isinstance(refused.value.__cause__, ImportError)


def test_pyarrow_is_not_imported_for_other_formats():
    import subprocess

    code = "import sys, nestvec._readers; sys.exit(any(m.startswith(('pyarrow', 'numpy')) for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Files of documents and questions: what is wrong with one row is its failure, with a whole file that of the file."""

from __future__ import annotations

import contextlib
import gzip
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from tests.fuzz.campaigns import fuzz
from tests.fuzz.inputs import TEXTS, damaged, texts_of

from nestvec._limits import ReadLimits
from nestvec._readers import Mapping, ReadDocument, ReadFailure, read
from nestvec._readers.questions import read_questions
from nestvec.errors import InvalidInput
from nestvec.types import Field, FieldType

FIELDS = {kind.value: Field(kind) for kind in FieldType} | {f"{kind}s": Field(kind, many=True) for kind in FieldType}
LIMITS = ReadLimits(document=100_000, file=1_000_000, rows=50, failures=20)
MAPPINGS = [Mapping(), Mapping("id", "text", ("integer", "keywords")), Mapping(text="body"), Mapping(metadata=())]
ROW = {
    "id": "a",
    "text": "words",
    "keyword": "k",
    "integer": 7,
    "float": 0.5,
    "boolean": True,
    "datetime": "2026-01-31T08:00:00Z",
    "integers": [1, 2],
    "metadata": {"keywords": ["x"], "datetimes": ["2026-01-31"]},
}
JSONL = b'{"id": "a", "text": "words", "integer": 7, "metadata": {"keywords": ["x"]}}\n{"id": 2, "text": "\\u00e9"}\n'
CSV = b'id,text,integer,datetime,floats\na,"some ""words""",7,2026-01-31,1;2.5\nb,"two\nlines",,,\n'
TSV = b"id\ttext\tboolean\na\twords\tyes\n"
QUESTIONS = b'{"question": "Who?", "relevant": ["a"]}\n{"text": "Why?", "relevant": {"a": 2, "b": 0.5}, "id": 1}\n'


def through(file: Path, data: bytes, **options: Any) -> None:
    """Read all of a file."""
    file.write_bytes(data)
    with contextlib.suppress(InvalidInput):
        for item in read([file], limits=LIMITS, fields=FIELDS, **options):
            assert isinstance(item, ReadDocument | ReadFailure)


FILES = [("x.jsonl", JSONL), ("x.csv", CSV), ("x.tsv", TSV), ("x.txt", b"words\n"), ("x.md", b"# Words\n")]


@fuzz(
    st.tuples(st.sampled_from(FILES), st.sampled_from(MAPPINGS)).flatmap(
        lambda chosen: st.tuples(st.just(chosen[0][0]), damaged([chosen[0][1]]), st.just(chosen[1]))
    ),
    250,
)
def test_bytes(folder: Path, given: Any) -> None:
    """Bytes that were a file of documents; packed, too."""
    name, data, mapping = given
    through(folder / name, data, mapping=mapping)
    if name in ("x.jsonl", "x.csv", "x.tsv"):
        through(folder / f"{name}.gz", gzip.compress(data, 0), mapping=mapping)


@fuzz(damaged([gzip.compress(JSONL), gzip.compress(JSONL) + gzip.compress(b"\n", 0), gzip.compress(b" " * 2_000_000)]))
def test_packed(folder: Path, data: bytes) -> None:
    """Bytes that were a packed file."""
    through(folder / "x.jsonl.gz", data)


@fuzz(st.tuples(texts_of([ROW]), st.sampled_from(MAPPINGS)), 150)
def test_rows(folder: Path, given: Any) -> None:
    """Objects that were a document."""
    through(folder / "x.jsonl", given[0].replace("\n", " ").encode() + b"\n", mapping=given[1])


@fuzz(st.lists(TEXTS.map(lambda text: text.encode(errors="replace").decode()), min_size=5, max_size=5))
def test_cells(folder: Path, cells: list[str]) -> None:
    """Any cells under columns of declared types."""
    quoted = ",".join('"{}"'.format(cell.replace('"', '""')) for cell in cells)
    through(folder / "x.csv", f"id,text,integer,datetimes,float\n{quoted}\n".encode())


@fuzz(st.tuples(damaged([QUESTIONS]), st.sampled_from(["q.jsonl", "q.txt"])))
def test_questions(folder: Path, given: Any) -> None:
    """Bytes that were a file of questions."""
    (folder / given[1]).write_bytes(given[0])
    with contextlib.suppress(InvalidInput):
        read_questions(folder / given[1], LIMITS)


# ---------------------------------------------------------------- Parquet


def written(table: pa.Table, **options: Any) -> bytes:
    """A table as a file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


TABLE = pa.table({"id": ["a", "b"], "text": ["x", "y"], "metadata": [{"lang": "de"}, None], "integers": [[1], []]})


def damaged_parquet(whole: bytes) -> st.SearchStrategy[bytes]:
    """A Parquet file with other pages, or another end.

    What describes its columns stays whole: pyarrow 26 ends the process (it throws through a function that does not
    expect it) where their statistics of levels have another length than they should, and nobody can catch that.
    """
    start = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    return st.one_of(
        damaged([whole[:start]]).map(lambda pages: pages + whole[start:]),
        damaged([whole[-8:]]).map(lambda end: whole[:-8] + end),
        st.integers(0, len(whole)).map(lambda length: whole[:length]),
        damaged([b"PAR1" + bytes(8) + b"PAR1"]),
    )


PARQUET = [written(TABLE), written(TABLE, compression="gzip", use_dictionary=False)]


@fuzz(st.sampled_from(PARQUET).flatmap(damaged_parquet), 150)
def test_parquet_bytes(folder: Path, data: bytes) -> None:
    """Bytes that were a Parquet file."""
    through(folder / "x.parquet", data)


#: A type, and values of it that Python may not be able to hold.
COLUMNS: list[tuple[pa.DataType, list[Any]]] = [
    (pa.timestamp("ns"), [2**62, 1]),
    (pa.timestamp("s"), [2**60, None]),
    (pa.timestamp("us", "Nowhere/Atall"), [1, 2]),
    (pa.timestamp("ms", "+99:00"), [1, 2]),
    (pa.date32(), [2**31 - 1, 1]),
    (pa.date64(), [2**62, 1]),
    (pa.time64("ns"), [1, 2**62]),
    (pa.duration("ns"), [2**62, 1]),
    (pa.decimal128(38, -3), [None, None]),
    (pa.binary(), [b"\xff", b""]),
    (pa.large_string(), ["x", "y"]),
    (pa.null(), [None, None]),
    (pa.float16(), [None, None]),
    (pa.map_(pa.string(), pa.int64()), [[("lang", 1), ("lang", 2)], None]),
    (pa.list_(pa.timestamp("ns", "Nowhere/Atall")), [[2**62], []]),
    (pa.list_(pa.list_(pa.int64())), [[[1]], []]),
    (pa.struct([("keyword", pa.timestamp("ns", "Nowhere/Atall"))]), [{"keyword": 1}, None]),
    (pa.struct([("a", pa.int64()), ("a", pa.int64())]), [None, None]),
    (pa.struct([]), [{}, None]),
    (pa.dictionary(pa.int8(), pa.string()), ["x", "y"]),
    (pa.string(), ["x", "y"]),
    (pa.uint64(), [2**64 - 1, 0]),
]
NAMES = ["id", "text", "metadata", "integer", "keyword", "datetime", "datetimes", "a.b", "", "id"]


@fuzz(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(COLUMNS)), max_size=4), 150)
def test_parquet_tables(folder: Path, given: list[Any]) -> None:
    """Tables with columns of every type, some of them twice."""
    columns = [*given, ("id", (pa.string(), ["a", "b"])), ("text", (pa.string(), ["x", "y"]))]
    kept = columns if len(given) % 2 else list(dict(columns).items())
    arrays = [pa.array(values, kind) for _, (kind, values) in kept]
    try:
        data = written(pa.Table.from_arrays(arrays, [name for name, _ in kept]))
    except (pa.ArrowException, OSError):  # not every type has a place in a file
        return
    through(folder / "x.parquet", data)

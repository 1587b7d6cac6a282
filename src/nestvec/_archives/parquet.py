"""Exports as Parquet, by pyarrow (an extra, imported on first use): a row for each document."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec._archives.content import ArchivedDocument, ArchiveHeader, check_vectors
from nestvec._files import open_file
from nestvec._limits import in_bytes
from nestvec._readers.parquet import load_pyarrow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from nestvec._limits import ReadLimits
    from nestvec.types import FloatArray

#: The key of the description in the file's own metadata.
KEY = b"nestvec"
#: Chunks of a row group, and documents that are decoded at once.
_GROUP, _BATCH = 4096, 16


class ParquetWriter:
    """Writes into an open file, some documents at a time."""

    def __init__(self, file: BinaryIO, header: ArchiveHeader) -> None:
        self._schema = _schema(header.space.dimensions)
        # Without dictionaries: a reader then knows how much there is before it decodes it.
        self._writer = load_pyarrow().parquet.ParquetWriter(
            file, self._schema, compression="zstd", use_dictionary=False
        )
        self._waiting: list[ArchivedDocument] = []
        self._chunks = 0

    def add(self, document: ArchivedDocument) -> None:
        """One more row."""
        self._waiting.append(document)
        self._chunks += len(document.chunks)
        if self._chunks >= _GROUP:
            self._write()

    def finish(self, header: ArchiveHeader) -> None:
        """Write the rest, and the description."""
        self._write()
        self._writer.add_key_value_metadata({KEY: header.to_text().encode()})
        self._writer.close()

    def close(self) -> None:
        """Also after a failure: else pyarrow would do it later, when the file is closed."""
        if self._writer.is_open:
            self._writer.close()

    def _write(self) -> None:
        if self._waiting:
            self._writer.write_table(_table(self._waiting, self._schema))
        self._waiting, self._chunks = [], 0


def _schema(dimensions: int) -> Any:
    pyarrow = load_pyarrow()
    text, number = pyarrow.string(), pyarrow.int32()
    chunk = pyarrow.struct([("start", number), ("end", number), ("hash", text), ("text", text)])
    names = [(name, text) for name in ("id", "text", "metadata", "document_hash", "metadata_hash", "layout")]
    vectors = pyarrow.list_(pyarrow.list_(pyarrow.float32(), dimensions))
    return pyarrow.schema([*names, ("chunks", pyarrow.list_(chunk)), ("vectors", vectors)])


def _table(documents: list[ArchivedDocument], schema: Any) -> Any:
    pyarrow = load_pyarrow()
    rows = [document.plain() for document in documents]
    for row in rows:
        row["metadata"] = json.dumps(row["metadata"], ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    columns = [
        pyarrow.array([row[field.name] for row in rows], field.type) for field in schema if field.name != "vectors"
    ]
    vectors = np.concatenate([document.vectors for document in documents]).astype(np.float32, copy=False)
    inner = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.ravel()), vectors.shape[1])
    offsets = np.cumsum([0, *(len(document.chunks) for document in documents)])
    listed = pyarrow.ListArray.from_arrays(pyarrow.array(offsets, pyarrow.int32()), inner)
    return pyarrow.table([*columns, listed.cast(schema.field("vectors").type)], schema=schema)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    pyarrow = load_pyarrow()
    try:
        with open_file(path) as raw, pyarrow.parquet.ParquetFile(raw, buffer_size=1 << 20) as file:
            yield file
    except pyarrow.ArrowException as error:
        raise ValueError(f"it is torn, or no Parquet file: {error}") from error


def read_header(path: Path) -> ArchiveHeader:
    """What the file's metadata say. Raises `ValueError`, `OSError`."""
    with _opened(path) as file:
        text = (file.metadata.metadata or {}).get(KEY)
        if text is None:
            raise ValueError("it is no export of nestvec; `nestvec ingest` reads files of documents")
        return ArchiveHeader.read(text)


def read_documents(path: Path, header: ArchiveHeader, limits: ReadLimits) -> Iterator[ArchivedDocument]:
    """The rows, one at a time. Raises `ValueError` that says what is wrong where, and `OSError`."""
    dimensions, number = header.space.dimensions, 0
    with _opened(path) as file:
        for batch in file.iter_batches(batch_size=_checked(file, _schema(dimensions), limits)):
            vectors = batch.column("vectors")
            for index, row in enumerate(batch.drop_columns(["vectors"]).to_pylist()):
                number += 1
                try:
                    yield _document(row, vectors[index], dimensions)
                except ValueError as error:
                    raise ValueError(f"row {number}: {error}") from error


def _checked(file: Any, schema: Any, limits: ReadLimits) -> int:
    """How many rows to decode at once. Raises `ValueError` for columns of other kinds, or more than may be."""
    if not file.schema_arrow.equals(schema, check_metadata=False):
        raise ValueError("its columns are not those of an export, or its vectors of another size than it says")
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    if file.metadata.num_rows > limits.rows or sum(group.total_byte_size for group in groups) > limits.file:
        raise ValueError(
            f"it has more than {limits.rows:,} rows or {in_bytes(limits.file)}; set `rows` or `file` in [limits] higher"
        )
    columns = (group.column(number) for group in groups for number in range(group.num_columns))
    # A dictionary holds a long value once, and each row takes it again.
    return 1 if any(column.has_dictionary_page for column in columns) else _BATCH


def _document(row: dict[str, Any], vectors: Any, dimensions: int) -> ArchivedDocument:
    from nestvec._readers.jsonl import parse
    from nestvec.errors import InvalidDocument

    try:
        row["metadata"] = parse((row["metadata"] or "").encode())
    except InvalidDocument as error:
        raise ValueError(f"its metadata: {error}") from error
    return ArchivedDocument.read(row, _rows(vectors, dimensions))


def _rows(vectors: Any, dimensions: int) -> FloatArray:
    inner = vectors.values
    if inner is None or inner.null_count:
        raise ValueError("it has no vectors")
    flat = inner.flatten()
    if flat.null_count:
        raise ValueError("a vector has numbers that are missing")
    rows: FloatArray = flat.to_numpy(zero_copy_only=False).reshape(-1, dimensions)
    if rows.size:
        check_vectors(rows, dimensions)
    return rows

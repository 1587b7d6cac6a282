"""Exports as files: JSON lines, or Parquet. Written aside and moved into place; read once to be checked, then again."""

from __future__ import annotations

import io
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from nestvec._files import open_file
from nestvec._migration.exported import Checksum, ExportedDocument, ExportHeader
from nestvec.errors import InvalidInput, Unsupported

if TYPE_CHECKING:
    from nestvec._specs import CollectionSpec

FORMATS: Final = (".jsonl", ".parquet")
#: Bytes that one document may have in a file.
_LONGEST: Final = 1 << 30
_KEYS: Final = (b"nestvec_header", b"nestvec_footer")


def check_format(path: Path) -> str:
    """The suffix. Raises `InvalidInput` for one that says of no format."""
    if path.suffix not in FORMATS:
        raise InvalidInput(f"{path}: an export is a file named {' or '.join('*' + each for each in FORMATS)}")
    return path.suffix


class ExportWriter(ABC):
    """Writes one export. `add` documents, then `finish`; what is not finished is gone."""

    def __init__(self, file: BinaryIO, header: ExportHeader) -> None:
        self._file = file
        self.checksum = Checksum()
        self._header = header.line()
        self.checksum.add(self._header)
        self._begin()

    def add(self, documents: Sequence[ExportedDocument]) -> None:
        """Write some documents."""
        for document in documents:
            line = document.line()
            self.checksum.add(line)
            self.checksum.documents += 1
            self._write(document, line)
        self._flush()

    @abstractmethod
    def _begin(self) -> None: ...
    @abstractmethod
    def _write(self, document: ExportedDocument, line: bytes) -> None: ...
    @abstractmethod
    def _flush(self) -> None: ...

    @abstractmethod
    def finish(self) -> None:
        """Write the footer."""


class _Lines(ExportWriter):
    def _begin(self) -> None:
        self._file.write(self._header)

    def _write(self, document: ExportedDocument, line: bytes) -> None:  # noqa: ARG002 - the line is all of it
        self._file.write(line)

    def _flush(self) -> None:
        return

    def finish(self) -> None:
        self._file.write(self.checksum.line())


class _Parquet(ExportWriter):
    """A row for each document: what others may want of it in columns, and the line."""

    def _begin(self) -> None:
        self._arrow = pyarrow()
        arrow = self._arrow
        chunk = arrow.list_(arrow.string())
        vectors = arrow.list_(arrow.list_(arrow.float32()))
        columns = [("id", arrow.string()), ("texts", chunk), ("metadata", arrow.string()), ("vectors", vectors)]
        schema = arrow.schema([*columns, ("line", arrow.binary())], metadata={_KEYS[0]: self._header})
        self._out = arrow.parquet.ParquetWriter(self._file, schema, compression="zstd")
        self._rows: list[tuple[ExportedDocument, bytes]] = []

    def _write(self, document: ExportedDocument, line: bytes) -> None:
        self._rows.append((document, line))

    def _flush(self) -> None:
        from nestvec._metadata import to_text

        if not self._rows:
            return
        columns = {
            "id": [each.id for each, _ in self._rows],
            "texts": [[chunk.text for chunk in each.chunks] for each, _ in self._rows],
            "metadata": [to_text(each.metadata) for each, _ in self._rows],
            "vectors": [each.vectors.tolist() for each, _ in self._rows],
            "line": [line for _, line in self._rows],
        }
        self._out.write_table(self._arrow.table(columns, schema=self._out.schema))
        self._rows = []

    def finish(self) -> None:
        self._out.add_key_value_metadata({_KEYS[1]: self.checksum.line()})
        self._out.close()


@contextmanager
def writing_export(path: Path, spec: CollectionSpec, *, overwrite: bool) -> Iterator[ExportWriter]:
    """A writer into a file beside `path`, which takes its place at the end; nothing is left of a failure.

    Raises `InvalidInput` where a file is there already, unless it is to be overwritten, or none can be made there.
    """
    kind = _Parquet if check_format(path) == ".parquet" else _Lines
    if path.exists() and not overwrite:
        raise InvalidInput(f"{path} is there already; name another file, or say that it is to be overwritten (--force)")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror or error}") from error
    aside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            writer = kind(file, ExportHeader.of(spec))
            yield writer
            writer.finish()
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise


class ExportReader:
    """Reads one export. Use it in a `with` statement; `check` it before anything of it is stored."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parquet = check_format(path) == ".parquet"
        try:
            self._raw = open_file(path)
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read: {error}") from error

    def __enter__(self) -> ExportReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self._raw.close()

    def header(self) -> ExportHeader:
        """What it is of. Raises `InvalidInput` for what is no export."""
        return ExportHeader.read(self._edges()[0], self._path)

    def check(self) -> tuple[int, str]:
        """Read everything; returns how many documents there are, and the checksum. Raises `InvalidInput`."""
        header, footer = self._edges()
        dimensions = ExportHeader.read(header, self._path).space.dimensions
        checksum = Checksum()
        checksum.add(header)
        for number, line in enumerate(self._lines(), 1):
            ExportedDocument.read(line, dimensions, f"{self._path}, document {number},")
            checksum.add(line)
            checksum.documents += 1
        if checksum.line() != footer:
            raise InvalidInput(
                f"{self._path} is not what was exported: its end does not vouch for what is before it (a torn or "
                f"changed file). Nothing was imported; export it again"
            )
        return checksum.documents, footer.decode("ascii", "replace")

    def documents(self, dimensions: int) -> Iterator[ExportedDocument]:
        """The documents, one after the other."""
        for number, line in enumerate(self._lines(), 1):
            yield ExportedDocument.read(line, dimensions, f"{self._path}, document {number},")

    def _edges(self) -> tuple[bytes, bytes]:
        """Header and footer."""
        if self._parquet:
            with self._table() as file:
                kept = file.metadata.metadata or {}
                return kept.get(_KEYS[0], b"null"), kept.get(_KEYS[1], b"")
        first = last = b""
        for line in self._all_lines():
            first, last = first or line, line
        return first, last

    def _lines(self) -> Iterator[bytes]:
        """The documents' lines."""
        if self._parquet:
            with self._table() as file:
                for batch in file.iter_batches(batch_size=64, columns=["line"]):
                    yield from batch.column(0).to_pylist()
            return
        before: bytes | None = None
        for number, line in enumerate(self._all_lines()):
            if number > 1:
                assert before is not None  # noqa: S101 - there was one
                yield before
            before = line

    def _all_lines(self) -> Iterator[bytes]:
        self._raw.seek(0)
        file = io.BufferedReader(_Borrowed(self._raw), 1 << 20)
        while line := file.readline(_LONGEST + 1):
            if len(line) > _LONGEST:
                raise InvalidInput(f"{self._path} has a line of more than {_LONGEST} bytes: no export of nestvec")
            yield line

    @contextmanager
    def _table(self) -> Iterator[Any]:
        arrow = pyarrow()
        self._raw.seek(0)
        try:
            with arrow.parquet.ParquetFile(_Borrowed(self._raw), buffer_size=1 << 20) as file:
                if "line" not in file.schema_arrow.names:
                    raise InvalidInput(
                        f"{self._path} is no export of nestvec; `nestvec ingest` reads files of documents"
                    )
                yield file
        except arrow.ArrowException as error:
            raise InvalidInput(f"{self._path} is not a readable Parquet file: {error}") from error


class _Borrowed(io.RawIOBase):
    """An open file that is not closed by those who read it."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        return self._file.readinto(buffer)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def pyarrow() -> Any:
    """The library. Raises `Unsupported` without it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise Unsupported(
            "Parquet files are read and written by pyarrow, which cannot be imported: run pip install "
            "'nestvec[parquet]', or export to a file named *.jsonl"
        ) from error
    return pyarrow

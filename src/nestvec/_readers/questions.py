"""Questions in: a text file with one a line, or JSONL with what answers them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nestvec._files import read_file
from nestvec._limits import ReadLimits
from nestvec._questions import Question
from nestvec._readers.encoding import decode
from nestvec._readers.jsonl import parse
from nestvec.errors import InvalidDocument, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEYS = ("text", "question", "relevant", "id")
_SHAPE = (
    '{"question": "…", "relevant": ["document id", …]}, where relevant may be left out, or {"document id": grade, …}'
)


def read_questions(
    path: str | Path,
    limits: ReadLimits = ReadLimits(),  # noqa: B008 - a frozen value
) -> list[Question]:
    """The questions of a file: `.txt`, one a line, or `.jsonl`. Blank lines are passed over.

    A line of JSONL is an object with the question under `text` or `question` and, where it is known, what answers it
    under `relevant`: a list of document ids, or an object of ids and grades. `id` is allowed, and not read.

    A file is no longer than a document may be. Raises `InvalidInput` naming file and line.
    """
    file = Path(path)
    kinds = {".txt": _line, ".jsonl": _object}
    read = kinds.get(file.suffix.lower())
    if read is None:
        raise InvalidInput(f"questions are read from .txt (one a line) or .jsonl ({_SHAPE}); {file} is neither")
    found = []
    for number, data in _lines(file, limits.document):
        try:
            found.append(read(data))
        except (InvalidDocument, InvalidInput) as error:
            raise InvalidInput(f"{file}:{number}: {error}") from error
    if not found:
        raise InvalidInput(f"{file} has no questions")
    return found


def _lines(file: Path, most: int) -> Iterator[tuple[int, bytes]]:
    try:
        data = read_file(file, most)
    except OSError as error:
        raise InvalidInput(f"questions cannot be read from {file}: {error.strerror or error}") from error
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip():
            yield number, line.strip()


def _line(data: bytes) -> Question:
    return Question(decode(data, "the line"))


def _object(data: bytes) -> Question:
    row: dict[str, Any] = dict(parse(data))
    unknown = [key for key in row if key not in _KEYS]
    if unknown:
        raise InvalidInput(f"unknown key {unknown[0]!r}; expected {_SHAPE}")
    texts = [row[key] for key in ("text", "question") if key in row]
    if len(texts) != 1 or not isinstance(texts[0], str) or not texts[0].strip():
        raise InvalidInput(f"there is no question under text or question (one of them); expected {_SHAPE}")
    if "relevant" in row and not row["relevant"]:
        raise InvalidInput("relevant is empty: name what answers the question, or leave it out")
    return Question(texts[0], row.get("relevant", {}))

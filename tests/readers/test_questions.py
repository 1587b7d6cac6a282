"""Questions from files: what is read, and what is refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from nestvec._questions import Question
from nestvec._readers.questions import read_questions
from nestvec.errors import InvalidInput


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_one_a_line(tmp_path: Path) -> None:
    path = written(tmp_path, "q.txt", "\ufeffWie viel Urlaub?\r\n\n  何日？ \nlast")
    assert read_questions(path) == [Question("Wie viel Urlaub?"), Question("何日？"), Question("last")]


def test_with_labels(tmp_path: Path) -> None:
    lines = (
        '{"question": "one", "relevant": ["a", 7], "id": "q1"}\n'
        '{"text": "two", "relevant": {"b": 2, "c": 0.5}}\n'
        '\n{"text": "three"}\n'
    )
    assert read_questions(written(tmp_path, "q.jsonl", lines)) == [
        Question("one", ["a", "7"]),
        Question("two", {"b": 2, "c": 0.5}),
        Question("three"),
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"text": "a", "relevent": ["d"]}', "unknown key 'relevent'; expected"),
        ('{"text": "a", "question": "b"}', "no question under text or question"),
        ('{"relevant": ["d"]}', "no question under text or question"),
        ('{"text": 3}', "no question under text or question"),
        ('{"text": "a", "relevant": []}', "relevant is empty"),
        ('{"text": "a", "relevant": "d"}', "relevant is a list of document ids"),
        ('{"text": "a", "relevant": {"d": 0}}', "the grade of 'd' must be a number above 0"),
        ('{"text": "a", "relevant": [["d"]]}', "a relevant document is named by its id"),
        ('{"text": "a"', "not valid JSON"),
        ('["a"]', "not a JSON object"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, told: str) -> None:
    path = written(tmp_path, "q.jsonl", f'{{"text": "fine"}}\n{line}\n')
    with pytest.raises(InvalidInput, match=r"q\.jsonl:2: ") as raised:
        read_questions(path)
    assert str(path) in str(raised.value)
    assert told in str(raised.value)


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"read from \.txt .* or \.jsonl .*q\.csv is neither"):
        read_questions(written(tmp_path, "q.csv", "text\n"))
    with pytest.raises(InvalidInput, match=r"gone\.txt: No such file"):
        read_questions(tmp_path / "gone.txt")
    with pytest.raises(InvalidInput, match="has no questions"):
        read_questions(written(tmp_path, "empty.txt", "\n \n"))
    with pytest.raises(InvalidInput, match=r"latin\.txt:1: .*not valid UTF-8"):
        read_questions(written(tmp_path, "latin.txt", "für".encode("latin-1")))

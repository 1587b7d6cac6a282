"""The judge of campaigns sees what it is there for: each kind of wrong, made up; and nothing where all is well."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from .judge import History, wrong_records, wrong_versions
from .versions import Part, Version

OLD, NEW = Version("d0", "w1n1", "w1n1", 4), Version("d0", "w1n2", "w1n2", 2)
OTHER = Version("d0", "w2n1", "w2n1", 2)
METADATA = Version("d0", "w1n3", "w1n2", 2)
VERSIONS = {(each.document, each.stamp): each for each in (OLD, NEW, OTHER, METADATA)}


def parts(version: Version) -> list[Part]:
    return [Part(version.document, version.stamp, word, chunk) for chunk, word in enumerate(version.words())]


def begin(number: int, at: float, version: Version | None) -> dict[str, Any]:
    wanted = {"write": [], "delete": ["d0"]} if version is None else {"write": [asdict(version)], "delete": []}
    return {"kind": "begin", "number": number, "at": at, **wanted}


def done(number: int, at: float, **more: Any) -> dict[str, Any]:
    return {"kind": "done", "number": number, "at": at, **more}


def found(at: float, version: Version) -> dict[str, Any]:
    return {"kind": "found", "at": at, "until": at + 0.1, "seen": [("d0", version.stamp, version.words()[0])]}


class Made:
    """A history, from what each process wrote down."""

    def __init__(self, folder: Path) -> None:
        self.history, self._folder = History(["d0"]), folder

    def writer(self, *entries: dict[str, Any], death: float | None = None) -> Made:
        self.history.writer(self._written(entries), death, 1.5)
        return self

    def reader(self, *entries: dict[str, Any]) -> Made:
        self.history.reader(self._written(entries))
        return self

    def _written(self, entries: Any) -> Path:
        path = self._folder / f"{len(list(self._folder.iterdir()))}.jsonl"
        path.write_text("".join(json.dumps(each) + "\n" for each in entries))
        return path


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


@pytest.mark.parametrize("version", VERSIONS.values())
def test_a_whole_version_is_all_right(version: Version) -> None:
    assert not list(wrong_records(parts(version), VERSIONS))
    assert not list(wrong_records([], VERSIONS))


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(parts(OLD)[:3], id="a chunk is missing"),
        pytest.param(parts(OLD)[:1], id="only the head is left"),
        pytest.param(parts(OLD)[1:], id="without a head"),
        pytest.param([*parts(NEW), parts(OLD)[3]], id="left over"),
        pytest.param([*parts(NEW), *parts(OTHER)], id="two heads"),
        pytest.param([parts(NEW)[0], parts(OTHER)[1]], id="of two versions"),
        pytest.param([parts(NEW)[0], parts(METADATA)[1]], id="of two metadata"),
        pytest.param([*parts(NEW), parts(NEW)[1]], id="one chunk twice"),
        pytest.param([parts(NEW)[0], Part("d0", NEW.stamp, NEW.words()[1], 2)], id="numbered otherwise"),
        pytest.param([Part("d0", "w9n9", "w9n9d0c0of1", 0)], id="a version that nobody wrote"),
        pytest.param([Part("d7", "", "", 3)], id="a record of nobody"),
    ],
)
def test_what_is_not_exactly_one_version_is_seen(wrong: list[Part]) -> None:
    assert len(list(wrong_records(wrong, VERSIONS))) == 1


def test_an_older_version_in_the_place_of_an_acknowledged_one_is_seen(made: Made) -> None:
    history = made.writer(begin(1, 1.0, OLD), done(1, 1.1), begin(2, 1.2, NEW), done(2, 1.3)).history
    assert list(wrong_versions(history, parts(OLD)))
    assert list(wrong_versions(history, []))
    assert not list(wrong_versions(history, parts(NEW)))


def test_of_writers_that_met_either_may_win(made: Made) -> None:
    history = made.writer(begin(1, 1.0, NEW), done(1, 1.5)).writer(begin(1, 1.1, OTHER), done(1, 1.4)).history
    assert not list(wrong_versions(history, parts(NEW)))
    assert not list(wrong_versions(history, parts(OTHER)))
    assert list(wrong_versions(history, []))


def test_what_a_writer_left_at_its_death_may_come_or_not_but_not_for_ever(made: Made) -> None:
    made.writer(begin(1, 1.0, OLD), done(1, 1.1), begin(2, 1.2, NEW), death=1.3)
    assert not list(wrong_versions(made.history, parts(OLD)))
    assert not list(wrong_versions(made.history, parts(NEW)))
    made.writer(begin(1, 2.0, OTHER), done(1, 2.1))
    assert not list(wrong_versions(made.history, parts(NEW)))
    made.writer(begin(1, 4.0, OTHER), done(1, 4.1))
    assert list(wrong_versions(made.history, parts(NEW)))
    assert not list(wrong_versions(made.history, parts(OTHER)))


def test_a_writer_that_was_told_to_be_superseded_or_failed_proves_nothing(made: Made) -> None:
    made.writer(begin(1, 1.0, OLD), done(1, 1.1), begin(2, 1.2, NEW), done(2, 1.3, superseded=1))
    assert not list(wrong_versions(made.history, parts(OLD)))
    made.writer(begin(1, 2.0, None), {"kind": "error", "number": 1, "at": 2.1, "error": "no"})
    assert not list(wrong_versions(made.history, parts(OLD)))
    assert made.history.complaints


def test_a_deleted_document_that_is_there_is_seen(made: Made) -> None:
    history = made.writer(begin(1, 1.0, OLD), done(1, 1.1), begin(2, 1.2, None), done(2, 1.3)).history
    assert list(wrong_versions(history, parts(OLD)))
    assert not list(wrong_versions(history, []))


def test_hits_of_versions_that_are_out_of_date_are_seen_two_leases_later(made: Made) -> None:
    made.writer(begin(1, 1.0, OLD), done(1, 1.1), begin(2, 1.2, NEW), done(2, 1.3))
    made.reader(found(1.15, OLD), found(3.2, OLD), found(9.0, NEW))
    assert not list(made.history.wrong_searches(1.0))
    made.reader(found(3.4, OLD), found(3.6, NEW), found(5.0, OLD))
    assert len(list(made.history.wrong_searches(1.0))) == 1


def test_hits_of_a_version_that_never_was_are_seen(made: Made) -> None:
    made.writer(begin(1, 1.0, OLD), done(1, 1.1), begin(2, 1.2, NEW), death=1.3)
    seen = {"stamp": OLD.stamp, "text": OLD.content().text}
    made.reader({"kind": "got", "document": "d0", "at": 3.0, "until": 3.1, "seen": seen}, found(5.0, NEW))
    assert not list(made.history.wrong_searches(1.0))
    made.reader(found(5.2, NEW))
    assert len(list(made.history.wrong_searches(1.0))) == 1


def test_a_document_of_two_texts_or_none_is_seen(made: Made) -> None:
    made.writer(begin(1, 1.0, OLD), done(1, 1.1))
    mixed = {"stamp": OLD.stamp, "text": " ".join([*OLD.words()[:2], *NEW.words()])}
    made.reader(
        {"kind": "got", "document": "d0", "at": 2.0, "until": 2.1, "seen": mixed},
        {"kind": "torn", "document": "d0", "at": 2.2, "until": 4.3, "error": "not whole"},
    )
    assert len(made.history.complaints) == 2

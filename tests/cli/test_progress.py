"""Progress: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from nestvec._cli.intake import Ingestion
from nestvec._cli.progress import Bar, Lines, progress
from nestvec.types import Report


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_lines_come_every_tenth_of_the_work(capsys):
    shown = Lines(1000, Clock())
    for done in range(0, 1001, 10):
        shown.advance(done, done)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 10
    assert said[0] == "100 documents stored (10 %)"


def test_lines_come_every_few_seconds_where_the_total_is_unknown(capsys):
    clock = Clock()
    shown = Lines(None, clock)
    for second in range(21):
        clock.now = float(second)
        shown.advance(second, second)
    assert capsys.readouterr().err.splitlines() == [f"{n} documents stored" for n in (5, 10, 15, 20)]


def test_what_is_counted_is_named(monkeypatch, capsys):
    shown = Lines(10, Clock(), noun="record", verb="copied")
    shown.advance(1, 1)
    assert capsys.readouterr().err == "1 record copied (10 %)\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress(None, unit=" records", noun="record", verb="copied") as shown:
        shown.advance(50, 3)
        assert "50 records" in str(shown._bar)
        assert "3 copied" in str(shown._bar)


def test_the_bar_is_for_terminals(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress(100) as shown:
        assert isinstance(shown, Bar)
        shown.advance(50, 3)
        shown.advance(40, 3)
        assert shown._bar.n == 50
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert isinstance(progress(100), Lines)


class Stream:
    """A feed of numbered documents, at positions equal to their numbers."""

    failed = ()

    def __init__(self, count):
        self.position = 0
        self._count = count

    def __iter__(self):
        for number in range(1, self._count + 1):
            self.position = number
            yield number


@given(st.lists(st.integers(1, 32), min_size=1, max_size=30))
def test_what_is_shown_never_runs_ahead_of_what_is_stored(sizes):
    """Reading is one batch ahead of storing here, as it is in a real run."""
    shown = []
    collection = SimpleNamespace(spec=SimpleNamespace(model=SimpleNamespace(batch=32)))
    target = SimpleNamespace(advance=lambda done, stored: shown.append((done, stored)))
    run = Ingestion(collection, Stream(sum(sizes)), target, 0.0)
    reading = run._documents()
    for size, before in zip(sizes, [0, *sizes], strict=False):
        for _ in range(size):
            next(reading)
        run._durable(Report(documents=before))
    run._durable(Report(documents=sizes[-1]))
    assert all(done <= max(stored, 1) for done, stored in shown)
    assert shown[-1] == (sum(sizes), sum(sizes))

"""Progress: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from nestvec.cli.progress import Bar, Lines, progress


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


@given(st.lists(st.integers(0, 60), max_size=30))
def test_what_is_shown_never_runs_ahead_of_what_is_stored(sizes):
    """The position shown is that of a document whose batch is settled, or the next one."""
    from types import SimpleNamespace

    from nestvec.cli.intake import Ingestion
    from nestvec.types import Report

    shown = []
    collection = SimpleNamespace(spec=SimpleNamespace(model=SimpleNamespace(batch=32)))
    target = SimpleNamespace(advance=lambda done, stored: shown.append((done, stored)))
    feed = SimpleNamespace(failed=[], position=0)

    def items():
        for number in range(1, sum(sizes) + 1):
            feed.position = number
            yield number

    class Stream:
        failed = ()
        position = property(lambda self: feed.position)

        def __iter__(self):
            return items()

    run = Ingestion(collection, Stream(), target)
    stream = run._documents()
    for size in sizes:
        for _ in range(min(size, 32)):
            next(stream, None)
        run._durable(Report(documents=min(size, 32)))
    assert all(done <= max(stored, 1) for done, stored in shown)
    assert [done for done, _ in shown] == sorted(done for done, _ in shown)

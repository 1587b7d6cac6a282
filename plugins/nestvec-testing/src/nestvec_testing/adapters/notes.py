"""The kit's checks on notes: short texts that are kept beside a collection."""

from __future__ import annotations

from typing import Final

from nestvec.capabilities import Power
from nestvec.contract import MAX_NOTE, Describe, Drop, ListCollections, ListTenants, ReadNote, Update, WriteNote
from nestvec_testing.adapters.base import AdapterKit
from nestvec_testing.bench import Bench
from nestvec_testing.data import PARSED, KitCollection, record, vectors

#: What an engine might escape, trim or take for nothing; and the largest, in one byte a letter and in two.
_TEXTS: Final = (
    "first",
    "",
    " \t\n",
    'ünï "quoted" \\ {"a": [1, null]} 東京 👋🏽 \x00 e\u0301',
    "x" * MAX_NOTE,
    '"\\' * (MAX_NOTE // 2),
    "ü" * (MAX_NOTE // 2),
)


class NoteChecks(AdapterKit):
    """Notes through the adapter itself. That there must be a collection for one is checked with all other requests."""

    def test_notes_are_kept_side_by_side(self, bench: Bench) -> None:
        """Written, replaced and removed one by one, whatever they say, up to the largest."""
        table = KitCollection(bench)
        assert read(bench, table, "canaries") is None, "a note that nobody wrote is None"
        write(bench, table, "0-other", "beside it")
        for text in _TEXTS:
            write(bench, table, "canaries", text)
            found = read(bench, table, "canaries")
            assert found == text, f"a note comes back as it was written: {_brief(text)}, not {_brief(found)}"
        # Names that begin alike are not each other's.
        for state in ("there", None, None, "again"):
            write(bench, table, "canaries-2", state)
            found = read(bench, table, "canaries-2")
            assert found == state, f"a removed note is None, and can be written again: {state!r}, not {_brief(found)}"
            assert read(bench, table, "canaries") == _TEXTS[-1], "removing one note leaves the others alone"
        assert read(bench, table, "0-other") == "beside it", "writing one note leaves the others alone"

    def test_notes_are_not_records(self, bench: Bench) -> None:
        """No reading of records, tenants or collections shows a note; the collection's own record stays as it was."""
        for tenant in (None, "acme"):
            table = KitCollection(bench, suffix="n" if tenant is None else "m", tenants=tenant is not None)
            rows = vectors(3, table.size, unit=True)
            table.write([record(f"d{i}") for i in range(3)], rows, tenant)
            info, listed = bench.raw(Describe(table.physical)), set(bench.raw(ListCollections()))
            for name in ("canaries", "move"):
                write(bench, table, name, f"{name} " * 100)
            wanted = sorted(each.id for each in table.records)
            assert sorted(table.scroll()) == wanted, "notes are no records, but a scroll shows them"
            assert table.count() == 3, f"notes are no records, but counted: 3 became {table.count()}"
            (found,) = table.query(rows[:1], tenant=tenant)
            assert sorted(hit.record.id for hit in found) == wanted, "notes are no records, but a search finds them"
            tenants = bench.raw(ListTenants(table.physical))
            assert tenants == ([] if tenant is None else [tenant]), f"notes are nobody's, but tenants are {tenants}"
            # Others may be making collections meanwhile.
            new = [name for name in bench.raw(ListCollections()) if name not in listed]
            shown = [name for name in new if table.physical in name or "canaries" in name]
            assert not shown, f"notes are no collections, but listed as such: {shown}"
            assert bench.raw(Describe(table.physical)) == info, "writing a note leaves the description as it was"

    def test_notes_go_with_their_collection(self, bench: Bench) -> None:
        """They outlive the record and the client, but not the collection, nor does another of its name have them."""
        table = KitCollection(bench)
        for name in ("canaries", "move"):
            write(bench, table, name, name)
        stamp = {"nestvec": 1, "changed": "yes"}
        if Power.UPDATES in bench.capabilities.powers:
            bench.raw(Update(table.physical, PARSED, stamp))
        else:
            stamp = dict(table.request.record)
        if bench.subject.reopens:
            bench.reopen()
        for name in ("canaries", "move"):
            found = read(bench, table, name)
            assert found == name, f"replacing the record leaves notes alone, but {name!r} became {_brief(found)}"
        write(bench, table, "canaries", None)
        assert bench.raw(Describe(table.physical)).record == stamp, "removing a note leaves the record alone"
        bench.raw(Drop(table.physical))
        bench.raw(table.request)
        found = read(bench, table, "move")
        assert found is None, f"a collection created anew has no notes, but there is {_brief(found)}"


def read(bench: Bench, table: KitCollection, name: str) -> str | None:
    """What a note says."""
    text: str | None = bench.raw(ReadNote(table.physical, name))
    return text


def write(bench: Bench, table: KitCollection, name: str, text: str | None) -> None:
    """Write or remove a note."""
    bench.raw(WriteNote(table.physical, name, text))


def _brief(text: str | None) -> str:
    return repr(text) if text is None or len(text) < 100 else f"{text[:20]!r}… of {len(text)} characters"

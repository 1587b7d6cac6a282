"""The records of one collection: rows of SQLite's tables, and rows of vectors beside them.

What is kept in memory is which slots are taken and how long their vectors are; all of it is read again from the tables
after anything went wrong. A record that is replaced moves to a slot that no record has: its new vectors reach the disk
first, and the transaction that makes the tables speak of them is what makes them count.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nestvec.contract import CollectionInfo
from nestvec.errors import BackendRefused
from nestvec.filters import matches
from nestvec_embedded.errors import DAMAGED, damaged
from nestvec_embedded.filters import Selection
from nestvec_embedded.ranking import ComparedRows, lengths_of
from nestvec_embedded.records import checksums, contents_of, record_of
from nestvec_embedded.terms import TENANT, terms_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.filters import Filter, Leaf
    from nestvec.types import FloatArray, Record
    from nestvec_embedded.vectors import Slots, VectorRows

    Mask = NDArray[np.bool_]

#: Parameters of a statement.
_TOGETHER: Final = 500
#: Up to this part of all records, they are looked up instead of all keys being read.
_FEW: Final = 0.05


class RecordTable:
    """Reads and writes records, within the caller's transaction and lock.

    After a transaction `settle` or `forget` must be called: what is in memory follows what is stored.
    """

    def __init__(
        self, db: sqlite3.Connection, number: int, info: CollectionInfo, rows: Mapping[str, VectorRows], place: str
    ) -> None:
        self.info, self.rows = info, rows
        self._db, self._number, self._place = db, int(number), place
        self._selection = Selection(self)
        self._paths: dict[str, int] = {}
        self._taken = np.empty(0, np.bool_)
        self._lengths = np.empty((0, len(rows)))
        self._count = 0
        self._loaded = False
        #: What a transaction changes: slots that become free, slots that are taken, and their vectors' lengths.
        self._change: tuple[Slots, Slots, Any] | None = None

    # ------------------------------------------------------------ what is in memory

    @property
    def room(self) -> int:
        """How many slots there may be."""
        return len(self._taken)

    def load(self) -> None:
        """Read which slots are taken, unless that is known."""
        if self._loaded:
            return
        self._selection.forget()
        self._change = None
        self._paths = {path: number for number, path in self._run("SELECT number, path FROM paths_{n}")}
        found = self._run("SELECT slot, lengths FROM records_{n}")
        try:
            slots = np.fromiter((slot for slot, _ in found), np.int64, len(found))
            lengths = np.frombuffer(b"".join(stored for _, stored in found), np.dtype("<f8"))
            lengths = lengths.reshape(len(slots), len(self.rows))
        except DAMAGED as error:
            raise self.damaged(f"the table of its records cannot be read ({error!r:.100})") from error
        room = min(len(rows.matrix) for rows in self.rows.values())
        if len(slots) and not 0 <= slots.min() <= slots.max() < room:
            raise self.damaged("the files of its vectors are too short, or not its own")
        self._taken = np.zeros(room, np.bool_)
        self._lengths = np.zeros((room, len(self.rows)))
        self._taken[slots] = True
        self._lengths[slots] = lengths
        self._count = len(slots)
        self._loaded = True

    def forget(self) -> None:
        """A transaction was not made, or nobody knows: everything is read again."""
        self._loaded = False

    def settle(self) -> None:
        """The transaction was made: follow it."""
        if self._change is None:
            return
        (removed, added, lengths), self._change, self._loaded = self._change, None, False
        self._taken[removed] = False
        self._taken[added] = True
        self._lengths[added] = lengths
        self._count += len(added) - len(removed)
        self._selection.forget()
        self._loaded = True

    # ------------------------------------------------------------ writing

    def write(self, records: Sequence[Record], vectors: Mapping[str, FloatArray], tenant: str | None) -> None:
        """Insert or replace; of several records with one id, the last."""
        last = {record.id: number for number, record in enumerate(records)}
        if len(last) < len(records):
            chosen = sorted(last.values())
            records, vectors = [records[i] for i in chosen], {name: rows[chosen] for name, rows in vectors.items()}
        matrices = [vectors[name] for name in self.rows]
        replaced = self._slots([record.id for record in records], tenant or "")
        slots = self._free(len(records))
        for rows, matrix in zip(self.rows.values(), matrices, strict=True):
            rows.write(slots, matrix)
            rows.sync()
        lengths = np.stack([lengths_of(matrix) for matrix in matrices], axis=1)
        self._delete(replaced)
        self._insert(slots.tolist(), records, lengths, checksums(matrices, len(records)), tenant)
        self._change = np.array(replaced, np.int64), slots, lengths

    def remove(self, ids: Sequence[str], tenant: str | None) -> None:
        """Delete; ids that are not there are no error."""
        removed = self.slots_of(ids, tenant)
        self._delete(removed)
        self._change = np.array(removed, np.int64), np.empty(0, np.int64), np.empty((0, len(self.rows)))

    def _free(self, count: int) -> Slots:
        """The lowest slots that no record has."""
        free = np.flatnonzero(~self._taken)[:count]
        missing = count - len(free)
        if missing > 0:
            for rows in self.rows.values():
                rows.reserve(self.room + missing)
            room = min(len(rows.matrix) for rows in self.rows.values())
            more = room - self.room
            self._taken = np.concatenate([self._taken, np.zeros(more, np.bool_)])
            self._lengths = np.concatenate([self._lengths, np.zeros((more, len(self.rows)))])
            self._selection.forget()
            free = np.flatnonzero(~self._taken)[:count]
        return free

    def _insert(
        self, slots: list[int], records: Sequence[Record], lengths: Any, sums: list[int], tenant: str | None
    ) -> None:
        owner, width = tenant or "", lengths.shape[1] * 8
        packed = lengths.astype("<f8").tobytes()
        self._many(
            "INSERT INTO records_{n} VALUES (?, ?, ?, ?, ?)",
            [
                (slot, record.id, owner, packed[i * width : (i + 1) * width], sums[i])
                for i, (slot, record) in enumerate(zip(slots, records, strict=True))
            ],
        )
        contents = [(slot, *contents_of(record)) for slot, record in zip(slots, records, strict=True)]
        self._many("INSERT INTO contents_{n} VALUES (?, ?, ?)", contents)
        rows = [
            (self._path(path), value, slot)
            for slot, record in zip(slots, records, strict=True)
            for path, value in terms_of(record, tenant)
        ]
        rows.sort()  # neighbours in the index are written one after the other
        self._many("INSERT INTO terms_{n} VALUES (?, ?, ?)", rows)

    def _delete(self, slots: Sequence[int]) -> None:
        rows = [
            (self._paths[path], value, slot)
            for slot, tenant, record in self._whole(slots)
            for path, value in terms_of(record, tenant or None)
            if path in self._paths
        ]
        self._many("DELETE FROM terms_{n} WHERE path = ? AND value = ? AND slot = ?", sorted(rows))
        for table in ("contents_{n}", "records_{n}"):
            self._many(f"DELETE FROM {table} WHERE slot = ?", [(slot,) for slot in slots])  # noqa: S608 # nosec B608

    def _path(self, path: str) -> int:
        number = self._paths.get(path)
        if number is None:
            number = self._db.execute(self._sql("INSERT INTO paths_{n} (path) VALUES (?)"), (path,)).lastrowid
            assert number is not None  # noqa: S101 - a row was inserted
            self._paths[path] = number
        return number

    # ------------------------------------------------------------ reading

    def selected(self, where: Filter | None, tenant: str | None) -> Slots | None:
        """The slots of a tenant's records that satisfy a filter; None: every slot up to the number of records."""
        if where is None and tenant is None and not self._has_gaps():
            return None
        return np.flatnonzero(self._mask(where, tenant))

    def count(self, where: Filter | None, tenant: str | None) -> int:
        """How many there are."""
        if where is None and tenant is None:
            return self._count
        return int(np.count_nonzero(self._mask(where, tenant)))

    def candidates(self, vector: str, slots: Slots | None) -> ComparedRows:
        """What a search by a vector looks at."""
        number = list(self.rows).index(vector)
        count = self._count if slots is None else int(slots[-1]) + 1 if len(slots) else 0
        return ComparedRows(self.rows[vector].matrix, self._lengths[:, number], count, slots)

    def slots_of(self, ids: Sequence[str], tenant: str | None) -> list[int]:
        """The slots of records; without a tenant, of everybody's."""
        return self._slots(list(dict.fromkeys(ids)), tenant)

    def page(
        self, where: Filter | None, tenant: str | None, after: tuple[str, str] | None, limit: int
    ) -> list[tuple[int, str, str]]:
        """Slots, ids and tenants in ascending order of ids, after a key; one more than `limit`, if others follow."""
        mask = None if where is None and tenant is None else self._mask(where, tenant)
        if mask is None or np.count_nonzero(mask) > _FEW * self._count:
            return self._page_of_all(mask, after, limit)
        slots = np.flatnonzero(mask).tolist()
        keys = self._by_slots("SELECT slot, id, tenant FROM records_{n} WHERE slot IN ({slots})", slots)
        following = sorted((id_, owner, slot) for slot, id_, owner in keys if after is None or (id_, owner) > after)
        return [(slot, id_, owner) for id_, owner, slot in following[: limit + 1]]

    def _page_of_all(self, mask: Mask | None, after: tuple[str, str] | None, limit: int) -> list[tuple[int, str, str]]:
        condition = "TRUE" if after is None else "(id, tenant) > (?, ?)"
        rows = self._db.execute(
            self._sql(f"SELECT slot, id, tenant FROM records_{{n}} WHERE {condition} ORDER BY id, tenant"),  # noqa: S608 # nosec B608
            after or (),
        )
        found: list[tuple[int, str, str]] = []
        for row in rows:
            if mask is None or mask[row[0]]:
                found.append(row)
                if len(found) > limit:
                    break
        rows.close()
        return found

    def records(self, slots: Sequence[int], *, content: bool = True) -> dict[int, Record]:
        """The records at these slots, by slot."""
        column = "content" if content else "NULL"
        sql = f"SELECT slot, id, system, {column} FROM records_{{n}} JOIN contents_{{n}} USING (slot) "  # noqa: S608 # nosec B608
        return {
            slot: self._record(id_, system, stored)
            for slot, id_, system, stored in self._by_slots(sql + "WHERE slot IN ({slots})", slots)
        }

    def vectors(self, slots: Sequence[int]) -> dict[str, FloatArray]:
        """Their vectors, compared with what was written."""
        chosen = np.array(slots, np.int64)
        found = {name: rows.matrix[chosen] for name, rows in self.rows.items()}
        known = dict(self._by_slots("SELECT slot, checksum FROM records_{n} WHERE slot IN ({slots})", slots))
        sums = checksums(found.values(), len(slots))
        for slot, checksum in zip(slots, sums, strict=True):
            if known.get(slot) != checksum:
                raise self.damaged("vectors are not what was written")
        return found

    def tenants(self) -> list[str]:
        """The names of all tenants that have records."""
        if TENANT not in self._paths:
            return []
        found = self._db.execute(
            self._sql("SELECT DISTINCT value FROM terms_{n} WHERE path = ?"), (self._paths[TENANT],)
        )
        return [bytes(value).decode() for (value,) in found]

    # ------------------------------------------------------------ what filters ask

    def found(self, paths: Sequence[str], condition: str, values: Mapping[str, Any]) -> Iterable[int]:
        """The slots of terms at these paths for which a condition on `value` holds. The condition is ours."""
        numbers = [self._paths[path] for path in paths if path in self._paths]
        sql = self._sql(f"SELECT slot FROM terms_{{n}} WHERE path = :path AND {condition}")  # noqa: S608 # nosec B608
        for number in numbers:
            yield from chain.from_iterable(self._db.execute(sql, {**values, "path": number}).fetchall())

    def holds(self, leaf: Leaf, slot: int) -> bool:
        """Whether it holds for the record as it is kept."""
        record = self.records([slot])[slot]
        return matches(leaf, record.metadata, {**record.system, "document_id": record.document_id})

    # ------------------------------------------------------------ statements

    def _mask(self, where: Filter | None, tenant: str | None) -> Mask:
        mask = self._taken
        if tenant is not None:
            mask = mask & self._selection.of_tenant(tenant)
        return mask if where is None else mask & self._selection.mask(where)

    def _has_gaps(self) -> bool:
        return not bool(self._taken[: self._count].all())

    def _slots(self, ids: Sequence[str], owner: str | None) -> list[int]:
        """The slots of records of an owner ("" is nobody); None: of everybody."""
        found: list[int] = []
        for start in range(0, len(ids), _TOGETHER):
            part = ids[start : start + _TOGETHER]
            marks = ",".join("?" * len(part))
            sql = self._sql(f"SELECT slot, tenant FROM records_{{n}} WHERE id IN ({marks})")  # noqa: S608 # nosec B608
            found += [slot for slot, tenant in self._db.execute(sql, part).fetchall() if owner in (None, tenant)]
        return found

    def _whole(self, slots: Sequence[int]) -> Iterator[tuple[int, str, Record]]:
        sql = "SELECT slot, tenant, id, system, content FROM records_{n} JOIN contents_{n} USING (slot) "
        for slot, owner, id_, system, content in self._by_slots(sql + "WHERE slot IN ({slots})", slots):
            yield slot, owner, self._record(id_, system, content)

    def _record(self, identity: str, system: str, content: str | None) -> Record:
        try:
            return record_of(identity, system, content)
        except DAMAGED as error:
            raise self.damaged(f"record {identity!r:.80} cannot be read ({error!r:.100})") from error

    def _by_slots(self, sql: str, slots: Sequence[int]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(slots), _TOGETHER):
            part = slots[start : start + _TOGETHER]
            yield from self._db.execute(self._sql(sql).replace("{slots}", ",".join("?" * len(part))), part).fetchall()

    def _run(self, sql: str) -> list[tuple[Any, ...]]:
        return self._db.execute(self._sql(sql)).fetchall()

    def _many(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        self._db.executemany(self._sql(sql), rows)

    def _sql(self, sql: str) -> str:
        return sql.replace("{n}", str(self._number))

    def damaged(self, what: str) -> BackendRefused:
        """The error for a collection that is not as it was left."""
        return damaged(self._place, f"collection {self.info.physical!r}: {what}")

"""Records on their way out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.contract import Batch, Found
from nestvec.types import Metric, Record
from nestvec_milvus import foreign, layout
from nestvec_milvus.schema import Columns
from nestvec_milvus.wire import cells_of, rows_of, values_of

if TYPE_CHECKING:
    from nestvec.types import FloatArray


def output_fields(columns: Columns, *, content: bool, vectors: bool = False) -> list[str]:
    """The columns to read. Somebody else's collection may lack some."""
    if columns.foreign is not None:
        there = [columns.key.column, *columns.foreign.columns(content=content)]
        return list(dict.fromkeys([*there, columns.foreign.vector] if vectors else there))
    names = [layout.ID, layout.DOCUMENT_ID, layout.SYSTEM]
    names += [layout.TENANT] if columns.tenants else []
    names += [layout.TEXT, layout.METADATA] if content else []
    found = [name for name in names if name in columns.own]
    return [*found, *columns.vectors] if vectors else found


class Table:
    """The columns of an answer, from a collection with such columns."""

    def __init__(self, fields: Sequence[Any], columns: Columns) -> None:
        self._columns = columns
        read = values_of if columns.foreign is None else cells_of
        self._scalars = {each.field_name: read(each) for each in fields if each.HasField("scalars")}
        self._vectors = {each.field_name: each for each in fields if each.HasField("vectors")}

    @property
    def ids(self) -> list[str]:
        """The primary keys."""
        return [str(each) for each in self._scalars.get(self._columns.key.column, ())]

    def records(self, ids: Sequence[str] | None = None) -> list[Record]:
        """A record for each row. `ids` where they come beside the columns."""
        return [self._record(number, identity) for number, identity in enumerate(ids if ids is not None else self.ids)]

    def vectors(self) -> dict[str, FloatArray]:
        """The rows of each vector."""
        return {name: self.rows(name) for name in self._columns.vectors}

    def rows(self, name: str) -> FloatArray:
        """The rows of one vector, shape (n, dimensions). An answer without records may lack the column."""
        found = self._vectors.get(self._columns.native(name))
        return rows_of(found) if found is not None else np.zeros((0, self._columns.vectors[name]), np.float32)

    def tenants(self) -> Sequence[str]:
        """The tenant of each row."""
        return [layout.with_nul(each) for each in self._scalars.get(layout.TENANT, ())]

    def _record(self, row: int, identity: str) -> Record:
        if self._columns.foreign is not None:
            return foreign.record(self._columns.foreign, self._scalars.get, row, str(identity))
        system = json.loads(self._scalars[layout.SYSTEM][row]) if layout.SYSTEM in self._scalars else {}
        bare = system.pop(layout.NO_TEXT, None) is not None
        texts = self._scalars.get(layout.TEXT)
        stored = json.loads(self._scalars[layout.METADATA][row]) if layout.METADATA in self._scalars else {}
        documents = self._scalars.get(layout.DOCUMENT_ID)
        return Record(
            id=str(identity),
            document_id=layout.with_nul(documents[row]) if documents is not None else str(identity),
            text=None if bare or texts is None else texts[row],
            metadata={layout.original(name): value for name, value in stored.items()},
            system=system,
        )


def batch_of(tables: Sequence[Table], columns: Columns, *, vectors: bool, cursor: str | None = None) -> Batch:
    """A reply with the rows of all tables."""
    records = [record for table in tables for record in table.records()]
    if not vectors:
        return Batch(records, None, cursor)
    parts = [table.vectors() for table in tables]
    stacked = {
        name: np.concatenate([np.zeros((0, size), np.float32), *(part[name] for part in parts if part[name].size)])
        for name, size in columns.vectors.items()
    }
    return Batch(records, stacked, cursor)


def of_tenant(batch: Batch, tables: Sequence[Table], tenant: str | None) -> Batch:
    """The rows that this tenant may see; all of them without a tenant."""
    if tenant is None:
        return batch
    owners = [owner for table in tables for owner in table.tenants()]
    kept = [number for number, owner in enumerate(owners) if owner == tenant]
    vectors = {name: rows[kept] for name, rows in batch.vectors.items()} if batch.vectors is not None else None
    return Batch([batch.records[number] for number in kept], vectors, batch.cursor)


def ids_of(results: Any, columns: Columns) -> list[list[str]]:
    """The primary keys of each question's hits, best first."""
    ids = [str(each) for each in (results.ids.int_id.data if columns.key.numeric else results.ids.str_id.data)]
    ends = np.cumsum([0, *results.topks]).tolist()
    return [ids[start:end] for start, end in pairwise(ends)]


def ranked(results: Any, metric: Metric, threshold: float | None, columns: Columns) -> list[list[Found]]:
    """The hits of each question, best first."""
    ids = results.ids.int_id.data if columns.key.numeric else results.ids.str_id.data
    records = Table(results.fields_data, columns).records([str(each) for each in ids])
    scores = np.array(results.scores, np.float32)
    if metric is Metric.EUCLIDEAN:
        scores = np.float32(0) - np.sqrt(np.maximum(scores, np.float32(0)))  # Milvus gives squared distances
    answers, start = [], 0
    for count in results.topks:
        answers.append([Found(records[row], float(scores[row])) for row in range(start, start + count)])
        start += count
    if threshold is None:
        return answers
    least = np.float32(threshold)
    return [[hit for hit in hits if np.float32(hit.score) >= least] for hits in answers]

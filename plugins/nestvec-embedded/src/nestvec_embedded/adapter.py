"""The adapter: one method for each request of nestvec's contract, which says what it does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from nestvec import contract
from nestvec.contract import Batch, CollectionInfo, Found
from nestvec.errors import BackendRefused, CollectionNotFound
from nestvec.types import DENSE
from nestvec_embedded.errors import DAMAGED
from nestvec_embedded.options import CAPABILITIES
from nestvec_embedded.ranking import rank
from nestvec_embedded.store import Store

if TYPE_CHECKING:
    from nestvec.capabilities import BackendCapabilities
    from nestvec.types import FloatArray
    from nestvec_embedded.options import EmbeddedOptions
    from nestvec_embedded.table import RecordTable
    from nestvec_embedded.vectors import Slots

_ALIAS: Final = "SELECT physical FROM aliases JOIN collections USING (number) WHERE name = ?"


def open_adapter(options: EmbeddedOptions) -> EmbeddedAdapter:
    """The adapter for these options. Raises `BackendError`."""
    return EmbeddedAdapter(Store(options))


@dataclass(frozen=True, eq=False, repr=False)
class EmbeddedAdapter(
    contract.Adapter, contract.Aliases, contract.Notes, contract.Updates, contract.Tenancy, contract.Funnels
):
    """Collections in one store, seen by everybody or by one tenant. Safe for threads; not across a fork."""

    store: Store
    #: Whose records it is about; None for those of all tenants.
    tenant: str | None = None

    def __repr__(self) -> str:
        return f"<EmbeddedAdapter {self.store.place}>"

    def capabilities(self) -> BackendCapabilities:
        """There is no server to ask."""
        return CAPABILITIES

    def close(self) -> None:
        """Let the folder go."""
        self.store.close()

    def of_tenant(self, tenant: str) -> EmbeddedAdapter:
        """A view for the tenant's records alone."""
        return replace(self, tenant=tenant)

    # ------------------------------------------------------------ collections

    def describe(self, request: contract.Describe) -> CollectionInfo | None:
        """Read what was written when it was created, or updated."""
        with self.store.reading():
            try:
                return self.store.known(request.physical)[1]
            except CollectionNotFound:
                return None

    def list_collections(self, request: contract.ListCollections) -> list[str]:  # noqa: ARG002
        """The names of all collections."""
        with self.store.reading() as db:
            return [name for (name,) in db.execute("SELECT physical FROM collections ORDER BY physical")]

    def create(self, request: contract.Create) -> None:
        """Create a collection; every one is ready for tenants."""
        made = CollectionInfo(request.physical, request.vectors, request.metric, request.record, request.fields)
        made = CollectionInfo.from_dict(request.physical, json.loads(json.dumps(made.to_dict())))  # as it is read
        with self.store.writing():
            try:
                _, found = self.store.known(request.physical)
            except CollectionNotFound:
                self.store.make(made)
                return
        if found != made:
            raise BackendRefused(
                f"{self.store.place} has a collection {request.physical!r} already, and it differs; choose another name"
            )

    def create_extended(self, request: contract.CreateExtended) -> None:
        """The same."""
        self.create(request)

    def update(self, request: contract.Update) -> None:
        """Replace the record and the fields; all fields are indexed anyway."""
        with self.store.writing():
            _, info = self.store.known(request.physical)
            self.store.describe_anew(replace(info, fields=request.fields, record=request.record))

    def drop(self, request: contract.Drop) -> None:
        """Delete a collection, its notes and the aliases that lead to it."""
        self.store.drop(request.physical)

    def resolve_alias(self, request: contract.ResolveAlias) -> str | None:
        """Look the alias up."""
        with self.store.reading() as db:
            row = db.execute(_ALIAS, (request.name,)).fetchone()
            return row[0] if row else None

    def set_alias(self, request: contract.SetAlias) -> None:
        """Switch the alias."""
        with self.store.writing() as db:
            if db.execute("SELECT 1 FROM collections WHERE physical = ?", (request.name,)).fetchone():
                raise BackendRefused(f"alias {request.name!r} would hide the collection of that name")
            number, _ = self.store.known(request.physical)
            db.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?)", (request.name, number))

    def drop_alias(self, request: contract.DropAlias) -> None:
        """Delete the alias."""
        with self.store.writing() as db:
            db.execute("DELETE FROM aliases WHERE name = ?", (request.name,))

    def write_note(self, request: contract.WriteNote) -> None:
        """Keep a note, or remove it."""
        with self.store.writing() as db:
            number, _ = self.store.known(request.physical)
            if request.text is None:
                db.execute("DELETE FROM notes WHERE number = ? AND name = ?", (number, request.name))
            else:
                db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?, ?)", (number, request.name, request.text))

    def read_note(self, request: contract.ReadNote) -> str | None:
        """Look it up."""
        with self.store.reading() as db:
            number, _ = self.store.known(request.physical)
            row = db.execute("SELECT text FROM notes WHERE number = ? AND name = ?", (number, request.name)).fetchone()
            return row[0] if row else None

    # ---------------------------------------------------------------- records

    def write(self, request: contract.Write) -> None:
        """Insert or replace, in one transaction."""
        with self.store.writing():
            table = self.store.table(request.physical)
            self._check_vectors(table, request.vectors)
            if request.records:
                table.write(request.records, request.vectors, self.tenant)

    def remove(self, request: contract.Remove) -> None:
        """Delete by id, in one transaction."""
        with self.store.writing():
            self.store.table(request.physical).remove(request.ids, self.tenant)

    def fetch(self, request: contract.Fetch) -> Batch:
        """Read by id."""
        with self.store.reading():
            table = self.store.table(request.physical)
            slots = table.slots_of(request.ids, self.tenant)
            return _batch(table, slots, request)

    def scroll(self, request: contract.Scroll) -> Batch:
        """Read a page, in the order of ids; the cursor is the last one's id and tenant."""
        with self.store.reading():
            table = self.store.table(request.physical)
            page = table.page(request.where, self.tenant, _after(request.cursor), request.limit)
            cursor = json.dumps(page[request.limit - 1][1:]) if len(page) > request.limit else None
            return _batch(table, [slot for slot, *_ in page[: request.limit]], request, cursor)

    def count(self, request: contract.Count) -> int:
        """Count exactly."""
        with self.store.reading():
            return self.store.table(request.physical).count(request.where, self.tenant)

    def query(self, request: contract.Query) -> list[list[Found]]:
        """Compare the questions with all records, or with those that satisfy the filter."""
        with self.store.reading():
            table = self.store.table(request.physical)
            self._check_vectors(table, {DENSE: request.vectors[DENSE]}, only=True)
            return self._best(table, request, table.selected(request.where, self.tenant))

    def query_staged(self, request: contract.QueryStaged) -> list[list[Found]]:
        """Each stage compares a shorter vector of what the stage before it left."""
        with self.store.reading():
            table = self.store.table(request.physical)
            self._check_vectors(table, request.vectors, only=True)
            selected = table.selected(request.where, self.tenant)
            answers: list[list[Found]] = []
            for number in range(len(request.vectors[DENSE])):
                slots = selected
                for stage in request.stages:
                    question = request.vectors[stage.vector][number : number + 1]
                    candidates = table.candidates(stage.vector, slots)
                    ((best, _),) = rank(candidates, question, request.metric, stage.limit)
                    slots = np.sort(best)
                one = replace(request, vectors={DENSE: request.vectors[DENSE][number : number + 1]})
                answers += self._best(table, one, slots)
            return answers

    def list_tenants(self, request: contract.ListTenants) -> list[str]:
        """Look them up in the index."""
        with self.store.reading():
            return self.store.table(request.physical).tenants()

    def _best(self, table: RecordTable, request: contract.Query, slots: Slots | None) -> list[list[Found]]:
        until = request.offset + max(request.limit, 0)
        ranked = rank(table.candidates(DENSE, slots), request.vectors[DENSE], request.metric, until, request.threshold)
        pages = [(best[request.offset :].tolist(), scores[request.offset :].tolist()) for best, scores in ranked]
        records = table.records(sorted({slot for best, _ in pages for slot in best}))
        return [[Found(records[slot], score) for slot, score in zip(*page, strict=True)] for page in pages]

    def _check_vectors(self, table: RecordTable, given: Mapping[str, FloatArray], *, only: bool = False) -> None:
        """Raises `BackendRefused` for vectors of other names or sizes than there are; `only`: not all are given."""
        sizes = {name: rows.shape[1] for name, rows in given.items()}
        wanted = {name: size for name, size in table.info.vectors.items() if not only or name in sizes}
        if sizes != wanted:
            raise BackendRefused(
                f"{self.store.place}: collection {table.info.physical!r} has vectors {dict(wanted)}, not {sizes}"
            )


def _batch(
    table: RecordTable, slots: Sequence[int], request: contract.Fetch | contract.Scroll, cursor: str | None = None
) -> Batch:
    records = table.records(slots, content=request.content)
    vectors = table.vectors(slots) if request.vectors else None
    return Batch([records[slot] for slot in slots], vectors, cursor)


def _after(cursor: str | int | None) -> tuple[str, str] | None:
    if cursor is None:
        return None
    try:
        identity, tenant = json.loads(str(cursor))
        return str(identity), str(tenant)
    except DAMAGED as error:
        raise BackendRefused(f"{cursor!r:.80} is no cursor of this backend; begin again without one") from error

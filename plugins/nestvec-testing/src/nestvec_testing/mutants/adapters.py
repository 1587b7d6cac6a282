"""Adapters whose collections or records are broken in one way each."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final

import numpy as np

from nestvec.contract import (
    Batch,
    CollectionInfo,
    Count,
    Create,
    Describe,
    DropAlias,
    Fetch,
    ListCollections,
    ListTenants,
    Remove,
    ResolveAlias,
    Scroll,
    SetAlias,
    Update,
    Write,
    WriteNote,
)
from nestvec.errors import CollectionNotFound
from nestvec.types import Metric, Record
from nestvec_testing.data import record
from nestvec_testing.memory import MemoryAdapter
from nestvec_testing.mutants.base import Mutant, register

STORING: Final[list[Mutant]] = []
mutant = partial(register, STORING)
_FULL = 64

# ---------------------------------------------------------------- collections


@mutant("test_collection_has_the_chosen_dimensions", "exactly the chosen dimensions")
class PadsToFull(MemoryAdapter):
    """Creates the model's full size and pads."""

    def create(self, request: Create) -> None:
        super().create(replace(request, vectors=dict.fromkeys(request.vectors, _FULL)))

    def write(self, request: Write) -> None:
        rows = {name: _padded(matrix) for name, matrix in request.vectors.items()}
        super().write(replace(request, vectors=rows))


@mutant("test_description_is_what_was_created", "the record is stored on the collection")
class ForgetsTheRecord(MemoryAdapter):
    """Stores no space with the collection."""

    def create(self, request: Create) -> None:
        super().create(replace(request, record={}))


@mutant("test_foreign_collections_are_left_alone", "a foreign collection keeps its record")
class AdoptsForeignCollections(MemoryAdapter):
    """Stamps whatever it looks at."""

    def describe(self, request: Describe) -> CollectionInfo | None:
        found = super().describe(request)
        strange = found is not None and (found.record or {}).get("nestvec") != 1
        return replace(found, record={"nestvec": 2}) if found is not None and strange else found


@mutant("test_what_a_dead_writer_left_is_removed", "a search leaves out what no head owns")
class FindsNoIntents(MemoryAdapter):
    """Takes records without a document's id for its own, and keeps them to itself."""

    def scroll(self, request: Scroll) -> Batch:
        batch = super().scroll(request)
        return replace(batch, records=[each for each in batch.records if each.document_id])


@mutant("test_what_a_dead_writer_left_is_removed", "a search leaves out what no head owns")
class FiltersByPositiveNumbers(MemoryAdapter):
    """Its filters know no negative numbers."""

    def scroll(self, request: Scroll) -> Batch:
        batch = super().scroll(request)
        where = request.where
        keep = [each for each in batch.records if where is None or int(each.system.get("chunk", 0)) >= 0]
        return replace(batch, records=keep)


@mutant("test_adoption_leaves_nothing_out", "what is not mapped, too, by scroll")
class ReadsWhatIsMappedAlone(MemoryAdapter):
    """Leaves out of somebody else's records what the layout does not name."""

    def scroll(self, request: Scroll) -> Batch:
        batch = super().scroll(request)
        if self._layout is None:
            return batch
        named = self._layout.fields.keys()
        return replace(
            batch,
            records=[
                replace(record, metadata={name: value for name, value in record.metadata.items() if name in named})
                for record in batch.records
            ],
        )


@mutant("test_description_is_what_was_created", "the metric as created")
class AlwaysCosine(MemoryAdapter):
    """Ignores the metric."""

    def create(self, request: Create) -> None:
        super().create(replace(request, metric=Metric.COSINE))


@mutant("test_creating_again_keeps_the_data", "create repeated must keep the data")
class Recreates(MemoryAdapter):
    """Drops what is there before it creates."""

    def create(self, request: Create) -> None:
        self._collections.pop(request.physical, None)
        super().create(request)


@mutant("test_update_replaces_the_record_only", "update keeps the data")
class UpdateDropsData(MemoryAdapter):
    """Updates by making the collection anew."""

    def update(self, request: Update) -> None:
        super().update(request)
        self._collections[request.physical].points.clear()


@mutant("test_aliases_lead_and_move", "upper and lower case")
class CaseBlindAliases(MemoryAdapter):
    """Takes docs for Docs."""

    def resolve_alias(self, request: ResolveAlias) -> str | None:
        lowered = {name.lower(): physical for name, physical in self._aliases.items()}
        return lowered.get(request.name.lower())


@mutant("test_aliases_lead_and_move", "leads where it was last set")
class CachesAliases(MemoryAdapter):
    """Resolves once and for all."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._cache: dict[str, str] = {}

    def resolve_alias(self, request: ResolveAlias) -> str | None:
        found = super().resolve_alias(request)
        return self._cache.setdefault(request.name, found) if found else None


@mutant("test_aliases_do_not_hide_a_collection", "hide a collection of that name")
class HidesCollections(MemoryAdapter):
    """Lets an alias hide a collection of that name."""

    def set_alias(self, request: SetAlias) -> None:
        self._aliases[request.name] = request.physical


@mutant("test_aliases_are_deleted", "a deleted alias leads nowhere")
class AliasesComeBack(MemoryAdapter):
    """Remembers where an alias led before, and falls back on it."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._before: dict[str, str] = {}

    def set_alias(self, request: SetAlias) -> None:
        if request.name in self._aliases:
            self._before[request.name] = self._aliases[request.name]
        super().set_alias(request)

    def drop_alias(self, request: DropAlias) -> None:
        super().drop_alias(request)
        if request.name in self._before:
            self._aliases[request.name] = self._before.pop(request.name)


@mutant("test_aliases_are_deleted", "leaves the others alone")
class DropsAllAliasesOfACollection(MemoryAdapter):
    """Deletes every alias to where this one led."""

    def drop_alias(self, request: DropAlias) -> None:
        led = self.resolve_alias(ResolveAlias(request.name))
        for name in [name for name, physical in self._aliases.items() if physical == led]:
            super().drop_alias(DropAlias(name))


@mutant("test_aliases_are_deleted", "leaves collections alone")
class DropAliasDropsData(MemoryAdapter):
    """Takes a collection's own name for an alias."""

    def drop_alias(self, request: DropAlias) -> None:
        super().drop_alias(request)
        if request.name in self._collections:
            self._collections[request.name].points.clear()


@mutant("test_missing_collection_is_not_found", "a vendor exception escapes")
class LetsVendorExceptionsOut(MemoryAdapter):
    """Does not map its engine's errors."""

    def count(self, request: Count) -> int:
        return len(self._collections[request.physical].points) and super().count(request)


@mutant("test_missing_collection_is_not_found", "nothing was raised")
class InventsCollections(MemoryAdapter):
    """Answers for collections that are not there."""

    def scroll(self, request: Scroll) -> Batch:
        try:
            return super().scroll(request)
        except CollectionNotFound:
            return Batch(())


# ---------------------------------------------------------------- notes


@mutant("test_notes_are_kept_side_by_side", "leaves the others alone")
class KeepsOneNote(MemoryAdapter):
    """Has room for the last one only."""

    def write_note(self, request: WriteNote) -> None:
        self._collection(request.physical).notes.clear()
        super().write_note(request)


@mutant("test_notes_are_kept_side_by_side", "comes back as it was written")
class CutsNotes(MemoryAdapter):
    """Keeps as much as a short column takes."""

    def write_note(self, request: WriteNote) -> None:
        super().write_note(replace(request, text=request.text and request.text[:20_000]))


@mutant("test_notes_are_kept_side_by_side", "comes back as it was written: ''")
class EmptyMeansRemoved(MemoryAdapter):
    """Takes an empty text for none."""

    def write_note(self, request: WriteNote) -> None:
        super().write_note(replace(request, text=request.text or None))


@mutant("test_notes_are_not_records", "notes are no records, but a scroll shows them")
class KeepsNotesAmongRecords(MemoryAdapter):
    """Stores a note as one more record, as well."""

    def write_note(self, request: WriteNote) -> None:
        super().write_note(request)
        sizes = self._collection(request.physical).info.vectors
        rows = {name: np.ones((1, size), np.float32) for name, size in sizes.items()}
        super().write(Write(request.physical, [record(f"note-{request.name}")], rows))


@mutant("test_notes_are_not_records", "notes are nobody's, but tenants are")
class NotesAreATenant(MemoryAdapter):
    """Keeps them in a partition like a tenant's."""

    def list_tenants(self, request: ListTenants) -> list[str]:
        notes = self._collection(request.physical).notes
        return super().list_tenants(request) + (["__notes__"] if notes else [])


@mutant("test_notes_are_not_records", "notes are no collections")
class NotesAreACollection(MemoryAdapter):
    """Keeps them in a collection beside it, and lists that."""

    def list_collections(self, request: ListCollections) -> list[str]:
        beside = [f"{name}_notes" for name, each in self._collections.items() if each.notes]
        return [*super().list_collections(request), *beside]


@mutant("test_notes_are_not_records", "leaves the description as it was")
class KeepsNotesInTheRecord(MemoryAdapter):
    """Adds a note to what is stored of the collection."""

    def write_note(self, request: WriteNote) -> None:
        super().write_note(request)
        found = self._collection(request.physical)
        found.info = replace(found.info, record={**(found.info.record or {}), request.name: request.text})


@mutant("test_notes_go_with_their_collection", "replacing the record leaves notes alone")
class UpdateLosesNotes(MemoryAdapter):
    """Replaces the notes, too, with nothing."""

    def update(self, request: Update) -> None:
        super().update(request)
        self._collection(request.physical).notes.clear()


@mutant("test_notes_go_with_their_collection", "created anew has no notes")
class NotesOutliveTheirCollection(MemoryAdapter):
    """Keeps them apart from the collection, under its name."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._kept: dict[str, dict[str, str]] = {}

    def create(self, request: Create) -> None:
        super().create(request)
        self._collection(request.physical).notes = self._kept.setdefault(request.physical, {})


# ---------------------------------------------------------------- records


@mutant("test_removing_by_id", "removed records are gone")
class NeverRemoves(MemoryAdapter):
    """Says yes and does nothing."""

    def remove(self, request: Remove) -> None:
        self._collection(request.physical)


@mutant("test_deleting_documents", "a deleted document is gone")
class RemovesOneOnly(MemoryAdapter):
    """Takes the first id of a list."""

    def remove(self, request: Remove) -> None:
        super().remove(replace(request, ids=request.ids[:1]))


@mutant("test_more_than_one_request_holds", "stores each of them")
class DropsTheLastRecord(MemoryAdapter):
    """Loses the last record of a full batch."""

    def write(self, request: Write) -> None:
        kept = len(request.records) - (len(request.records) > 1000)
        rows = {name: matrix[:kept] for name, matrix in request.vectors.items()}
        super().write(replace(request, records=request.records[:kept], vectors=rows))


@mutant("test_writing_replaces_by_id", "replaces")
class FirstWriteWins(MemoryAdapter):
    """Inserts, but never replaces."""

    def write(self, request: Write) -> None:
        known = self._collection(request.physical).points
        fresh = [i for i, each in enumerate(request.records) if each.id not in known]
        rows = {name: matrix[fresh] for name, matrix in request.vectors.items()}
        super().write(replace(request, records=[request.records[i] for i in fresh], vectors=rows))


@mutant("test_more_than_one_request_holds", "gives each record")
class FetchesTheFirstHundred(MemoryAdapter):
    """Cuts long lists of ids in silence."""

    def fetch(self, request: Fetch) -> Batch:
        return super().fetch(replace(request, ids=request.ids[:100]))


@mutant("test_scrolling_covers_each_record_once", "covers each record exactly once")
class SkipsAtPageEdges(MemoryAdapter):
    """Starts the next page one too late."""

    def scroll(self, request: Scroll) -> Batch:
        batch = super().scroll(request)
        return replace(batch, cursor=None if batch.cursor is None else int(batch.cursor) + 1)


@mutant("test_only_our_records_are_seen", "reserved records are not")
class ShowsReservedRecords(MemoryAdapter):
    """Keeps a record of its own among the user's."""

    def create(self, request: Create) -> None:
        super().create(request)
        rows = {name: np.ones((1, size), np.float32) for name, size in request.vectors.items()}
        super().write(Write(request.physical, [record("__nestvec__")], rows))


@mutant("test_vectors_of_another_size_are_refused", "vector of another size")
class TakesAnySize(MemoryAdapter):
    """Cuts and pads what does not fit."""

    def write(self, request: Write) -> None:
        sizes = self._collection(request.physical).info.vectors
        rows = {name: np.resize(matrix, (len(matrix), sizes[name])) for name, matrix in request.vectors.items()}
        super().write(replace(request, vectors=rows))


@mutant("test_vectors_come_back", "bit for bit")
class StoresHalfPrecision(MemoryAdapter):
    """Promises exact storage and keeps float16."""

    def write(self, request: Write) -> None:
        rows = {name: matrix.astype(np.float16).astype(np.float32) for name, matrix in request.vectors.items()}
        super().write(replace(request, vectors=rows))


@mutant("test_vectors_come_back", "C-contiguous")
class GivesColumns(MemoryAdapter):
    """Has its vectors by column, as some engines keep them."""

    def scroll(self, request: Scroll) -> Batch:
        batch = super().scroll(request)
        rows = {name: np.asfortranarray(matrix) for name, matrix in (batch.vectors or {}).items()}
        return replace(batch, vectors=rows if request.vectors else None)


@mutant("test_a_collection_as_one_matrix", "the mean of a document's chunks")
class FetchesVectorsInAnotherOrder(MemoryAdapter):
    """Answers a fetch with records in one order and their vectors in another."""

    def fetch(self, request: Fetch) -> Batch:
        batch = super().fetch(request)
        rows = {name: matrix[::-1].copy() for name, matrix in (batch.vectors or {}).items()}
        return replace(batch, vectors=rows if request.vectors else None)


@mutant("test_metadata_keep_their_types", "keeps its type int")
class IntegersBecomeFloats(MemoryAdapter):
    """Knows one kind of number."""

    def write(self, request: Write) -> None:
        super().write(replace(request, records=[_mapped(each, _to_float) for each in request.records]))


@mutant("test_metadata_keep_their_types", "keeps its value")
class ForgetsMicroseconds(MemoryAdapter):
    """Stores whole seconds."""

    def write(self, request: Write) -> None:
        super().write(replace(request, records=[_mapped(each, _to_seconds) for each in request.records]))


@mutant("test_ids_of_every_kind", "id")
class StripsIds(MemoryAdapter):
    """Tidies document ids up."""

    def write(self, request: Write) -> None:
        tidy = [replace(each, document_id=each.document_id.strip()) for each in request.records]
        super().write(replace(request, records=tidy))


@mutant("test_lean_reading_keeps_the_bookkeeping", "without content keeps system fields")
class LeanMeansEmpty(MemoryAdapter):
    """Leaves the bookkeeping out, too."""

    def fetch(self, request: Fetch) -> Batch:
        batch = super().fetch(request)
        return (
            batch if request.content else replace(batch, records=[replace(each, system={}) for each in batch.records])
        )


def _padded(matrix: Any) -> Any:
    wide = np.zeros((len(matrix), _FULL), np.float32)
    wide[:, : matrix.shape[1]] = matrix
    return wide


def _mapped(each: Record, change: Any) -> Record:
    changed = {
        name: [change(item) for item in value] if isinstance(value, list) else change(value)
        for name, value in each.metadata.items()
    }
    return replace(each, metadata=changed)


def _to_float(value: Any) -> Any:
    small = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
    return float(value) if small else value


def _to_seconds(value: Any) -> Any:
    return value.replace(microsecond=0) if isinstance(value, datetime) else value

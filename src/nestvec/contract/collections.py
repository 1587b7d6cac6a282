"""Requests about collections as a whole: creating, describing, dropping; their aliases and notes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from nestvec.errors import InvalidInput, InvalidName
from nestvec.types import Field, FieldType, Metric, Storage

if TYPE_CHECKING:
    from nestvec.options import Options

#: nestvec's own filterable bookkeeping fields; adapters index them like declared ones. An adapter without `Tenancy`
#: also meets `tenant`, a keyword, in the records of a collection that several tenants share, and in filters on them.
SYSTEM_FIELDS: Mapping[str, Field] = {
    "document_id": Field(FieldType.KEYWORD),
    "chunk": Field(FieldType.INTEGER),
    "layout": Field(FieldType.KEYWORD),
}


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A physical collection as the backend describes it.

    `record` is what nestvec stored on it, or None for a foreign collection. `fields` are the indexed
    metadata fields, or None where the engine cannot tell (whether a field holds lists need not be known).
    `storage` is how the engine keeps the vectors, or None where it cannot tell or the collection is foreign.
    `unread` says what a foreign collection has that no reading gives: further vectors, columns of other kinds.
    """

    physical: str
    vectors: Mapping[str, int]
    metric: Metric
    record: Mapping[str, Any] | None
    fields: Mapping[str, Field] | None = None
    storage: Storage | None = None
    unread: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for databases that have no better place for them.

        `physical`, `storage` and `unread` are left out.
        """
        fields = {name: str(field) for name, field in (self.fields or {}).items()}
        return {"vectors": dict(self.vectors), "metric": self.metric.value, "fields": fields, "record": self.record}

    @classmethod
    def from_dict(cls, physical: str, value: Mapping[str, Any]) -> CollectionInfo:
        """Read what `to_dict` wrote."""
        fields = {name: Field.parse(kind) for name, kind in value["fields"].items()}
        return cls(physical, value["vectors"], Metric(value["metric"]), value["record"], fields)


@dataclass(frozen=True, slots=True)
class ResolveAlias:
    """Answered with the physical name that the alias `name` leads to, or None."""

    method: ClassVar[str] = "resolve_alias"
    name: str


@dataclass(frozen=True, slots=True)
class Describe:
    """Answered with `CollectionInfo`, or None where no such physical collection exists. Aliases are not followed."""

    method: ClassVar[str] = "describe"
    physical: str


@dataclass(frozen=True, slots=True)
class ListCollections:
    """Answered with the names of all physical collections."""

    method: ClassVar[str] = "list_collections"


@dataclass(frozen=True, slots=True)
class Create:
    """Create a physical collection, its indexes and its record. Answered with None.

    `vectors` maps vector names to dimensions: `DENSE`, and with a funnel its prefixes (`nestvec.types.prefix_name`),
    shortest first. Searches begin with the shortest; `DENSE` then only rescores, and may be kept where reading is slow.
    `options` are the plugin's own, of the collection's block. Repeating the same request after an interruption
    completes it.
    """

    method: ClassVar[str] = "create"
    physical: str
    vectors: Mapping[str, int]
    metric: Metric
    fields: Mapping[str, Field]
    record: Mapping[str, Any]
    options: Options | None = None


@dataclass(frozen=True, slots=True)
class CreateExtended(Create):
    """The same for a collection that needs optional powers: `Tenancy` for `tenants`, `VectorStorage` for `storage`.

    Only what is declared is asked for; for a declared storage that this server lacks, `Unsupported` is raised before
    anything is created.
    """

    method: ClassVar[str] = "create_extended"
    tenants: bool = False
    storage: Storage = Storage.FLOAT32

    def plain(self) -> Create:
        """The same without the powers."""
        return Create(self.physical, self.vectors, self.metric, self.fields, self.record, self.options)


@dataclass(frozen=True, slots=True)
class Update:
    """Replace the record and add indexes for `fields`. Answered with None. Records are never touched.

    With `storage`, the collection's vectors are kept so from now on; only changes of
    `BackendCapabilities.storage_updates` are asked for, and they need nothing to be written again.
    """

    method: ClassVar[str] = "update"
    physical: str
    fields: Mapping[str, Field]
    record: Mapping[str, Any]
    storage: Storage | None = None


@dataclass(frozen=True, slots=True)
class SetAlias:
    """Let the alias `name` lead to `physical`, atomically for readers. Answered with None.

    Raises `CollectionNotFound` where there is no such collection, and `BackendRefused` where one of that name would be
    hidden.
    """

    method: ClassVar[str] = "set_alias"
    name: str
    physical: str


@dataclass(frozen=True, slots=True)
class DropAlias:
    """Delete the alias `name`, atomically for readers; where it led stays. Answered with None.

    Deleting one that is not there is no error. A physical collection of that name is left alone.
    """

    method: ClassVar[str] = "drop_alias"
    name: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Delete a physical collection. Answered with None; dropping what is not there is no error."""

    method: ClassVar[str] = "drop"
    physical: str


#: Bytes of UTF-8 that a note may have; every backend has room for that.
MAX_NOTE = 32 * 1024
_NOTE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True, slots=True)
class WriteNote:
    """Keep a short text beside a collection, under a name; None removes it. Answered with None.

    A note belongs to the physical collection and goes with it. It is neither a record nor part of the collection's own
    record: no search, count, scroll or list of tenants shows it. Writing one replaces it as a whole; others are left
    alone, and removing one that is not there is no error. Without the collection it is `CollectionNotFound`.

    Names are lower-case letters, digits and hyphens, at most 64 and no hyphen first; a text has at most `MAX_NOTE`
    bytes. Raises `InvalidName` and `InvalidInput` when it is made, so adapters need not check.
    """

    method: ClassVar[str] = "write_note"
    physical: str
    name: str
    text: str | None

    def __post_init__(self) -> None:
        check_note(self.physical, self.name, self.text)


@dataclass(frozen=True, slots=True)
class ReadNote:
    """Answered with the text of a note, or None where there is none of that name.

    Without the collection it is `CollectionNotFound`. Raises `InvalidName` when it is made, as `WriteNote` does.
    """

    method: ClassVar[str] = "read_note"
    physical: str
    name: str

    def __post_init__(self) -> None:
        check_note(self.physical, self.name)


def check_note(physical: str, name: str, text: str | None = None) -> None:
    """Refuse what cannot be kept as a note. Raises `InvalidName`, `InvalidInput`."""
    if not _NOTE_NAME.fullmatch(name):
        raise InvalidName(
            f"collection {physical!r}: {name!r} cannot name a note; use up to 64 lower-case letters, digits and "
            f"hyphens, no hyphen first"
        )
    try:
        size = len((text or "").encode())
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"collection {physical!r}: note {name!r} is no valid text: {error.reason} at position {error.start}; "
            f"leave lone surrogates out"
        ) from error
    if size > MAX_NOTE:
        raise InvalidInput(
            f"collection {physical!r}: note {name!r} has {size} bytes, and {MAX_NOTE} at most can be kept; shorten it"
        )

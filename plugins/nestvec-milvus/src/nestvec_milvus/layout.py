"""How a record lies in a Milvus collection, and what fits. Imports no SDK.

    id           VARCHAR, primary key
    dense …      one FLOAT_VECTOR, or FLOAT16_VECTOR, for each vector
    document_id, chunk, layout     nestvec's own filterable fields
    tenant       VARCHAR, the partition key where the collection has tenants
    text         VARCHAR
    metadata     JSON, everything that the user gave; what records are read from
    system       JSON, nestvec's bookkeeping
    present      ARRAY of VARCHAR, the names of the metadata fields that are there
    k_lang …     one scalar column for each declared field with a single value, to filter on

Old servers know no null. So a scalar column holds a default where the field is missing, and `present` tells
the two apart: no comparison is ever "unknown", and a filter's complement is exact. Lists, and fields that were
declared after the collection was created, are filtered on in `metadata`.
"""

from __future__ import annotations

import re
from typing import Final

from nestvec.types import Field, FieldType

ID: Final = "id"
DOCUMENT_ID: Final = "document_id"
CHUNK: Final = "chunk"
LAYOUT: Final = "layout"
TENANT: Final = "tenant"
TEXT: Final = "text"
METADATA: Final = "metadata"
SYSTEM: Final = "system"
PRESENT: Final = "present"
OWN_COLUMNS: Final = (ID, DOCUMENT_ID, CHUNK, LAYOUT, TENANT, TEXT, METADATA, SYSTEM, PRESENT)
#: In `system`: this record has no text, not even an empty one.
NO_TEXT: Final = "_no_text"

#: Properties of the collection: nestvec's record; the metric; the parameters of searches; the options that were given
#: for it; what its storage is being changed to, empty when that is done.
RECORD_PROPERTY: Final = "nestvec"
METRIC_PROPERTY: Final = "nestvec_metric"
SEARCH_PROPERTY: Final = "nestvec_search"
OPTIONS_PROPERTY: Final = "nestvec_options"
CHANGING_PROPERTY: Final = "nestvec_changing"
_NOTE_PROPERTY: Final = "nestvec_note_"

#: What errors and documentation promise. The engines' own limits, 65,535 and 65,536, lie a little above;
#: the index of newer servers leaves out strings of more than 65,530 bytes.
MAX_STRING_BYTES: Final = 65_000
MAX_JSON_BYTES: Final = 65_000
VARCHAR_LENGTH: Final = 65_535
MAX_ID_BYTES: Final = 512
MAX_FIELDS_OF_A_RECORD: Final = 4096
MAX_RECORD_BYTES: Final = 512 * 1024
#: A request may have 64 MiB; smaller ones stay clear of timeouts and of the server's memory.
MAX_REQUEST_BYTES: Final = 16 * 1024 * 1024
#: What offset and limit of a search may add up to.
MAX_WINDOW: Final = 16_384

#: Vectors of a record where there can be several. Servers can be configured to take more.
MAX_VECTORS: Final = 4

_MAX_COLUMNS: Final = 64
_MAX_NAME: Final = 255
_PLAIN: Final = re.compile(r"[A-Za-z0-9_]+\Z")
_ESCAPED: Final = "x__"
_PREFIX: Final = {
    FieldType.KEYWORD: "k_",
    FieldType.INTEGER: "i_",
    FieldType.FLOAT: "d_",
    FieldType.BOOLEAN: "b_",
    FieldType.DATETIME: "t_",
}
_KIND: Final = {prefix: kind for kind, prefix in _PREFIX.items()}


def note_property(name: str) -> str:
    """The property that holds a note."""
    return _NOTE_PROPERTY + name


def identifier(name: str) -> str:
    """A metadata field's name in letters, digits and `_`. Reversible.

    >>> identifier("lang"), identifier("a.b")
    ('lang', 'x__612e62')
    """
    if _PLAIN.match(name) and not name.startswith(_ESCAPED):
        return name
    return _ESCAPED + name.encode().hex()


def original(text: str) -> str:
    """The inverse of `identifier`."""
    return bytes.fromhex(text[len(_ESCAPED) :]).decode() if text.startswith(_ESCAPED) else text


def without_nul(text: str) -> str:
    """The string without NUL, for columns with an index: that of old servers ends a string there. Reversible.

    >>> without_nul("a\\x00b"), with_nul(without_nul("a\\x00b")) == "a\\x00b"
    ('a\\x010b', True)
    """
    return text.replace("\x01", "\x011").replace("\x00", "\x010") if "\x00" in text or "\x01" in text else text


def with_nul(text: str) -> str:
    """The inverse of `without_nul`."""
    return text.replace("\x010", "\x00").replace("\x011", "\x01") if "\x01" in text else text


def column_of(name: str, kind: FieldType) -> str:
    """The scalar column of a declared field."""
    return _PREFIX[kind] + identifier(name)


def declared_by(column: str) -> tuple[str, FieldType] | None:
    """Field and type behind a scalar column, or None for any other column."""
    kind = _KIND.get(column[:2])
    if kind is None or not _PLAIN.match(column):
        return None
    try:
        return original(column[2:]), kind
    except ValueError:
        return None  # somebody else's column


def typed_fields(fields: dict[str, Field], vectors: int) -> dict[str, FieldType]:
    """The fields that get a scalar column: single values, as many as a collection can have columns."""
    single = {
        name: field.type
        for name, field in fields.items()
        if not field.many and len(column_of(name, field.type)) <= _MAX_NAME
    }
    room = _MAX_COLUMNS - len(OWN_COLUMNS) - vectors
    return dict(list(single.items())[: max(room, 0)])

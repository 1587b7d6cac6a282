"""Where things are in a payload, and Qdrant's paths to them.

{"document_id": "hr-7", "text": "…", "metadata": {"lang": "de"}, "nestvec": {"chunk": 0, …}, "tenant": "acme"}
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from nestvec.errors import CollectionConflict, Unsupported

DOCUMENT_ID = "document_id"
TEXT = "text"
METADATA = "metadata"
SYSTEM = "nestvec"
TENANT = "tenant"
#: The key of nestvec's record in the collection's own metadata.
RECORD = "nestvec"

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_KEY = r'"([^"]+)"|([^".]+)'
_KEYS = re.compile(rf"(?:{_KEY})(?:\.(?:{_KEY}))*\Z")


def field_path(name: str) -> str:
    """The path of a metadata field. Quoted where Qdrant would read dots or brackets as steps.

    >>> field_path("lang"), field_path("a.b[0]")
    ('metadata.lang', 'metadata."a.b[0]"')
    """
    return f"{METADATA}.{name}" if _BARE.match(name) else f'{METADATA}."{name}"'


def note_key(name: str) -> str:
    """The key of a note in the collection's own metadata. Keys are merged one by one, so notes do not meet."""
    return f"{RECORD}-note-{name}"


def system_path(name: str) -> str:
    """The path of one of nestvec's own fields."""
    return DOCUMENT_ID if name == DOCUMENT_ID else f"{SYSTEM}.{name}"


@lru_cache(maxsize=1024)
def keys_of(path: str) -> tuple[str, ...]:
    """The keys that a path into somebody else's payload leads through. Raises `CollectionConflict` for no path.

    >>> keys_of("metadata.lang"), keys_of('metadata."a.b"')
    (('metadata', 'lang'), ('metadata', 'a.b'))
    """
    if not _KEYS.match(path):
        raise CollectionConflict(
            f"{path!r} leads nowhere in a payload of Qdrant: join keys by dots, and put a key that has dots itself "
            f'into quotation marks, as in metadata."a.b"'
        )
    return tuple(quoted or bare for quoted, bare in re.findall(_KEY, path))


def foreign_path(path: str) -> str:
    """The same path as Qdrant wants it: quoted wherever it would read more steps into a key.

    >>> foreign_path("metadata.publication year")
    'metadata."publication year"'
    """
    return ".".join(key if is_bare(key) else f'"{key}"' for key in keys_of(path))


def is_bare(key: str) -> bool:
    """Whether Qdrant takes a key for one without quotation marks."""
    return _BARE.match(key) is not None


def field_at(path: str) -> str | None:
    """The metadata field that a path leads to: the inverse of `field_path`. None for any other path."""
    if not path.startswith(f"{METADATA}."):
        return None
    name = path[len(METADATA) + 1 :]
    if len(name) > 1 and name[0] == name[-1] == '"':
        return name[1:-1]
    return None if re.search(r'[."\[]', name) else name


def check_fields(names: Iterable[str], collection: str) -> None:
    """Refuse field names that no path can express."""
    for name in names:
        if not name or '"' in name:
            raise Unsupported(
                f"collection {collection!r}: Qdrant can not filter on a field named {name!r}; rename it (no quotation "
                f"marks, not empty)"
            )

"""Where things are in a payload, and Qdrant's paths to them.

{"document_id": "hr-7", "text": "…", "metadata": {"lang": "de"}, "nestvec": {"chunk": 0, …}, "tenant": "acme"}
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from nestvec.errors import Unsupported

DOCUMENT_ID = "document_id"
TEXT = "text"
METADATA = "metadata"
SYSTEM = "nestvec"
TENANT = "tenant"
#: The key of nestvec's record in the collection's own metadata.
RECORD = "nestvec"

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


def field_path(name: str) -> str:
    """The path of a metadata field. Quoted where Qdrant would read dots or brackets as steps.

    >>> field_path("lang"), field_path("a.b[0]")
    ('metadata.lang', 'metadata."a.b[0]"')
    """
    return f"{METADATA}.{name}" if _BARE.match(name) else f'{METADATA}."{name}"'


def system_path(name: str) -> str:
    """The path of one of nestvec's own fields."""
    return DOCUMENT_ID if name == DOCUMENT_ID else f"{SYSTEM}.{name}"


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

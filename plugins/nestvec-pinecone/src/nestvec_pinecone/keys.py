"""Where things are in a record's flat metadata, and in which namespace a tenant's records are.

User's fields keep their names, so that other tools can filter on them; nestvec's own begin with `nestvec_`:

    {"lang": "de", "nestvec_document_id": "hr-7", "nestvec_text": "…", "nestvec_system_chunk": 0, …}
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote

from nestvec.errors import InvalidName

OWN: Final = "nestvec_"
DOCUMENT_ID: Final = f"{OWN}document_id"
TEXT: Final = f"{OWN}text"
#: How values come back that Pinecone can not keep as they are: JSON, see `nestvec_pinecone.values`.
TYPES: Final = f"{OWN}types"
#: A fresh token for each request that writes, by which a reader sees that it has arrived.
STAMP: Final = f"{OWN}stamp"
#: The namespace of notes in a collection's own index: that of a tenant never begins with an underscore.
NOTES: Final = "_nestvec_notes"
_SYSTEM: Final = f"{OWN}system_"
_FIELD: Final = f"{OWN}field_"
_MAX_NAMESPACE: Final = 512
_DEFAULT: Final = "__default__"
#: Printable ASCII except the escape itself and the space.
_PLAIN: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")


def field_key(name: str) -> str:
    """The key of a metadata field.

    >>> field_key("lang"), field_key("nestvec_x"), field_key("$x")
    ('lang', 'nestvec_field_nestvec_x', 'nestvec_field_$x')
    """
    return _FIELD + name if not name or name.startswith((OWN, "$")) else name


def field_name(key: str) -> str | None:
    """The metadata field at a key: the inverse of `field_key`. None for nestvec's own."""
    if key.startswith(_FIELD):
        return key.removeprefix(_FIELD)
    return None if key.startswith(OWN) else key


def system_key(name: str) -> str:
    """The key of one of nestvec's own filterable fields."""
    return DOCUMENT_ID if name == "document_id" else _SYSTEM + name


def system_name(key: str) -> str | None:
    """The bookkeeping field at a key, or None."""
    return key.removeprefix(_SYSTEM) if key.startswith(_SYSTEM) else None


def tenant_namespace(tenant: str, prefix: str = "") -> str:
    """A tenant's namespace: the name as it is, with what Pinecone does not take (or has taken itself) escaped.

    >>> tenant_namespace("acme"), tenant_namespace("ü b"), tenant_namespace("__default__")
    ('acme', '%C3%BC%20b', '%5F_default__')
    """
    name = quote(tenant, safe=_PLAIN)
    full = prefix + ("%5F" + name[1:] if name.startswith("_") else name)
    if len(full) > _MAX_NAMESPACE:
        raise InvalidName(
            f"namespace {tenant[:40]!r}… takes {len(full)} characters of the {_MAX_NAMESPACE} that a namespace of "
            f"Pinecone may have; choose a shorter name"
        )
    return full


def tenant_of(namespace: str, prefix: str = "") -> str | None:
    """The tenant whose namespace this is: the inverse of `tenant_namespace`. None for any other namespace.

    >>> tenant_of("%C3%BC%20b"), tenant_of("docs-1_%5F_x", "docs-1_"), tenant_of("__default__"), tenant_of("")
    ('ü b', '__x', None, None)
    """
    name = namespace.removeprefix(prefix)
    if not namespace.startswith(prefix) or not name or name.startswith("_"):
        return None
    return unquote(name)


def plain_name(namespace: str) -> str:
    """A namespace as requests have it: the default one is the empty one."""
    return "" if namespace == _DEFAULT else namespace

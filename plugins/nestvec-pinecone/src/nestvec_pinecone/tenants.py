"""Tenants as Pinecone's namespaces: how they are called, and which namespaces of an index belong to a collection."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote

from nestvec.errors import InvalidName
from nestvec_pinecone.client import PineconeClient
from nestvec_pinecone.schema import NOTES, IndexLocation
from nestvec_pinecone.visibility import too_late

_MAX_NAMESPACE: Final = 512
_DEFAULT: Final = "__default__"
_PAGE: Final = 100
#: Printable ASCII except the escape itself and the space.
_PLAIN: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")


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


async def list_namespaces(client: PineconeClient, request: object, location: IndexLocation) -> list[str]:
    """All namespaces that begin with the collection's prefix, in order; that of notes is none of them."""
    return [name for name, _ in await namespace_sizes(client, request, location)]


async def namespace_sizes(client: PineconeClient, request: object, location: IndexLocation) -> list[tuple[str, int]]:
    """The same, each with the number of its records, which may lag."""
    read = _from_statistics if client.options.scan else _from_listing
    found = await read(client, request, location)
    return sorted((plain_name(name), count) for name, count in found if name != NOTES)


async def wait_until_listed(client: PineconeClient, request: object, location: IndexLocation, namespace: str) -> None:
    """Wait for a tenant's new namespace, so that a count of all tenants finds it. Raises `BackendUnavailable`."""

    async def listed() -> bool:
        return namespace in await list_namespaces(client, request, location)

    await client.until(listed, client.options.visible_timeout, lambda: too_late(client, namespace))


async def _from_statistics(client: PineconeClient, request: object, location: IndexLocation) -> list[tuple[str, int]]:
    # Servers that cannot list namespaces count them. The list lags, too, but so it does there for everything.
    stats = await client.call(request, location.host, "describe_index_stats")
    there = [(name, each) for name, each in stats.namespaces.items() if name.startswith(location.prefix)]
    return [(name, int(each.vector_count or 0)) for name, each in there]


async def _from_listing(client: PineconeClient, request: object, location: IndexLocation) -> list[tuple[str, int]]:
    found, token, page = list[tuple[str, int]](), None, {"prefix": location.prefix or None, "limit": _PAGE}
    while True:
        reply = await client.call(request, location.host, "list_namespaces_paginated", **page, pagination_token=token)
        found += [(each.name, int(each.record_count or 0)) for each in reply.namespaces]
        token = reply.pagination.next if reply.pagination else None
        if not token:
            return found

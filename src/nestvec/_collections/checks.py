"""What is checked of a collection before it is used: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec._collections.differences import Aspect, differences, way_out
from nestvec._specs import CollectionSpec, StoredCollection
from nestvec.errors import CollectionConflict, CollectionError, InvalidName, SpaceUnknown, Unsupported
from nestvec.spaces import require_same
from nestvec.values import is_unicode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nestvec._collections.differences import Difference
    from nestvec.capabilities import BackendCapabilities
    from nestvec.contract import CollectionInfo


def vouch(spec: CollectionSpec, info: CollectionInfo, can: BackendCapabilities) -> StoredCollection:
    """Check that a physical collection is what the spec says. Raises a `SpaceError` or `CollectionConflict`."""
    if spec.foreign is not None and not info.record:
        raise SpaceUnknown(
            f"collection {spec.name!r} is not adopted yet: {info.physical!r} carries no embedding space; adopt it with "
            f"`nestvec apply {spec.name}` or apply()"
        )
    stored = StoredCollection.read(info.record, info.physical)
    require_origin(spec, stored)
    require_same(stored.space, spec.space, spec.name, migrates=spec.foreign is None)
    _require_alike(spec, differences(spec, info, stored, can))
    return stored


def _require_alike(spec: CollectionSpec, found: Sequence[Difference]) -> None:
    """Raise `CollectionConflict` for what cannot be changed in place.

    Where a field is kept as another type, filters would find nothing.
    """
    for each in found:
        if each.aspect is Aspect.STRUCTURE and not each.in_place:
            raise CollectionConflict(
                f"collection {spec.name!r} has {each.what} {each.stored}, but {each.wanted} is wanted; nothing was "
                f"changed{way_out(spec, each.what)}"
            )
        if each.aspect is Aspect.FIELD and not each.in_place and spec.foreign is None:
            raise CollectionConflict(
                f"collection {spec.name!r} keeps {each.what} as {each.stored}, but {each.wanted} is wanted; nothing "
                f"was changed; set it back, or migrate: nestvec migrate {spec.name}"
            )


def require_origin(spec: CollectionSpec, stored: StoredCollection) -> None:
    """Raise `CollectionConflict` where nestvec's own collection is to be adopted, or an adopted one to be its own."""
    if (spec.foreign is None) != (stored.foreign is None):
        made = "nestvec's own: leave adopt and foreign out" if stored.foreign is None else "adopted: set adopt = true"
        raise CollectionConflict(f"collection {spec.name!r} is {made}; nothing was changed")


def require_keeping(spec: CollectionSpec, stored: StoredCollection) -> None:
    """Raise `CollectionError` unless searches of everybody know that documents without a text are not to be found."""
    if not stored.keep_empty:
        raise CollectionError(
            f'collection {spec.name!r} is configured with empty = "keep", and the database does not know yet: searches '
            f"would find documents without a text; run `nestvec apply`"
        )


def require_own(spec: CollectionSpec, action: str) -> None:
    """Raise `Unsupported` for what is done only to collections that nestvec made."""
    if spec.foreign is not None:
        raise Unsupported(
            f"collection {spec.name!r} was adopted: nestvec only reads {spec.foreign.collection!r} and cannot "
            f"{action}; copy it into a collection of nestvec's own: nestvec copy {spec.name} NEW"
        )


def check_tenant(spec: CollectionSpec, tenant: str | None) -> str | None:
    """Return the tenant, or raise `InvalidName`: a collection with namespaces needs one, others take none."""
    if spec.namespaces and tenant is None:
        raise InvalidName(
            f"collection {spec.name!r} is declared with namespaces: name one, as in "
            f'nv["{spec.name}"].namespace("acme") or --namespace acme'
        )
    if not spec.namespaces and tenant is not None:
        raise InvalidName(
            f"collection {spec.name!r} is declared without namespaces; set namespaces = true, or leave {tenant!r} out"
        )
    if tenant is not None and (not isinstance(tenant, str) or not tenant.strip() or not is_unicode(tenant)):
        raise InvalidName(f"collection {spec.name!r}: a namespace is a non-empty string, not {ascii(tenant)[:80]}")
    return tenant

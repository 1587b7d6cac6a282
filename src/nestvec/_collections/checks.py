"""What is checked of a collection before it is used: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestvec._specs import CollectionSpec, StoredCollection
from nestvec.errors import CollectionConflict, InvalidName, SpaceUnknown, Unsupported
from nestvec.spaces import require_same
from nestvec.values import is_unicode

if TYPE_CHECKING:
    from nestvec.capabilities import BackendCapabilities
    from nestvec.contract import CollectionInfo
    from nestvec.types import Storage


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
    for what, was, now in disagreements(spec, info, stored, can):
        raise CollectionConflict(
            f"collection {spec.name!r} has {what} {was}, but {now} is wanted; nothing was changed{way_out(spec, what)}"
        )
    if spec.foreign is None:
        _require_types(spec, stored)
    return stored


def _require_types(spec: CollectionSpec, stored: StoredCollection) -> None:
    """Raise `CollectionConflict` where a field is kept as another type: filters would find nothing."""
    for name, kind in spec.fields.items():
        was = stored.known_fields.get(name, kind)
        if was != kind:
            raise CollectionConflict(
                f"collection {spec.name!r} keeps field {name!r} as {was}, but {kind} is wanted; nothing was changed; "
                f"set it back, or migrate: nestvec migrate {spec.name}"
            )


def require_origin(spec: CollectionSpec, stored: StoredCollection) -> None:
    """Raise `CollectionConflict` where nestvec's own collection is to be adopted, or an adopted one to be its own."""
    if (spec.foreign is None) != (stored.foreign is None):
        made = "nestvec's own: leave adopt and foreign out" if stored.foreign is None else "adopted: set adopt = true"
        raise CollectionConflict(f"collection {spec.name!r} is {made}; nothing was changed")


def disagreements(
    spec: CollectionSpec, info: CollectionInfo, stored: StoredCollection, can: BackendCapabilities
) -> list[tuple[str, Any, Any]]:
    """What cannot be changed in place and differs, as (what, stored, wanted). The space is compared elsewhere."""
    vectors: tuple[str, Any, Any] = ("vectors", dict(info.vectors), spec.vectors)
    if stored.funnel != spec.funnel:
        vectors = ("funnel", list(stored.funnel), list(spec.funnel))
    pairs = [
        vectors,
        ("metric", str(info.metric), str(spec.metric)),
        ("namespaces", stored.namespaces, spec.namespaces),
    ]
    change = storage_change(spec, info, stored)
    if change is not None and change not in can.storage_updates:
        pairs.append(("storage", str(change[0]), str(change[1])))
    return [(what, was, now) for what, was, now in pairs if was != now]


def storage_change(
    spec: CollectionSpec, info: CollectionInfo, stored: StoredCollection
) -> tuple[Storage, Storage] | None:
    """From what to what the vectors' storage has to change, if at all: what the engine says counts, else the record."""
    was = stored.storage if info.storage is None else info.storage
    return None if spec.foreign is not None or was is spec.storage else (was, spec.storage)


def way_out(spec: CollectionSpec, what: str) -> str:
    """What helps where vectors have to be stored anew, as the end of a sentence."""
    rebuilds = what in ("storage", "funnel", "metric") and spec.foreign is None
    return f"; needs a rebuild: nestvec migrate {spec.name}" if rebuilds else ""


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

"""Which collections there are, what they are, and where aliases lead: here, as indexes of their own.

Indexes are described by their tags, through the control plane. `nestvec_pinecone.namespace_catalog` is the other kind.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

from nestvec.contract import (
    Adopt,
    CollectionInfo,
    Create,
    DropAlias,
    ForeignLayout,
    ListCollections,
    ResolveAlias,
    SetAlias,
    Update,
)
from nestvec.errors import (
    BackendRefused,
    BackendUnavailable,
    CollectionConflict,
    CollectionNotFound,
    NestvecError,
    Unsupported,
)
from nestvec.types import DENSE, Metric
from nestvec_pinecone import schema
from nestvec_pinecone.adopt import record_for
from nestvec_pinecone.client import PineconeClient
from nestvec_pinecone.records import one_vector
from nestvec_pinecone.schema import METRIC_NAMES, IndexLocation, check_same, metric_of

_LOG: Final = logging.getLogger(__name__)
#: States that an index does not come back from.
_LOST = ("InitializationFailed", "Disabled")


class CollectionRequest(Protocol):
    """A request about one collection."""

    @property
    def physical(self) -> str: ...


class PineconeCatalog(Protocol):
    """What the two ways to store collections have to answer."""

    #: Whether a location stays right until requests to it fail.
    lasting: ClassVar[bool]

    async def only_metric(self) -> Metric | None: ...
    async def resolve_alias(self, request: ResolveAlias) -> str | None: ...
    async def list_collections(self, request: ListCollections) -> list[str]: ...
    async def describe(
        self, request: CollectionRequest, foreign: ForeignLayout | None = None
    ) -> CollectionInfo | None: ...
    async def create(self, request: Create, *, tenants: bool) -> None: ...
    async def update(self, request: Update) -> None: ...
    async def adopt(self, request: Adopt) -> None: ...
    async def set_alias(self, request: SetAlias) -> None: ...
    async def drop_alias(self, request: DropAlias) -> None: ...
    async def drop(self, request: CollectionRequest) -> None: ...
    async def locate(self, request: CollectionRequest, *, foreign: bool = False) -> IndexLocation: ...


@dataclass(frozen=True, slots=True)
class IndexCatalog:
    """One index for each physical collection. An alias is a tag on the index that it leads to."""

    client: PineconeClient

    lasting: ClassVar[bool] = True

    async def only_metric(self) -> Metric | None:
        """Every index has its own."""
        return None

    async def resolve_alias(self, request: ResolveAlias) -> str | None:
        """The index that has the alias's highest number: a switch is one change of one index."""
        return _leader(await self._models(request), request.name)

    async def list_collections(self, request: ListCollections) -> list[str]:
        """All indexes."""
        return [model.name for model in await self._models(request)]

    async def describe(self, request: CollectionRequest, foreign: ForeignLayout | None = None) -> CollectionInfo | None:
        """From the index's own description. Raises `CollectionConflict` for a foreign one without plain vectors."""
        physical = request.physical
        model = await self._model(request, physical)
        if model is None:
            return None
        name, size, metric = _dense(model)
        record = schema.unpack_tags(model.tags or {})
        if foreign is None:
            return CollectionInfo(physical, {name: size} if name else {}, metric, record)
        if name != DENSE:
            raise CollectionConflict(
                f"index {physical!r} holds {'documents with fields' if name else 'sparse vectors'}; nestvec reads "
                f"indexes of plain dense vectors"
            )
        return CollectionInfo(physical, {name: size}, metric, record_for(record, foreign))

    async def create(self, request: Create, *, tenants: bool) -> None:
        """Create, or complete what was begun; returns when the index can be used."""
        size = one_vector(request.vectors, request.physical)
        wanted = schema.pack_tags(request.record, request.physical)
        if tenants:
            wanted[schema.TENANTS] = "yes"
        found = await self.describe(request)
        if found is None:
            try:
                await self.client.call(request, None, "indexes.create", **self._creation(request, size, wanted))
            except CollectionConflict:
                # Somebody else was quicker; if it is the same collection, all is well.
                found = await self.describe(request)
                if found is None:
                    raise BackendUnavailable(
                        f"collection {request.physical!r} is being deleted; try again when it is gone"
                    ) from None
        if found is not None:
            check_same(request, found)
        await self.locate(request)

    async def update(self, request: Update) -> None:
        """Replace the record, in one change; other tags stay."""
        model = await self._existing(request, request.physical)
        await self._keep(model, request)

    async def adopt(self, request: Adopt) -> None:
        """Keep the record in the tags. Raises `CollectionConflict` if they vouch for another namespace already."""
        model = await self._existing(request, request.physical)
        stored = schema.unpack_tags(model.tags or {}) or {}
        if request.record is None:
            if stored and record_for(stored, request.layout) is not None:
                await self._keep(model, request)
            return
        if record_for(stored, request.layout) is None and stored.get("name") != request.record.get("name"):
            raise CollectionConflict(
                f"index {request.physical!r} is adopted already, as {stored.get('name')!r} with another namespace, and "
                f"its tags hold one record; give backends index_host to adopt several namespaces of an index, or "
                f"delete its tags nestvec-record-… to give the other up. Nothing was changed"
            )
        await self._keep(model, request)

    async def _keep(self, model: Any, request: Update | Adopt) -> None:
        wanted = {} if request.record is None else schema.pack_tags(request.record, request.physical)
        change = schema.replace_tags(model.tags or {}, wanted)
        schema.check_tag_room({**(model.tags or {}), **change}, request.physical)
        await self._configure(request, request.physical, change)
        record = None if request.record is None else dict(request.record)
        await self._seen(request, request.physical, lambda new: schema.unpack_tags(new) == record)

    async def set_alias(self, request: SetAlias) -> None:
        """Give the target a higher number than any other; then take it away from the others."""
        models = await self._models(request)
        names = {model.name for model in models}
        if request.name in names:
            raise BackendRefused(f"alias {request.name!r} would hide an index of that name; choose another name")
        if request.physical not in names:
            raise CollectionNotFound(f"there is no index {request.physical!r} for {request.name!r} to lead to")
        if _leader(models, request.name) == request.physical:
            return
        number = 1 + max(schema.alias_rank(model.tags or {}, request.name) for model in models)
        key = schema.alias_tag(request.name)
        await self._configure(request, request.physical, {key: str(number)})
        await self._seen(request, request.physical, lambda new: new.get(key) == str(number))
        for model in models:
            # Not needed for reading; but should the target be dropped, an old one must not come back.
            if model.name != request.physical and key in (model.tags or {}):
                await self._configure(request, model.name, {key: ""})

    async def drop_alias(self, request: DropAlias) -> None:
        """Take its number away from every index, from the leader last: until then no other one leads."""
        models, key = await self._models(request), schema.alias_tag(request.name)
        for model in sorted(models, key=lambda each: schema.alias_rank(each.tags or {}, request.name)):
            if key in (model.tags or {}):
                await self._configure(request, model.name, {key: ""})
                await self._seen(request, model.name, lambda new: not new.get(key))

    async def drop(self, request: CollectionRequest) -> None:
        """Delete the index; returns when it is gone."""
        physical = request.physical
        try:
            await self.client.call(request, None, "indexes.delete", name=physical, timeout=-1)
        except CollectionNotFound:
            return

        async def gone() -> bool:
            try:
                await self.client.call(request, None, "indexes.describe", name=physical)
            except CollectionNotFound:
                return True
            return False

        await self._wait(gone, physical, "deleted")

    async def locate(
        self,
        request: CollectionRequest,
        *,
        foreign: bool = False,  # noqa: ARG002 - an index is where it is, whoever made it
    ) -> IndexLocation:
        """Where the index is, once it can be used. Raises `CollectionNotFound`, `BackendUnavailable`."""
        physical = request.physical
        model: Any = None

        async def ready() -> bool:
            nonlocal model
            model = await self._existing(request, physical)
            if model.status.state in _LOST:
                raise BackendRefused(
                    f"Pinecone could not create index {physical!r}, or disabled it (state {model.status.state}); "
                    f"look at it in Pinecone's console, delete it there, and apply again"
                )
            return bool(model.status.ready and model.host)

        await self._wait(ready, physical, "ready")
        return IndexLocation(physical, model.host, _dense(model)[1], schema.TENANTS in (model.tags or {}))

    def _creation(self, request: Create, size: int, wanted: Mapping[str, str]) -> dict[str, Any]:
        options = self.client.options
        deployment = {"deployment_type": "managed", "cloud": options.cloud, "region": options.region}
        return {
            "name": request.physical,
            # This is how the SDK is told to make an index of plain vectors, which it calls the older form.
            "dimension": size,
            "metric": METRIC_NAMES[request.metric],
            "deployment": deployment,
            "tags": wanted,
            "timeout": -1,
        }

    async def _models(self, request: object) -> list[Any]:
        models = await self.client.call(request, None, "list_indexes")
        return [model for model in models if model.status.state != "Terminating"]

    async def _model(self, request: object, physical: str) -> Any:
        """An index, or None; one that is going away is not there any more."""
        try:
            model = await self.client.call(request, None, "indexes.describe", name=physical)
        except CollectionNotFound:
            return None
        return None if model.status.state == "Terminating" else model

    async def _existing(self, request: object, physical: str) -> Any:
        model = await self._model(request, physical)
        if model is None:
            raise CollectionNotFound(
                f"there is no Pinecone index {physical!r}; create it with `nestvec apply` or apply()"
            )
        return model

    async def _configure(self, request: object, physical: str, tags: Mapping[str, str]) -> None:
        await self.client.call(request, None, "indexes.configure", name=physical, tags=tags)

    async def _seen(self, request: object, physical: str, expected: Callable[[Mapping[str, str]], bool]) -> None:
        """Wait until the control plane tells what it was told."""

        async def check() -> bool:
            model = await self._existing(request, physical)
            return expected(model.tags or {})

        seconds = self.client.options.visible_timeout
        await self.client.until(check, seconds, lambda: _late(physical, "changed"))

    async def _wait(self, check: Callable[[], Awaitable[bool]], physical: str, what: str) -> None:
        """Says every few seconds why nothing happens. A warning, so that people see it who set no logging up."""
        seconds = self.client.options.ready_timeout

        def tell(waited: float) -> None:
            message = "Pinecone index %r is not %s after %.0f seconds; waiting up to %d (ready_timeout)"
            _LOG.warning(message, physical, what, waited, seconds)

        await self.client.until(check, seconds, lambda: _late(physical, what), tell)


def _late(physical: str, what: str) -> NestvecError:
    return BackendUnavailable(
        f"index {physical!r} is not {what} yet, after the time set for that; Pinecone is still at it: repeat this "
        f"later (it goes on where it was), or set a longer ready_timeout"
    )


def _leader(models: list[Any], name: str) -> str | None:
    ranked = [(schema.alias_rank(model.tags or {}, name), model.name) for model in models]
    number, leader = max(ranked, default=(0, ""))
    return leader if number else None


def _dense(model: Any) -> tuple[str, int, Metric]:
    """Name, size and metric of the dense vector; nestvec's own for the one that plain indexes have."""
    for name, field in model.schema.fields.items():
        size, metric = getattr(field, "dimension", None), getattr(field, "metric", None)
        if size is not None and metric is not None:
            return DENSE if name == "_values" else name, size, metric_of(metric, model.name)
    if any(type(field).__name__ == "SparseVectorField" for field in model.schema.fields.values()):
        return "", 0, Metric.DOT
    raise Unsupported(f"index {model.name!r} has no vectors that nestvec could compare; choose another collection name")

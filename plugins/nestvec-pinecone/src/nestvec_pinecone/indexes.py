"""Collections as indexes of their own, described by their tags, through the control plane."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from nestvec.contract import Adopt, CollectionInfo, Create, ForeignLayout, SetAlias, Update
from nestvec.errors import (
    BackendRefused,
    BackendUnavailable,
    CollectionConflict,
    CollectionNotFound,
    NestvecError,
    Unsupported,
)
from nestvec.types import DENSE, Metric
from nestvec_pinecone import tags
from nestvec_pinecone.calls import Operation, control
from nestvec_pinecone.foreign import record_for
from nestvec_pinecone.options import PineconeOptions
from nestvec_pinecone.places import METRIC_NAMES, Place, check_same, metric_of, one_vector
from nestvec_pinecone.polling import Polling

_LOG: Final = logging.getLogger(__name__)
#: States that an index does not come back from.
_LOST = ("InitializationFailed", "Disabled")


@dataclass(frozen=True, slots=True)
class IndexCatalog:
    """One index for each physical collection. A pointer is a tag on the index that it leads to."""

    options: PineconeOptions
    polling: Polling

    lasting: ClassVar[bool] = True

    def resolve_alias(self, name: str) -> Operation[str | None]:
        """The index that has the pointer's highest number: a switch is one change of one index."""
        models = yield from self._models()
        return _leader(models, name)

    def names(self) -> Operation[list[str]]:
        """All indexes."""
        models = yield from self._models()
        return [model.name for model in models]

    def describe(self, physical: str, foreign: ForeignLayout | None = None) -> Operation[CollectionInfo | None]:
        """From the index's own description. Raises `CollectionConflict` for a foreign one without plain vectors."""
        model = yield from self._model(physical)
        if model is None:
            return None
        name, size, metric = _dense(model)
        record = tags.unpack(model.tags or {})
        if foreign is None:
            return CollectionInfo(physical, {name: size} if name else {}, metric, record)
        if name != DENSE:
            raise CollectionConflict(
                f"index {physical!r} holds {'documents with fields' if name else 'sparse vectors'}; nestvec reads "
                f"indexes of plain dense vectors"
            )
        return CollectionInfo(physical, {name: size}, metric, record_for(record, foreign))

    def create(self, request: Create) -> Operation[None]:
        """Create, or complete what was begun; returns when the index can be used."""
        size = one_vector(request.vectors, request.physical)
        wanted = tags.pack(request.record, request.physical)
        if request.tenants:
            wanted[tags.TENANTS] = "yes"
        found = yield from self.describe(request.physical)
        if found is None:
            try:
                yield control("indexes.create", **self._creation(request, size, wanted))
            except CollectionConflict:
                # Somebody else was quicker; if it is the same collection, all is well.
                found = yield from self.describe(request.physical)
                if found is None:
                    raise BackendUnavailable(
                        f"collection {request.physical!r} is being deleted; try again when it is gone"
                    ) from None
        if found is not None:
            check_same(request, found)
        yield from self.locate(request.physical)

    def update(self, request: Update) -> Operation[None]:
        """Replace the record, in one change; other tags stay."""
        model = yield from self._existing(request.physical)
        yield from self._keep(model, request)

    def adopt(self, request: Adopt) -> Operation[None]:
        """Keep the record in the tags. Raises `CollectionConflict` if they vouch for another namespace already."""
        model = yield from self._existing(request.physical)
        stored = tags.unpack(model.tags or {}) or {}
        if record_for(stored, request.foreign) is None and stored.get("name") != request.record.get("name"):
            raise CollectionConflict(
                f"index {request.physical!r} is adopted already, as {stored.get('name')!r} with another namespace, and "
                f"its tags hold one record; give backends index_host to adopt several namespaces of an index, or "
                f"delete its tags nestvec-record-… to give the other up. Nothing was changed"
            )
        yield from self._keep(model, request)

    def _keep(self, model: Any, request: Update | Adopt) -> Operation[None]:
        wanted = tags.pack(request.record, request.physical)
        change = tags.replacing(model.tags or {}, wanted)
        tags.check_room({**(model.tags or {}), **change}, request.physical)
        yield control("indexes.configure", name=request.physical, tags=change)
        yield from self._seen(request.physical, lambda new: tags.unpack(new) == dict(request.record))

    def set_alias(self, request: SetAlias) -> Operation[None]:
        """Give the target a higher number than any other; then take it away from the others."""
        models = yield from self._models()
        names = {model.name for model in models}
        if request.name in names:
            raise BackendRefused(f"pointer {request.name!r} would hide an index of that name; choose another name")
        if request.physical not in names:
            raise CollectionNotFound(f"there is no index {request.physical!r} for {request.name!r} to lead to")
        if _leader(models, request.name) == request.physical:
            return
        number = 1 + max(tags.rank(model.tags or {}, request.name) for model in models)
        key = tags.pointer(request.name)
        yield control("indexes.configure", name=request.physical, tags={key: str(number)})
        yield from self._seen(request.physical, lambda new: new.get(key) == str(number))
        for model in models:
            # Not needed for reading; but should the target be dropped, an old one must not come back.
            if model.name != request.physical and key in (model.tags or {}):
                yield control("indexes.configure", name=model.name, tags={key: ""})

    def drop_alias(self, name: str) -> Operation[None]:
        """Take its number away from every index, from the leader last: until then no other one leads."""
        models = yield from self._models()
        key = tags.pointer(name)
        for model in sorted(models, key=lambda each: tags.rank(each.tags or {}, name)):
            if key in (model.tags or {}):
                yield control("indexes.configure", name=model.name, tags={key: ""})
                yield from self._seen(model.name, lambda new: not new.get(key))

    def drop(self, physical: str) -> Operation[None]:
        """Delete the index; returns when it is gone."""
        try:
            yield control("indexes.delete", name=physical, timeout=-1)
        except CollectionNotFound:
            return

        def gone() -> Operation[bool]:
            try:
                yield control("indexes.describe", name=physical)
            except CollectionNotFound:
                return True
            return False

        seconds = self.options.ready_timeout
        yield from self.polling.until(
            gone, seconds, lambda: self._late(physical, "deleted"), self._patience(physical, "deleted")
        )

    def locate(
        self,
        physical: str,
        foreign: ForeignLayout | None = None,  # noqa: ARG002 - an index is where it is, however it is read
    ) -> Operation[Place]:
        """Where the index is, once it can be used. Raises `CollectionNotFound`, `BackendUnavailable`."""
        known: list[Any] = []

        def ready() -> Operation[bool]:
            model = yield from self._existing(physical)
            known[:] = [model]
            if model.status.state in _LOST:
                raise BackendRefused(
                    f"Pinecone could not create index {physical!r}, or disabled it (state {model.status.state}); "
                    f"look at it in Pinecone's console, delete it there, and apply again"
                )
            return bool(model.status.ready and model.host)

        seconds = self.options.ready_timeout
        yield from self.polling.until(
            ready, seconds, lambda: self._late(physical, "ready"), self._patience(physical, "ready")
        )
        (model,) = known
        return Place(physical, model.host, _dense(model)[1], tags.TENANTS in (model.tags or {}))

    def _creation(self, request: Create, size: int, wanted: Mapping[str, str]) -> dict[str, Any]:
        deployment = {"deployment_type": "managed", "cloud": self.options.cloud, "region": self.options.region}
        return {
            "name": request.physical,
            # This is how the SDK is told to make an index of plain vectors, which it calls the older form.
            "dimension": size,
            "metric": METRIC_NAMES[request.metric],
            "deployment": deployment,
            "tags": wanted,
            "timeout": -1,
        }

    def _models(self) -> Operation[list[Any]]:
        models = yield control("indexes.list")
        return [model for model in models if model.status.state != "Terminating"]

    def _model(self, physical: str) -> Operation[Any]:
        """An index, or None; one that is going away is not there any more."""
        try:
            model = yield control("indexes.describe", name=physical)
        except CollectionNotFound:
            return None
        return None if model.status.state == "Terminating" else model

    def _existing(self, physical: str) -> Operation[Any]:
        model = yield from self._model(physical)
        if model is None:
            raise CollectionNotFound(
                f"there is no Pinecone index {physical!r}; create it with `nestvec apply` or apply()"
            )
        return model

    def _seen(self, physical: str, expected: Any) -> Operation[None]:
        """Wait until the control plane tells what it was told."""

        def check() -> Operation[bool]:
            model = yield from self._existing(physical)
            return bool(expected(model.tags or {}))

        yield from self.polling.until(check, self.options.visible_timeout, lambda: self._late(physical, "changed"))

    def _patience(self, physical: str, what: str) -> Callable[[float], None]:
        """Says every few seconds why nothing happens. A warning, so that people see it who set no logging up."""

        def tell(waited: float) -> None:
            message = "Pinecone index %r is not %s after %.0f seconds; waiting up to %d (ready_timeout)"
            _LOG.warning(message, physical, what, waited, self.options.ready_timeout)

        return tell

    def _late(self, physical: str, what: str) -> NestvecError:
        return BackendUnavailable(
            f"index {physical!r} is not {what} yet, after the time set for that; Pinecone is still at it: repeat this "
            f"later (it goes on where it was), or set a longer ready_timeout"
        )


def _leader(models: list[Any], name: str) -> str | None:
    ranked = [(tags.rank(model.tags or {}, name), model.name) for model in models]
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

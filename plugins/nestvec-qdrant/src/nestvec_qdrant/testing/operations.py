"""What each REST call does, as plain functions of the store and the parsed request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from qdrant_client.http import models as m
from qdrant_client.local.payload_value_extractor import value_by_key

from nestvec_qdrant.testing.rules import valid_point_id
from nestvec_qdrant.testing.store import QdrantStore
from nestvec_qdrant.testing.wire import RefusedError


@dataclass(frozen=True)
class QdrantCall:
    """One request: path parameters, the parsed body (None for calls without one), the `wait` flag."""

    params: Mapping[str, str]
    body: Any
    wait: bool

    @property
    def name(self) -> str:
        """The collection or alias in the path."""
        return self.params["name"]


Operation: TypeAlias = Callable[[QdrantStore, QdrantCall], Any]

# ------------------------------------------------------------------------------------------ collections


def list_collections(store: QdrantStore, _call: QdrantCall) -> Any:
    return m.CollectionsResponse(collections=[m.CollectionDescription(name=name) for name in store.collections()])


def get_collection(store: QdrantStore, call: QdrantCall) -> Any:
    return store.info(store.resolve(call.name))


def collection_exists(store: QdrantStore, call: QdrantCall) -> Any:
    names = [*store.collections(), *store.aliases()]
    return m.CollectionExistence(exists=call.name in names)


def create_collection(store: QdrantStore, call: QdrantCall) -> Any:
    if call.name in store.collections():
        raise RefusedError.collection_exists(call.name)
    if call.name in store.aliases():
        raise RefusedError.bad_input(
            f"Can't create collection with name {call.name}. Alias with the same name already exists"
        )
    body: m.CreateCollection = call.body
    with store.locked() as client:
        client.create_collection(
            call.name,
            vectors_config=body.vectors,
            sparse_vectors_config=body.sparse_vectors,
            metadata=body.metadata,
        )
    store.extra_state(call.name).update(body)
    return True


def update_collection(store: QdrantStore, call: QdrantCall) -> Any:
    real, body = store.resolve(call.name), call.body
    with store.locked() as client:
        client.update_collection(
            real,
            vectors_config=body.vectors,
            sparse_vectors_config=body.sparse_vectors,
            metadata=body.metadata,
        )
    store.extra_state(real).update(body)
    return True


def delete_collection(store: QdrantStore, call: QdrantCall) -> Any:
    # A server deletes by name only: an alias is not followed, and a missing collection is no error.
    store.forget(call.name)
    with store.locked() as client:
        return client.delete_collection(call.name)


# ---------------------------------------------------------------------------------------------- indexes


def create_index(store: QdrantStore, call: QdrantCall) -> Any:
    real, body = store.resolve(call.name), call.body
    if body.field_schema is None:
        raise RefusedError.bad_input(
            f"Unable to infer type for the field '{body.field_name}'. Please specify `field_type`"
        )
    store.extra_state(real).indexes[body.field_name] = body.field_schema
    return store.update_result(real, call.wait)


def delete_index(store: QdrantStore, call: QdrantCall) -> Any:
    real = store.resolve(call.name)
    store.extra_state(real).indexes.pop(call.params["field"], None)
    return store.update_result(real, call.wait)


# ---------------------------------------------------------------------------------------------- aliases


def list_aliases(store: QdrantStore, _call: QdrantCall) -> Any:
    return _alias_list(store.aliases())


def collection_aliases(store: QdrantStore, call: QdrantCall) -> Any:
    return _alias_list({alias: real for alias, real in store.aliases().items() if real == call.name})


def _alias_list(aliases: Mapping[str, str]) -> m.CollectionsAliasesResponse:
    described = [m.AliasDescription(alias_name=alias, collection_name=real) for alias, real in aliases.items()]
    return m.CollectionsAliasesResponse(aliases=described)


def change_aliases(store: QdrantStore, call: QdrantCall) -> Any:
    # One after the other, as on a server: no reader sees a state in between, but the actions before a
    # refused one stay done.
    for action in call.body.actions:
        _check_alias_action(store, action)
        with store.locked() as client:
            client.update_collection_aliases(change_aliases_operations=[action])
    return True


def _check_alias_action(store: QdrantStore, action: m.AliasOperations) -> None:
    if isinstance(action, m.CreateAliasOperation):
        if action.create_alias.collection_name not in store.collections():
            raise RefusedError.no_collection(action.create_alias.collection_name)
        _check_alias_name(store, action.create_alias.alias_name)
    elif isinstance(action, m.RenameAliasOperation):
        if action.rename_alias.old_alias_name not in store.aliases():
            raise RefusedError.not_found(f"Alias {action.rename_alias.old_alias_name} does not exists!")
        _check_alias_name(store, action.rename_alias.new_alias_name)


def _check_alias_name(store: QdrantStore, alias: str) -> None:
    if alias in store.collections():
        raise RefusedError.collection_exists(alias)


# ----------------------------------------------------------------------------------------------- writes


def upsert_points(store: QdrantStore, call: QdrantCall) -> Any:
    real, body = store.resolve(call.name), call.body
    points = body.batch if isinstance(body, m.PointsBatch) else body.points
    with store.locked() as client:
        client.upsert(real, points, update_filter=body.update_filter, update_mode=body.update_mode)
    return store.update_result(real, call.wait)


def delete_points(store: QdrantStore, call: QdrantCall) -> Any:
    real = store.resolve(call.name)
    with store.locked() as client:
        client.delete(real, call.body)
    return store.update_result(real, call.wait)


def _selected(body: Any) -> Any:
    """The points a payload request is about: ids win over a filter, one of them must be there."""
    if body.points is not None:
        return body.points
    if body.filter is None:
        raise RefusedError(400, "Format error in JSON body: Either list of point ids or filter must be provided")
    return body.filter


def set_payload(store: QdrantStore, call: QdrantCall) -> Any:
    real, body = store.resolve(call.name), call.body
    with store.locked() as client:
        client.set_payload(real, body.payload, _selected(body), key=body.key)
    return store.update_result(real, call.wait)


def overwrite_payload(store: QdrantStore, call: QdrantCall) -> Any:
    real, body = store.resolve(call.name), call.body
    with store.locked() as client:
        client.overwrite_payload(real, body.payload, _selected(body))
    return store.update_result(real, call.wait)


def delete_payload(store: QdrantStore, call: QdrantCall) -> Any:
    real, body = store.resolve(call.name), call.body
    with store.locked() as client:
        client.delete_payload(real, body.keys, _selected(body))
    return store.update_result(real, call.wait)


def batch_update(store: QdrantStore, call: QdrantCall) -> Any:
    real = store.resolve(call.name)
    with store.locked() as client:
        client.batch_update_points(real, call.body.operations)
    return [store.update_result(real, call.wait) for _ in call.body.operations]


# ------------------------------------------------------------------------------------------------ reads


def _default(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


def _order_key(order_by: m.OrderByInterface) -> str:
    return order_by if isinstance(order_by, str) else order_by.key


def get_point(store: QdrantStore, call: QdrantCall) -> Any:
    real, text = store.resolve(call.name), call.params["id"]
    point_id: int | str = int(text) if text.isascii() and text.isdigit() else text
    if not valid_point_id(point_id):
        raise RefusedError.bad_input(f'Cannot recognize "{text}" as point id')
    with store.locked() as client:
        found = client.retrieve(real, [point_id], with_payload=True, with_vectors=True)
    if not found:
        raise RefusedError.not_found(f"Point with id {text} does not exists!")
    return found[0]


def retrieve_points(store: QdrantStore, call: QdrantCall) -> Any:
    real, body = store.resolve(call.name), call.body
    with store.locked() as client:
        return client.retrieve(
            real,
            body.ids,
            with_payload=_default(body.with_payload, True),
            with_vectors=_default(body.with_vector, False),
        )


def count_points(store: QdrantStore, call: QdrantCall) -> Any:
    real = store.resolve(call.name)
    with store.locked() as client:
        return client.count(real, count_filter=call.body.filter)


def facet_points(store: QdrantStore, call: QdrantCall) -> Any:
    """Counted here: the local engine respells values that look like UUIDs, and counts what no index has."""
    real, body = store.resolve(call.name), call.body
    kind = store.facet_type(real, body.key)
    with store.locked() as client:
        total = client.count(real).count
        points, _ = client.scroll(real, scroll_filter=body.filter, limit=max(total, 1), with_payload=[body.key])
    values = [value_by_key(point.payload or {}, body.key) or [] for point in points]
    counted = Counter(value for found in values for value in {each for each in found if type(each) is kind})
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    hits = [m.FacetValueHit(value=value, count=count) for value, count in ranked[: _default(body.limit, 10)]]
    return m.FacetResponse(hits=hits)


def scroll_points(store: QdrantStore, call: QdrantCall) -> Any:
    real, body = store.resolve(call.name), call.body
    if body.order_by is not None:
        store.check_order_by(real, _order_key(body.order_by))
    with store.locked() as client:
        points, following = client.scroll(
            real,
            scroll_filter=body.filter,
            limit=_default(body.limit, 10),
            order_by=body.order_by,
            offset=body.offset,
            with_payload=_default(body.with_payload, True),
            with_vectors=_default(body.with_vector, False),
        )
    return m.ScrollResult(points=points, next_page_offset=following)


def query_points(store: QdrantStore, call: QdrantCall) -> Any:
    return _query(store, store.resolve(call.name), call.body)


def query_batch(store: QdrantStore, call: QdrantCall) -> Any:
    real = store.resolve(call.name)
    return [_query(store, real, request) for request in call.body.searches]


def _query(store: QdrantStore, real: str, request: m.QueryRequest) -> m.QueryResponse:
    _check_query(store, real, request)
    with store.locked() as client:
        return client.query_points(
            real,
            query=request.query,
            using=request.using,
            prefetch=request.prefetch,
            query_filter=request.filter,
            search_params=request.params,
            limit=_default(request.limit, 10),
            offset=request.offset,
            with_payload=_default(request.with_payload, False),
            with_vectors=_default(request.with_vector, False),
            score_threshold=request.score_threshold,
            lookup_from=request.lookup_from,
        )


def _check_query(store: QdrantStore, real: str, request: m.QueryRequest | m.Prefetch) -> None:
    query = request.query.nearest if isinstance(request.query, m.NearestQuery) else request.query
    if isinstance(query, list) and query and isinstance(query[0], float):
        store.check_dimensions(real, request.using, query)
    if isinstance(query, m.OrderByQuery):
        store.check_order_by(real, _order_key(query.order_by))
    prefetch = request.prefetch or []
    for inner in prefetch if isinstance(prefetch, list) else [prefetch]:
        _check_query(store, real, inner)

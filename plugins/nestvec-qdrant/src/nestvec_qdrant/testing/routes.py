"""Which path leads to which operation, with the client's models for both directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qdrant_client.http import models as m

from nestvec_qdrant.testing import operations as op

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class Endpoint:
    """A REST call. `request` is None for calls without a body; `writes` needs more than a read-only key."""

    method: str
    path: str
    operation: op.Operation
    reply: type[BaseModel]
    request: Any = None
    writes: bool = False


_BOOL = m.InlineResponse2001
_UPDATED = m.InlineResponse2008
_NAME = "/collections/{name}"
_POINTS = f"{_NAME}/points"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/collections", op.list_collections, m.InlineResponse2006),
    Endpoint("GET", "/aliases", op.list_aliases, m.InlineResponse20012),
    Endpoint("POST", "/collections/aliases", op.change_aliases, _BOOL, m.ChangeAliasesOperation, writes=True),
    Endpoint("GET", _NAME, op.get_collection, m.InlineResponse2007),
    Endpoint("PUT", _NAME, op.create_collection, _BOOL, m.CreateCollection, writes=True),
    Endpoint("PATCH", _NAME, op.update_collection, _BOOL, m.UpdateCollection, writes=True),
    Endpoint("DELETE", _NAME, op.delete_collection, _BOOL, writes=True),
    Endpoint("GET", f"{_NAME}/exists", op.collection_exists, m.InlineResponse2009),
    Endpoint("GET", f"{_NAME}/aliases", op.collection_aliases, m.InlineResponse20012),
    Endpoint("PUT", f"{_NAME}/index", op.create_index, _UPDATED, m.CreateFieldIndex, writes=True),
    Endpoint("DELETE", f"{_NAME}/index/{{field:path}}", op.delete_index, _UPDATED, writes=True),
    Endpoint("PUT", _POINTS, op.upsert_points, _UPDATED, m.PointInsertOperations, writes=True),
    Endpoint("POST", _POINTS, op.retrieve_points, m.InlineResponse20017, m.PointRequest),
    Endpoint("POST", f"{_POINTS}/delete", op.delete_points, _UPDATED, m.PointsSelector, writes=True),
    Endpoint("POST", f"{_POINTS}/count", op.count_points, m.InlineResponse20020, m.CountRequest),
    Endpoint("POST", f"{_POINTS}/scroll", op.scroll_points, m.InlineResponse20019, m.ScrollRequest),
    Endpoint("POST", f"{_POINTS}/query", op.query_points, m.InlineResponse20022, m.QueryRequest),
    Endpoint("POST", f"{_POINTS}/query/batch", op.query_batch, m.InlineResponse20023, m.QueryRequestBatch),
    Endpoint("POST", f"{_NAME}/facet", op.facet_points, m.InlineResponse20021, m.FacetRequest),
    Endpoint("POST", f"{_POINTS}/payload", op.set_payload, _UPDATED, m.SetPayload, writes=True),
    Endpoint("PUT", f"{_POINTS}/payload", op.overwrite_payload, _UPDATED, m.SetPayload, writes=True),
    Endpoint("POST", f"{_POINTS}/payload/delete", op.delete_payload, _UPDATED, m.DeletePayload, writes=True),
    Endpoint("POST", f"{_POINTS}/batch", op.batch_update, m.InlineResponse20018, m.UpdateOperations, writes=True),
    Endpoint("GET", f"{_POINTS}/{{id}}", op.get_point, m.InlineResponse20016),
)

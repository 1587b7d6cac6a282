"""The data plane: what one index does with records."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from nestvec_pinecone.testing import limits
from nestvec_pinecone.testing.errors import PineconeRefusal, require
from nestvec_pinecone.testing.filters import check_filter, selects
from nestvec_pinecone.testing.settings import PineconeSettings
from nestvec_pinecone.testing.store import Change, Index, PineconeStore, Records, StoredVector, similarities

#: The pairs of a query string.
Pairs: TypeAlias = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class DataAnswer:
    """The body of a reply, and the log sequence numbers that its headers carry."""

    body: Mapping[str, Any]
    committed: int | None = None
    reconciled: int | None = None
    limited: bool = field(default=False)


@dataclass(frozen=True)
class Data:
    """The operations on one index."""

    store: PineconeStore
    settings: Callable[[], PineconeSettings]
    index: Index

    # ------------------------------------------------------------ writing

    def upsert(self, body: Mapping[str, Any]) -> DataAnswer:
        """Insert or replace, all or nothing."""
        vectors = body.get("vectors")
        require(isinstance(vectors, list) and vectors, "No vectors to upsert")
        assert isinstance(vectors, list)
        require(len(vectors) <= limits.MAX_VECTORS, f"Too many vectors: {len(vectors)}, at most {limits.MAX_VECTORS}")
        new = {each["id"]: each for each in (self._checked(vector) for vector in vectors)}
        records = {key: _stored(each) for key, each in new.items()}
        return self._write(body, lambda view: view.update(records), {"upsertedCount": len(vectors)})

    def delete(self, body: Mapping[str, Any]) -> DataAnswer:
        """By ids, by filter, or everything in a namespace."""
        given = [name for name in ("ids", "deleteAll", "filter") if body.get(name)]
        require(len(given) == 1, "Exactly one of ids, deleteAll and filter is required")
        self.store.find(self.index, _namespace(body))
        if given == ["ids"]:
            limits.check_ids(body["ids"])
            return self._write(body, lambda view: _discard(view, body["ids"]), {})
        if given == ["deleteAll"]:
            return self._write(body, lambda view: view.clear(), {})
        where = _some_filter(body, "Delete with empty metadata filter is not allowed")
        return self._write(body, lambda view: _discard(view, self._matching(view, where)), {})

    def update(self, body: Mapping[str, Any]) -> DataAnswer:
        """One record by id, or the metadata of all that match; a dry run only counts those."""
        require(("id" in body) != ("filter" in body), "Exactly one of id and filter must be provided")
        changes = body.get("setMetadata") or {}
        limits.check_metadata(changes)
        if "id" in body:
            return self._update_one(body, changes)
        require(self.settings().recent, "Update by metadata is not supported")
        require("values" not in body, "Update by metadata does not support updating vector values")
        where = _some_filter(body, "Update with empty metadata filter is not allowed")
        view = self.store.find(self.index, _namespace(body)).read("query")
        counted = {"matchedRecords": len(self._matching(view.records, where))}
        if body.get("dryRun"):
            return DataAnswer(counted, reconciled=view.lsn)

        def change(records: Records) -> None:
            for key in self._matching(records, where):
                records[key] = StoredVector(key, records[key].values, {**records[key].metadata, **_doubles(changes)})

        return self._write(body, change, counted)

    # ------------------------------------------------------------ reading

    def fetch(self, query: Pairs) -> DataAnswer:
        """By id. Missing ones are left out."""
        ids = [value for key, value in query if key == "ids"]
        limits.check_ids(ids)
        name = limits.check_namespace(dict(query).get("namespace", ""))
        records = self._records(name, "fetch")
        found = {key: self._vector(records[key]) for key in ids if key in records}
        return DataAnswer({"vectors": found, "namespace": name, "usage": {"readUnits": 1}})

    def fetch_by_metadata(self, body: Mapping[str, Any]) -> DataAnswer:
        """A page of what matches, with its vectors."""
        self._recent()
        where = _some_filter(body, "Empty filter provided for fetch by metadata request")
        limit = limits.in_range(body.get("limit", 100), limits.MAX_FETCH_BY_METADATA, "Limit")
        view = self.store.find(self.index, _namespace(body)).read("query")
        keys, token = _page(self._matching(view.records, where), limit, body.get("paginationToken"))
        found = {key: self._vector(view.records[key]) for key in keys}
        reply = {"vectors": found, "namespace": _namespace(body), "usage": {"readUnits": 1}}
        return DataAnswer({**reply, **token}, reconciled=view.lsn)

    def list_ids(self, query: Pairs) -> DataAnswer:
        """A page of ids, in order."""
        given = dict(query)
        limit = limits.in_range(_whole(given.get("limit", "100")), limits.MAX_LIST, "Limit")
        name = limits.check_namespace(given.get("namespace", ""))
        ids = sorted(key for key in self._records(name, "query") if key.startswith(given.get("prefix", "")))
        keys, token = _page(ids, limit, given.get("paginationToken"))
        return DataAnswer(
            {"vectors": [{"id": key} for key in keys], "namespace": name, "usage": {"readUnits": 1}, **token}
        )

    def query(self, body: Mapping[str, Any]) -> DataAnswer:
        """The records nearest to a vector."""
        top = limits.in_range(body.get("topK"), limits.MAX_TOP_K, "topK")
        require(("vector" in body) != ("id" in body), "Exactly one of vector and id is required")
        where = check_filter(body.get("filter") or {})
        name = _namespace(body)
        namespace = self.index.namespaces.get(name)
        view = namespace.read("query") if namespace else None
        records = view.records if view else {}
        row = self._question(body, records)
        stored = [records[key] for key in self._matching(records, where)]
        matches = [self._match(each, score, body) for each, score in self._nearest(stored, row)[:top]]
        reply = {"results": [], "matches": matches, "namespace": name, "usage": {"readUnits": 1}}
        return DataAnswer(reply, reconciled=view.lsn if view else 0, limited=True)

    def stats(self, body: Mapping[str, Any]) -> DataAnswer:
        """What is in the index."""
        require(not body.get("filter"), "Serverless indexes do not filter index stats by metadata")
        counts = {name: len(view.records) for name, view in self.store.visible(self.index, "stats")}
        return DataAnswer(
            {
                "namespaces": {name or "__default__": {"vectorCount": count} for name, count in counts.items()},
                "dimension": self.index.dimension,
                "indexFullness": 0.0,
                "totalVectorCount": sum(counts.values()),
                "metric": self.index.metric,
                "vectorType": "dense",
            }
        )

    # ------------------------------------------------------------ namespaces

    def list_namespaces(self, query: Pairs) -> DataAnswer:
        """A page of them, in order."""
        self._recent()
        given = dict(query)
        limit = limits.in_range(_whole(given.get("limit", "100")), 100, "Limit")
        found = {name or "__default__": len(view.records) for name, view in self.store.visible(self.index, "stats")}
        names = sorted(name for name in found if name.startswith(given.get("prefix", "")))
        page, token = _page(names, limit, given.get("paginationToken"))
        described = [{"name": name, "record_count": found[name]} for name in page]
        return DataAnswer({"namespaces": described, "total_count": len(names), **token})

    def delete_namespace(self, name: str) -> DataAnswer:
        """With everything in it, at once."""
        self._recent()
        known = limits.check_namespace(name)
        self.store.find(self.index, known)
        del self.index.namespaces[known]
        return DataAnswer({})

    # ------------------------------------------------------------ parts

    def _recent(self) -> None:
        require(self.settings().recent, "Not Found", 404)

    def _checked(self, vector: object) -> Mapping[str, Any]:
        require(isinstance(vector, dict), "A vector must be an object")
        assert isinstance(vector, dict)
        limits.check_id(vector.get("id"))
        limits.check_vector(vector.get("values"), self.index.dimension)
        limits.check_metadata(vector.get("metadata") or {})
        return vector

    def _write(self, body: Mapping[str, Any], change: Change, reply: Mapping[str, Any]) -> DataAnswer:
        return DataAnswer(reply, committed=self.store.open(self.index, _namespace(body)).write(change))

    def _update_one(self, body: Mapping[str, Any], changes: Mapping[str, Any]) -> DataAnswer:
        key, values = body["id"], body.get("values")
        if values is not None:
            limits.check_vector(values, self.index.dimension)

        def change(records: Records) -> None:
            if key in records:
                old = records[key]
                row = old.values if values is None else np.array(values, np.float32)
                records[key] = StoredVector(key, row, {**old.metadata, **_doubles(changes)})

        return self._write(body, change, {})

    def _records(self, name: str, surface: Any) -> Records:
        namespace = self.index.namespaces.get(name)
        return namespace.read(surface).records if namespace else {}

    def _matching(self, records: Records, where: Mapping[str, Any]) -> list[str]:
        missing = self.settings().negation_finds_missing
        return sorted(key for key, each in records.items() if selects(where, each.metadata, finds_missing=missing))

    def _question(self, body: Mapping[str, Any], records: Records) -> Any:
        if "vector" in body:
            limits.check_vector(body["vector"], self.index.dimension)
            return np.array(body["vector"], np.float32)
        return records[body["id"]].values if body["id"] in records else None

    def _nearest(self, stored: Sequence[StoredVector], row: Any) -> list[tuple[StoredVector, float]]:
        if row is None or not stored:
            return []
        scores = similarities(np.stack([each.values for each in stored]), row, self.index.metric)
        order = np.argsort(scores if self.index.metric == "euclidean" else -scores, kind="stable")
        return [(stored[i], float(scores[i])) for i in order]

    def _match(self, stored: StoredVector, score: float, body: Mapping[str, Any]) -> dict[str, Any]:
        match: dict[str, Any] = {"id": stored.id, "score": score, "values": []}
        if body.get("includeValues"):
            match["values"] = stored.values.tolist()
        if body.get("includeMetadata") and stored.metadata:
            match["metadata"] = self._shown(stored.metadata)
        return match

    def _vector(self, stored: StoredVector) -> dict[str, Any]:
        vector: dict[str, Any] = {"id": stored.id, "values": stored.values.tolist()}
        return {**vector, "metadata": self._shown(stored.metadata)} if stored.metadata else vector

    def _shown(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        as_int = self.settings().whole_numbers == "int"
        return {
            key: int(value) if as_int and isinstance(value, float) and value.is_integer() else value
            for key, value in metadata.items()
        }


def _stored(vector: Mapping[str, Any]) -> StoredVector:
    return StoredVector(vector["id"], np.array(vector["values"], np.float32), _doubles(vector.get("metadata") or {}))


def _doubles(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Pinecone keeps every number as a double."""
    return {key: float(value) if type(value) is int else value for key, value in metadata.items()}


def _discard(records: Records, keys: Sequence[str]) -> None:
    for key in keys:
        records.pop(key, None)


def _namespace(body: Mapping[str, Any]) -> str:
    return limits.check_namespace(body.get("namespace", ""))


def _some_filter(body: Mapping[str, Any], otherwise: str) -> dict[str, Any]:
    where = check_filter(body.get("filter"))
    require(where, otherwise)
    return where


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _page(keys: Sequence[str], limit: int, token: str | None) -> tuple[Sequence[str], dict[str, Any]]:
    """Keys after the one that the token names; the token of the next page, if there is one."""
    after = _decoded(token) if token else None
    left = [key for key in keys if after is None or key > after]
    page = left[:limit]
    more = len(left) > limit
    return page, {"pagination": {"next": base64.urlsafe_b64encode(page[-1].encode()).decode()}} if more else {}


def _decoded(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except ValueError:
        raise PineconeRefusal(400, "Invalid pagination token") from None

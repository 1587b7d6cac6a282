"""How thin a document store for Haystack is over nestvec: Haystack's own suite is run against it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from haystack.dataclasses import Document
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError

import nestvec
from nestvec import ID, F
from nestvec.errors import IngestFailed
from nestvec.filters import Filter, all_of, any_of

_ON_EXISTING = {
    DuplicatePolicy.NONE: "fail",
    DuplicatePolicy.FAIL: "fail",
    DuplicatePolicy.SKIP: "skip",
    DuplicatePolicy.OVERWRITE: "replace",
}


class DocumentStore:
    """Documents of Haystack in a collection of nestvec."""

    def __init__(self, collection: nestvec.Collection) -> None:
        self.collection = collection

    def count_documents(self) -> int:
        return self.collection.count()

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        if not isinstance(documents, list) or not all(isinstance(each, Document) for each in documents):
            raise ValueError("write_documents takes a list of haystack Documents")
        given = [nestvec.Document(each.id, each.content, dict(each.meta), vector=each.embedding) for each in documents]
        ours = self.collection.space.fingerprint
        try:
            report = self.collection.upsert(given, on_existing=_ON_EXISTING[policy], vectors_from=ours)
        except IngestFailed as error:
            if any("is stored already" in each.error for each in error.report.failed):
                raise DuplicateDocumentError(str(error)) from error
            raise
        return report.documents

    def delete_documents(self, document_ids: list[str]) -> None:
        self.collection.delete(document_ids) if document_ids else None

    def delete_all_documents(self) -> None:
        self.collection.delete(everything=True)

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        return self.collection.delete(where=self._where(filters))

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        return self.collection.update_metadata(where=self._where(filters), changes=meta).documents

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        where = self._where(filters) if filters else None
        return [self._theirs(each) for each in self.collection.documents(where, vectors=True)]

    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        return self.collection.count(self._where(filters) if filters else None)

    def count_unique_metadata_by_filter(self, filters: dict[str, Any], metadata_fields: list[str]) -> dict[str, int]:
        where = self._where(filters) if filters else None
        return {each: len(self.collection.distinct(_name(each), where)) for each in metadata_fields}

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        least, greatest = self.collection.value_range(_name(metadata_field)) or (None, None)
        return {"min": least, "max": greatest}

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int | None = None,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        found = self.collection.distinct(_name(metadata_field), self._where(filters) if filters else None)
        values = [each.value for each in found]
        if search_term is not None:
            values = [each for each in values if search_term.lower() in str(each).lower()]
        return values[from_ : None if size is None else from_ + size], len(values)

    def _theirs(self, document: nestvec.Document) -> Document:
        embedding = None if document.vector is None else document.vector.tolist()
        return Document(id=document.id, content=document.text, meta=dict(document.metadata), embedding=embedding)

    def _where(self, condition: Any) -> Filter:
        if not isinstance(condition, dict) or "operator" not in condition:
            raise FilterError(f"a condition needs an operator: {condition!r}")
        if "field" in condition:
            return self._comparison(condition)
        if "conditions" not in condition:
            raise FilterError(f"a condition needs a field, or conditions: {condition!r}")
        inner = [self._where(each) for each in condition["conditions"]]
        match condition["operator"]:
            case "AND":
                return all_of(*inner)
            case "OR":
                return any_of(*inner)
            case "NOT":
                return ~all_of(*inner)
        raise FilterError(f"unknown operator {condition['operator']!r}")

    def _comparison(self, condition: dict[str, Any]) -> Filter:
        if "value" not in condition:
            raise FilterError(f"a comparison needs a value: {condition!r}")
        operator, value = condition["operator"], condition["value"]
        field = ID if condition["field"] == "id" else F[_name(condition["field"])]
        if operator in ("in", "not in"):
            if not isinstance(value, list):
                raise FilterError(f"{operator} takes a list, not {value!r}")
            return field.in_(value) if operator == "in" else field.not_in(value)
        if operator == "==":
            return ~field.exists() if value is None else field == value
        if operator == "!=":
            return field.exists() if value is None else field != value
        if value is None:
            return field.in_([])
        return self._ordered(field, operator, value)

    def _ordered(self, field: Any, operator: str, value: Any) -> Filter:
        if isinstance(value, list) or (isinstance(value, str) and not _is_date(value)):
            raise FilterError(f"{operator} compares numbers and dates, not {value!r}")
        match operator:
            case ">":
                return field > value
            case ">=":
                return field >= value
            case "<":
                return field < value
            case "<=":
                return field <= value
        raise FilterError(f"unknown operator {operator!r}")


def _name(field: str) -> str:
    return field.removeprefix("meta.")


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True

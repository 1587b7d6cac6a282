"""Collections as Qdrant describes them, and what it takes to create one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from qdrant_client import models

from nestvec.contract import SYSTEM_FIELDS, CollectionInfo, CreateExtended
from nestvec.errors import CollectionConflict, Unsupported
from nestvec.types import DENSE, Field, FieldType, Metric, Storage
from nestvec_qdrant.filters import TENANT, field_at, field_path, system_path
from nestvec_qdrant.options import QdrantCollectionOptions
from nestvec_qdrant.storage import DISTANCE, storage_of, vector_params, vectors_of

#: The key of nestvec's record in the collection's own metadata.
RECORD = "nestvec"
METRICS = {distance: metric for metric, distance in DISTANCE.items()}
_INDEX = {
    FieldType.KEYWORD: models.PayloadSchemaType.KEYWORD,
    FieldType.INTEGER: models.PayloadSchemaType.INTEGER,
    FieldType.FLOAT: models.PayloadSchemaType.FLOAT,
    FieldType.BOOLEAN: models.PayloadSchemaType.BOOL,
    FieldType.DATETIME: models.PayloadSchemaType.DATETIME,
}
INDEXED = {index: kind for kind, index in _INDEX.items()}
#: The first server that keeps metadata on collections, where the embedding space is stored.
OLDEST_SERVER = (1, 16)


def create_arguments(request: CreateExtended) -> dict[str, Any]:
    """Arguments for `create_collection`."""
    given = request.options
    options = given if isinstance(given, QdrantCollectionOptions) else QdrantCollectionOptions.model_validate({})
    vectors = {name: vector_params(request, name, size, options.on_disk) for name, size in request.vectors.items()}
    tuned = options.hnsw_m is not None or options.hnsw_ef_construct is not None
    graph = models.HnswConfigDiff(m=options.hnsw_m, ef_construct=options.hnsw_ef_construct)
    settings = {
        "hnsw_config": graph if tuned else None,
        "on_disk_payload": options.on_disk_payload,
        "shard_number": options.shard_number,
        "replication_factor": options.replication_factor,
    }
    return {
        "collection_name": request.physical,
        "vectors_config": vectors,
        "metadata": {RECORD: dict(request.record)},
        **{name: value for name, value in settings.items() if value is not None},
    }


def check_embedded(request: CreateExtended) -> None:
    """Raise `Unsupported` for options that an embedded store could only ignore."""
    if request.storage is not Storage.FLOAT32:
        raise Unsupported(
            f"collection {request.physical!r}: an embedded Qdrant store keeps float32 and has no {request.storage} "
            f"storage; leave storage out, or use a server"
        )
    given = sorted(request.options.model_fields_set) if request.options is not None else []
    if given:
        raise Unsupported(
            f"collection {request.physical!r}: {', '.join(given)}: an embedded Qdrant store has no index, shards or "
            f"memory settings; leave these options out, or use a server"
        )


def check_same(request: CreateExtended, found: CollectionInfo) -> None:
    """Raise `CollectionConflict` where a collection to complete is not the one that was begun."""
    wanted = (dict(request.vectors), request.metric, dict(request.record), request.storage)
    if (dict(found.vectors), found.metric, found.record, found.storage) != wanted:
        raise CollectionConflict(
            f"collection {request.physical!r} exists already and is another one: it has vectors {dict(found.vectors)} "
            f"({found.metric}) and {'another' if found.record else 'no'} nestvec record; nothing was changed"
        )


def indexes(fields: Mapping[str, Field], *, tenants: bool) -> dict[str, Any]:
    """The payload indexes that a collection needs: path → schema."""
    wanted: dict[str, Any] = {system_path(name): _INDEX[field.type] for name, field in SYSTEM_FIELDS.items()}
    wanted |= {field_path(name): _INDEX[field.type] for name, field in fields.items()}
    if tenants:
        wanted[TENANT] = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
    return wanted


def missing_indexes(wanted: Mapping[str, Any], info: models.CollectionInfo) -> dict[str, Any]:
    """Those of the wanted indexes that the collection does not have."""
    # Servers may spell a path in a shorter way than it was given: metadata names are compared, not paths.
    present = {field_at(path) or path for path in info.payload_schema}
    return {path: schema for path, schema in wanted.items() if (field_at(path) or path) not in present}


def collection_info(physical: str, info: models.CollectionInfo, *, embedded: bool) -> CollectionInfo:
    """A collection in the contract's words. An embedded store has no indexes to tell fields from."""
    record, vectors = record_at(info), vectors_of(info)
    return CollectionInfo(
        physical=physical,
        vectors={name: params.size for name, params in vectors.items()},
        metric=_metric(physical, vectors),
        record=record,
        fields=None if embedded else _fields(info, record),
        storage=Storage.FLOAT32 if embedded else storage_of(info),
    )


def record_at(info: models.CollectionInfo) -> dict[str, Any] | None:
    """What nestvec keeps on the collection."""
    record = (info.config.metadata or {}).get(RECORD)
    return record if isinstance(record, dict) else None


def check_update(physical: str, storage: Storage, allowed: Iterable[tuple[str, str]], place: str) -> None:
    """Raise `Unsupported` for a storage that collections cannot change to in place."""
    if not any(now == storage for _, now in allowed):
        raise Unsupported(
            f"collection {physical!r}: {place} cannot change how it keeps vectors to {storage}; it has to be built anew"
        )


def alias_actions(name: str, current: str | None, target: str | None) -> list[models.AliasOperations]:
    """What lets an alias lead from one collection to another, in one request; None stands for no collection."""
    actions: list[models.AliasOperations] = []
    if current is not None:
        actions.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name)))
    if target is not None:
        create = models.CreateAlias(collection_name=target, alias_name=name)
        actions.append(models.CreateAliasOperation(create_alias=create))
    return actions


def note_at(info: models.CollectionInfo, name: str) -> str | None:
    """The text of a note on the collection."""
    text: str | None = (info.config.metadata or {}).get(note_key(name))
    return text


def note_key(name: str) -> str:
    """The key of a note in the collection's own metadata. Keys are merged one by one, so notes do not meet."""
    return f"{RECORD}-note-{name}"


def check_version(version: str, place: str) -> None:
    """Raise `Unsupported` for a server that could not keep the embedding space."""
    found = re.match(r"(\d+)\.(\d+)", version)
    if found and (int(found[1]), int(found[2])) < OLDEST_SERVER:
        oldest = ".".join(map(str, OLDEST_SERVER))
        raise Unsupported(
            f"{place} is version {version}, which keeps no metadata on collections, so nestvec could not store the "
            f"embedding space; upgrade it to {oldest} or later"
        )


def _metric(physical: str, vectors: Mapping[str, models.VectorParams]) -> Metric:
    if not vectors:
        return Metric.COSINE  # sparse vectors only: nothing that it could be wrong about
    distance = (vectors.get(DENSE) or next(iter(vectors.values()))).distance
    if distance not in METRICS:
        raise Unsupported(
            f"collection {physical!r} compares vectors by {distance.value}; nestvec knows "
            f"{', '.join(sorted(Metric))}: choose another collection name"
        )
    return METRICS[distance]


def _fields(info: models.CollectionInfo, record: Mapping[str, Any] | None) -> dict[str, Field]:
    """The indexed metadata fields. An index does not tell lists from single values; the record does."""
    declared = (record or {}).get("fields", {})
    found = {}
    for path, index in info.payload_schema.items():
        name, kind = field_at(path), INDEXED.get(index.data_type)
        if name is not None and kind is not None:
            found[name] = Field(kind, many=str(declared.get(name, "")).endswith("[]"))
    return found

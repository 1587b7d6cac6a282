"""Collections that other programs made, on Milvus Lite and a real server, beyond what the conformance kit asks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from pymilvus import DataType
from pymilvus.grpc_gen import milvus_pb2, schema_pb2

from nestvec._client import connect
from nestvec.contract import Adopt, Count, Describe, Fetch, ForeignLayout, Query, Scroll
from nestvec.contract.foreign_records import original
from nestvec.errors import CollectionConflict, CollectionNotFound, Unsupported
from nestvec.filters import F, matches, resolve, to_foreign
from nestvec.runtime import Runtime
from nestvec.types import DENSE, Field, FieldType, Metric
from nestvec_milvus.adopt import cells_of, foreign_columns
from nestvec_milvus.client import message, pairs, schemas
from nestvec_milvus.filters import Literals, compile_filter
from nestvec_milvus.server import ServerVersion
from nestvec_milvus.testing.foreign import make, pymilvus_client, text
from nestvec_testing.registry import test_registry
from nestvec_testing.strategies import filters_for

NAME = "their_things"
RECORD = {"nestvec": 1, "name": "docs"}
LITE = ServerVersion("milvus_lite-3.2.2", (3, 2), lite=True)
STRINGS = {"key": text(is_primary=True)}
NUMBERS = {"number": {"datatype": DataType.INT64, "is_primary": True}}
UNIT = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.6, 0.8, 0.0]]
quiet = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture
def theirs(shared):
    """Makes a collection with pymilvus; dropped after the test."""
    with pymilvus_client(shared) as client:
        client.drop_collection(NAME)

        def made(columns, rows, **options):
            client.drop_collection(NAME)
            make(client, NAME, columns, rows, **options)
            return client

        yield made
        client.drop_collection(NAME)


def scrolled(adapter, layout, limit=2):
    records, cursor = [], None
    while True:
        page = adapter.reading(layout).scroll(Scroll(NAME, None, limit, cursor))
        records += page.records
        cursor = page.cursor
        if cursor is None:
            return records


@pytest.mark.parametrize(
    ("columns", "keys"),
    [
        (NUMBERS, [-(2**63), -5, 0, 7, 2**62 + 1]),
        (STRINGS, ["", "-5", "007", 'say "hi" \\ or key != "', "ü東"]),
    ],
    ids=["numbers", "strings"],
)
def test_native_keys_are_ids_as_strings_and_lead_back(shared, theirs, columns, keys):
    (column,) = columns
    theirs(columns, [{column: key, "emb": [float(n), 1.0, 0.0]} for n, key in enumerate(keys)])
    layout = ForeignLayout(NAME)
    records = scrolled(shared, layout)
    assert sorted(record.id for record in records) == sorted(map(str, keys))
    assert all(record.document_id == record.id for record in records)
    wanted = [str(key) for key in keys if key != -(2**63)]  # of which no expression can speak
    batch = shared.reading(layout).fetch(Fetch(NAME, [*wanted, "x", "7.0", "+7", str(2**63)], vectors=True))
    assert {each.id: int(row[0]) for each, row in zip(batch.records, batch.vectors[DENSE], strict=True)} == {
        str(key): n for n, key in enumerate(keys) if str(key) in wanted
    }
    assert shared.reading(layout).fetch(Fetch(NAME, ["x"])).records == []
    assert shared.reading(layout).count(Count(NAME)) == len(keys)


@pytest.mark.parametrize(
    ("metric", "native", "scores"),
    [
        (Metric.COSINE, "COSINE", [0.0, 1.0, 0.8]),
        (Metric.DOT, "IP", [0.0, 2.0, 1.6]),
        (Metric.EUCLIDEAN, "L2", [-np.sqrt(5), -1.0, -np.sqrt(0.36 + 1.44)]),
    ],
)
def test_scores_are_nestvecs_whatever_the_metric(shared, theirs, metric, native, scores):
    rows = [{"number": n, "emb": row} for n, row in enumerate(UNIT)]
    theirs(NUMBERS, rows, vectors={"emb": native}, index="HNSW" if metric is not Metric.DOT else "AUTOINDEX")
    layout = ForeignLayout(NAME)
    info = shared.reading(layout).describe(Describe(NAME))
    assert (dict(info.vectors), info.metric, info.record) == ({DENSE: 3}, metric, None)
    question = np.array([[0, 2, 0]], np.float32)
    (hits,) = shared.reading(layout).query(Query(NAME, {DENSE: question}, metric, 3))
    wanted = {str(n): score for n, score in enumerate(scores)}
    assert {hit.record.id: hit.score for hit in hits} == pytest.approx(wanted, abs=1e-5)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_adopting_alters_one_property_and_nothing_else(shared, theirs):
    rows = [{"number": n, "emb": row, "doc": {"lang": "de"}, "more": n} for n, row in enumerate(UNIT)]
    columns = {**NUMBERS, "doc": {"datatype": DataType.JSON}}
    client = theirs(columns, rows, dynamic=True, properties={"collection.ttl.seconds": "86400"})
    client.create_alias(NAME, "their_alias")
    layout = ForeignLayout(NAME, fields={"lang": "doc.lang", "more": "more"})

    def state():
        described = shared.client.raw.send("DescribeCollection", message("DescribeCollection", collection_name=NAME))
        indexes = shared.client.raw.send("DescribeIndex", message("DescribeIndex", collection_name=NAME))
        properties = {pair.key: pair.value for pair in described.properties if pair.key != "nestvec"}
        for index in indexes.index_descriptions:
            index.ClearField("indexed_rows")  # grows by itself
            index.ClearField("pending_index_rows")
            index.ClearField("total_rows")
            index.ClearField("state")
        return (
            described.schema.SerializeToString(deterministic=True),
            [each.SerializeToString(deterministic=True) for each in indexes.index_descriptions],
            properties,
            client.list_aliases(NAME)["aliases"],
            client.get_load_state(NAME),
            client.list_partitions(NAME),
            sorted(str(sorted(row.items())) for row in client.query(NAME, "number >= 0", output_fields=["*"])),
        )

    before = state()
    assert before[2] == {"collection.ttl.seconds": "86400"}
    shared.adopt(Adopt(NAME, layout, RECORD))
    assert shared.reading(layout).describe(Describe(NAME)).record == RECORD
    shared.adopt(Adopt(NAME, layout, {**RECORD, "name": 'other "ü"'}))
    assert shared.reading(layout).describe(Describe(NAME)).record == {**RECORD, "name": 'other "ü"'}
    scrolled(shared, layout)
    shared.reading(layout).query(Query(NAME, {DENSE: np.eye(1, 3, dtype=np.float32)}, Metric.COSINE, 2))
    assert state() == before
    client.drop_alias("their_alias")
    with pytest.raises(CollectionNotFound):
        shared.adopt(Adopt("nothing_there", layout, RECORD))


def test_without_an_index_it_cannot_be_adopted(shared, theirs):
    theirs(NUMBERS, [], index=None)
    with pytest.raises(CollectionConflict, match="'emb' has no index"):
        shared.reading(ForeignLayout(NAME)).describe(Describe(NAME))


def test_what_a_server_has_not_loaded_stays_so_and_is_named(shared, theirs):
    """In this process nobody else could load it."""
    client = theirs(NUMBERS, [{"number": n, "emb": row} for n, row in enumerate(UNIT)])
    client.release_collection(NAME)
    layout = ForeignLayout(NAME)
    assert shared.reading(layout).describe(Describe(NAME)).metric is Metric.COSINE
    if shared.client.embedded:
        assert shared.reading(layout).count(Count(NAME)) == 3
        return
    question = {DENSE: np.eye(1, 3, dtype=np.float32)}
    for read in (
        lambda: shared.reading(layout).count(Count(NAME)),
        lambda: shared.reading(layout).scroll(Scroll(NAME)),
        lambda: shared.reading(layout).fetch(Fetch(NAME, ["1"])),
        lambda: shared.reading(layout).query(Query(NAME, question, Metric.COSINE, 1)),
    ):
        with pytest.raises(CollectionConflict, match=r"not loaded into memory.*load_collection"):
            read()
    assert "NotLoad" in str(client.get_load_state(NAME)["state"])


FIELDS = {
    **{kind.value: Field(kind) for kind in FieldType if kind is not FieldType.DATETIME},
    **{f"{kind.value}s": Field(kind, many=True) for kind in FieldType if kind is not FieldType.DATETIME},
}
VALUES = [
    {},
    {"keyword": "", "integer": 0, "float": 0.0, "boolean": False},
    {"keyword": "a", "integer": 5, "float": -1.5, "boolean": True, "keywords": ["a", "b"], "integers": [5]},
    {"keyword": 'x" or "', "integer": -7, "floats": [0.5, 2.0], "booleans": [True]},
    {"keyword": "b", "integer": 2**40, "float": 2.5, "keywords": [], "integers": [1, 2, 3], "booleans": [False, True]},
    {"keyword": None, "integer": None, "keywords": None, "float": 7.0},
]
FILTERS = (
    F.keyword == "a", F.keyword == "", F.keyword.in_(["a", 'x" or "']), F.keyword.in_([]), F.integer < 5,
    F.integer >= 0, F.integer.in_([5, -7]), F.float <= 0.0, F.float == 2.5, F.boolean == False, F.boolean == True,  # noqa: E712
    F.keywords.contains("a"), F.keywords.contains_all(["a", "b"]), F.keywords.contains_any([]), F.keywords.exists(),
    F.integers.contains_any([2, 9]), F.floats.contains(0.5), F.booleans.contains(True), F.keyword.exists(),
    F.integer.exists(), F.float.exists(), F.boolean.exists(), F.booleans.exists(), F.integer > -(2**63),
)  # fmt: skip


def agrees(adapter, layout, stored, where):
    resolved = resolve(where, FIELDS)
    found = adapter.reading(layout).scroll(Scroll(NAME, to_foreign(resolved, layout.fields), 100)).records
    assert {record.id for record in found} == {key for key, each in stored.items() if matches(resolved, each)}, where


@pytest.mark.parametrize("form", ["json", "nested", "dynamic", "dynamic, nested", "columns"])
def test_filters_are_two_valued_wherever_the_values_are(shared, theirs, form):
    rows = [{"number": n, "emb": [1.0, float(n), 0.0]} for n in range(len(VALUES))]
    json = {"doc": {"datatype": DataType.JSON}}
    if form == "columns":
        if not shared.client.embedded:
            pytest.skip("columns may be null from Milvus 2.5 on")
        kinds = {"keyword": DataType.VARCHAR, "integer": DataType.INT64, "float": DataType.DOUBLE}
        kinds["boolean"] = DataType.BOOL
        columns = {name: {"datatype": kind, "nullable": True, "max_length": 99} for name, kind in kinds.items()}
        columns |= {
            f"{name}s": {"datatype": DataType.ARRAY, "element_type": kind, "max_capacity": 9, "max_length": 99}
            | {"nullable": True}
            for name, kind in kinds.items()
        }
        empty = dict.fromkeys(columns)
        theirs({**NUMBERS, **columns}, [row | empty | each for row, each in zip(rows, VALUES, strict=True)])
    elif form.startswith("dynamic"):
        inside = (lambda each: {"inner": each}) if "nested" in form else dict
        pairs_ = zip(rows, VALUES, strict=True)
        theirs(NUMBERS, [row | inside(each) for row, each in pairs_], dynamic=True)
    else:
        inside = (lambda each: {"a": {"b": each}}) if form == "nested" else dict
        pairs_ = zip(rows, VALUES, strict=True)
        theirs({**NUMBERS, **json}, [row | {"doc": inside(each)} for row, each in pairs_])
    prefix = {"json": "doc.", "nested": "doc.a.b.", "dynamic": "", "dynamic, nested": "$meta.inner.", "columns": ""}[
        form
    ]
    layout = ForeignLayout(NAME, fields={name: prefix + name for name in FIELDS})
    stored = {str(n): each for n, each in enumerate(VALUES)}
    for where in FILTERS:
        agrees(shared, layout, stored, where)
        agrees(shared, layout, stored, ~where)
    any_filter = given(filters_for(FIELDS))
    settings(quiet, max_examples=25)(any_filter(lambda where: agrees(shared, layout, stored, where)))()
    records = {record.id: record.metadata for record in scrolled(shared, layout)}
    # In a column, null says that there is no value; inside of JSON it is one.
    there = {
        key: {k: v for k, v in each.items() if form != "columns" or v not in (None, [])} for key, each in stored.items()
    }
    assert {key: original(metadata) for key, metadata in records.items()} == there


def test_small_columns_and_lists(shared, theirs):
    """Not null, on every version; values beyond a column's range are compared as what they are."""
    array = {"datatype": DataType.ARRAY, "element_type": DataType.INT64, "max_capacity": 9}
    columns = {**NUMBERS, "tiny": {"datatype": DataType.INT8}, "real": {"datatype": DataType.FLOAT}, "sizes": array}
    theirs(columns, [{"number": n, "emb": UNIT[n], "tiny": n, "real": n / 2, "sizes": [n] * n} for n in range(3)])
    fields = {"tiny": Field(FieldType.INTEGER), "real": Field(FieldType.FLOAT), "sizes": Field(FieldType.INTEGER, True)}
    layout = ForeignLayout(NAME, fields={name: name for name in fields})
    assert dict(shared.reading(layout).describe(Describe(NAME)).fields) == fields
    counts = [
        (F.tiny < 300, 3), (F.tiny == 300, 0), (F.tiny != 300, 3), (F.tiny.in_([1, 300]), 1), (F.tiny > -(2**63), 3),
        (F.real >= 0.5, 2), (F.real != 1.0, 2), (F.sizes.contains(2), 1), (~F.sizes.contains_any([2, 7]), 2),
        (F.sizes.exists(), 2), (~F.sizes.exists(), 1), (F.tiny.exists(), 3), (~F.tiny.exists(), 0),
    ]  # fmt: skip
    for where, wanted in counts:
        there = to_foreign(resolve(where, fields), layout.fields)
        assert shared.reading(layout).count(Count(NAME, there)) == wanted, where
    metadata = [record.metadata for record in scrolled(shared, layout)]
    assert metadata == [{"tiny": n, "real": n / 2} | ({"sizes": [n] * n} if n else {}) for n in range(3)]


def test_instants_as_text_are_read_but_not_compared(shared, theirs):
    moment = datetime(2024, 2, 29, 12, tzinfo=UTC)
    rows = [{"number": n, "emb": UNIT[n], "at": moment.isoformat(), "doc": {"at": 5}} for n in range(2)]
    theirs({**NUMBERS, "at": text(), "doc": {"datatype": DataType.JSON}}, rows)
    fields = {"at": Field(FieldType.DATETIME), "inner": Field(FieldType.DATETIME)}
    layout = ForeignLayout(NAME, fields={"at": "at", "inner": "doc.at"})
    for where in (F.at > moment, F.inner == moment):
        with pytest.raises(Unsupported, match="declare the field as keyword or integer"):
            shared.reading(layout).count(Count(NAME, to_foreign(resolve(where, fields), layout.fields)))
    assert shared.reading(layout).count(Count(NAME, to_foreign(resolve(F.at.exists(), fields), layout.fields))) == 2
    assert scrolled(shared, layout)[0].metadata == {"at": moment.isoformat(), "inner": 5}


def test_instants_of_newer_engines_are_compared(lite):
    moments = [datetime(2024, 1, day, 12, 30, 0, 1, tzinfo=UTC) for day in (1, 2, 3)]
    rows = [{"number": n, "emb": UNIT[n], "at": each.isoformat()} for n, each in enumerate(moments)]
    columns = {**NUMBERS, "at": {"datatype": DataType.TIMESTAMPTZ, "nullable": True}}
    with pymilvus_client(lite) as client:
        make(client, NAME, columns, [*rows, {"number": 3, "emb": UNIT[0], "at": None}])
    fields = {"at": Field(FieldType.DATETIME)}
    layout = ForeignLayout(NAME, fields={"at": "at"})
    for where, wanted in [
        (F.at >= moments[1], 2),
        (F.at == moments[1], 1),
        (~(F.at == moments[1]), 3),
        (F.at.in_(moments[:2]), 2),
        (~(F.at < moments[2]), 2),
        (~F.at.exists(), 1),
    ]:
        there = to_foreign(resolve(where, fields), layout.fields)
        assert lite.reading(layout).count(Count(NAME, there)) == wanted, where


def test_a_changed_mapping_or_collection_is_noticed(shared, theirs):
    rows = [{"number": n, "emb": UNIT[n], "body": "b", "title": "t"} for n in range(2)]
    theirs({**NUMBERS, "body": text(), "title": text()}, rows)
    assert scrolled(shared, ForeignLayout(NAME, text="body"))[0].text == "b"
    assert scrolled(shared, ForeignLayout(NAME, text="title"))[0].text == "t"
    assert scrolled(shared, ForeignLayout(NAME, id="title"))[0].document_id == "t"
    renamed = [{"number": n, "emb": UNIT[n], "title": "other"} for n in range(2)]
    theirs({**NUMBERS, "title": text()}, renamed)
    assert scrolled(shared, ForeignLayout(NAME, text="title"))[0].text == "other"
    with pytest.raises(CollectionConflict, match=r"foreign\.text: there is no column 'body'"):
        scrolled(shared, ForeignLayout(NAME, text="body"))


# ------------------------------------------------------------------------------------------- without an engine


def described(*columns, dynamic=False):
    """An answer to `DescribeCollection`: name → type, or arguments of the field's schema."""
    fields = [schema_pb2.FieldSchema(name="pk", data_type=schema_pb2.Int64, is_primary_key=True)]
    for name, kind, *more in columns:
        sized = pairs({"dim": 4}) if "Vector" in kind else []
        arguments = {"data_type": schema_pb2.DataType.Value(kind), "type_params": sized}
        fields.append(schema_pb2.FieldSchema(name=name, **arguments, **(more[0] if more else {})))
    schema = schema_pb2.CollectionSchema(name=NAME, fields=fields, enable_dynamic_field=dynamic)
    return milvus_pb2.DescribeCollectionResponse(schema=schema)


def index(field, **params):
    return milvus_pb2.IndexDescription(field_name=field, params=pairs(params))


EMB = ("emb", "FloatVector")
INDEXES = [index("emb", metric_type="COSINE", index_type="HNSW"), index("two", metric_type="L2")]


@pytest.mark.parametrize(
    ("columns", "layout", "message"),
    [
        ([EMB, ("two", "FloatVector")], {}, r"'emb' \(FloatVector\), 'two' \(FloatVector\); say with foreign.vector"),
        ([EMB], {"vector": "embb"}, r"has the vectors 'emb' \(FloatVector\), no 'embb'"),
        ([("h", "Float16Vector")], {}, r"'h' \(Float16Vector\).*FloatVectors, of which there is none"),
        ([EMB, ("b", "BinaryVector")], {"vector": "b"}, "cannot read 'b'"),
        ([("s", "SparseFloatVector")], {"vector": "s"}, "cannot read 's'"),
        ([], {}, "has the vectors none"),
        ([EMB], {"text": "body"}, r"foreign\.text: there is no column 'body', and no dynamic field.*'emb', 'pk'"),
        ([EMB], {"id": "$meta.key"}, r"foreign\.id: there is no column 'key'"),
        ([EMB, ("body", "VarChar")], {"text": "body.en"}, "'body' is a column of type VarChar.*no 'en'"),
        ([EMB, ("where", "Geometry")], {"fields": {"w": "where"}}, r"foreign\.fields\.w: .*type Geometry"),
        ([EMB], {"fields": {"w": "emb"}}, "does not read columns of type FloatVector"),
    ],
)
def test_what_cannot_be_read_is_a_conflict_that_names_it(columns, layout, message):
    with pytest.raises(CollectionConflict, match=message):
        foreign_columns(described(*columns), INDEXES, ForeignLayout(NAME, **layout))


def test_other_vectors_do_not_make_the_one_ambiguous():
    columns = foreign_columns(described(("s", "SparseFloatVector"), EMB), INDEXES, ForeignLayout(NAME))
    assert (columns.native(DENSE), columns.vectors, columns.search) == ("emb", {DENSE: 4}, {DENSE: {"ef": 64}})


def test_metrics_and_partitions_that_nestvec_does_not_know_are_unsupported():
    with pytest.raises(Unsupported, match="HAMMING"):
        foreign_columns(described(EMB), [index("emb", metric_type="HAMMING")], ForeignLayout(NAME))
    with pytest.raises(Unsupported, match=r"foreign\.namespace"):
        foreign_columns(described(EMB), INDEXES, ForeignLayout(NAME, namespace="part"))


def compiled(where, fields, layout, *columns, dynamic=False):
    found = foreign_columns(described(EMB, *columns, dynamic=dynamic), INDEXES, layout)
    resolved = to_foreign(resolve(where, fields), layout.fields)
    return compile_filter(resolved, {}, Literals(LITE), key=found.key, paths=found.paths).text


def test_the_declaration_must_fit_the_column():
    fields = {"lang": Field(FieldType.KEYWORD), "tags": Field(FieldType.KEYWORD, many=True)}
    layout = ForeignLayout(NAME, fields={"lang": "lang", "tags": "tags"})
    array = {"element_type": schema_pb2.VarChar}
    with pytest.raises(CollectionConflict, match="'lang' holds integer, and the field is declared as keyword"):
        compiled(F.lang == "de", fields, layout, ("lang", "Int64"), ("tags", "Array", array))
    with pytest.raises(CollectionConflict, match="'tags' holds keyword, and the field is declared as keyword"):
        compiled(F.tags.contains("a"), fields, layout, ("lang", "VarChar"), ("tags", "VarChar"))
    for where in (F.lang == "de", F.lang.exists()):
        with pytest.raises(Unsupported, match=r"'lang\.key'"):
            compiled(where, fields, layout, ("lang", "JSON"), ("tags", "VarChar"))


@pytest.mark.parametrize("key", ['say "x"', "it's", "a[0]", "back\\slash", "line\nbreak"])
def test_keys_that_no_expression_can_name_are_read_only(key):
    layout = ForeignLayout(NAME, fields={"lang": f"doc.{key}"})
    with pytest.raises(Unsupported, match="can be read only"):
        compiled(F.lang == "de", {"lang": Field(FieldType.KEYWORD)}, layout, ("doc", "JSON"))
    columns = foreign_columns(described(EMB, ("doc", "JSON")), INDEXES, layout)
    cells = {"doc": [{key: "de"}, {}, None, [1]], "id": ["a", "b", "c", "d"]}
    records = [columns.record_of(cells.get, row, "k") for row in range(4)]
    assert [dict(record.metadata) for record in records] == [{"lang": "de"}, {}, {}, {"doc": [1]}]


def test_names_of_dynamic_fields_in_functions():
    fields = {"tags": Field(FieldType.KEYWORD, many=True)}
    for path, wanted in [("tags", "tags"), ("in", '$meta["in"]'), ("a-b", '$meta["a-b"]'), ("a.b", 'a["b"]')]:
        layout = ForeignLayout(NAME, fields={"tags": path})
        text = compiled(F.tags.contains("x"), fields, layout, dynamic=True)
        assert text == f'json_contains_any({wanted}, ["x"])'


def test_nulls_may_have_room_in_the_answer_or_not():
    def data(values, valid):
        longs = schemas.ScalarField(long_data=schemas.LongArray(data=values))
        return schemas.FieldData(field_name="n", type=schemas.DataType.Int64, scalars=longs, valid_data=valid)

    assert cells_of(data([1, 0, 3], [True, False, True])) == [1, None, 3]
    assert cells_of(data([1, 3], [True, False, True])) == [1, None, 3]
    assert cells_of(data([1, 3], [])) == [1, 3]


def test_foreign_and_own_views_of_one_collection_are_kept_apart(shared, theirs):
    theirs(NUMBERS, [{"number": n, "emb": UNIT[n]} for n in range(2)])
    layout = ForeignLayout(NAME)
    assert len(scrolled(shared, layout)) == 2
    assert shared.describe(Describe(NAME)).vectors == {"emb": 3}
    assert len(scrolled(shared, replace(layout, vector="emb"))) == 2


def test_the_client_restores_instants_from_text_and_loads_what_is_in_this_process(lite, tmp_path):
    """From plan to search on a store that was closed in between, whose collections are then not in memory."""
    moment = datetime(2024, 2, 29, 12, tzinfo=UTC)
    texts = ["one river", "two stones", "three boats"]
    registry = test_registry()
    settings_ = {
        "backends": {"store": {"use": "milvus", "path": str(tmp_path / "store.db")}},
        "embedders": {"model": {"use": "recording"}},
        "collections": {
            "legacy": {
                "dimensions": 32,
                "adopt": True,
                "fields": {"at": "datetime"},
                "foreign": {"collection": NAME, "text": "body", "fields": {"at": "doc.at"}},
            }
        },
    }
    with connect({**settings_, "backends": {"store": {"use": "memory"}}}, Runtime(registry)) as nv:
        rows = nv.embed(texts, task="retrieval.passage", dimensions=32)
    records = [
        {
            "number": n,
            "emb": rows[n].tolist(),
            "body": body,
            "at": moment.isoformat(),
            "doc": {"at": moment.isoformat()},
        }
        for n, body in enumerate(texts)
    ]
    columns = {**NUMBERS, "body": text(), "at": text(), "doc": {"datatype": DataType.JSON}}
    with pymilvus_client(lite) as client:
        make(client, NAME, columns, records)
    lite.close()
    for column in ("doc.at", "at"):
        settings_["collections"]["legacy"]["foreign"]["fields"]["at"] = column
        with connect(settings_, Runtime(registry)) as nv:
            assert nv.plan()[0].action == ("adopt" if column == "doc.at" else "update")
            nv.apply()
            hit = nv["legacy"].search("one river", limit=1)[0]
            assert (hit.document_id, hit.text, hit.metadata["at"]) == ("0", "one river", moment)
            with pytest.raises(Unsupported, match="declare the field as keyword"):
                nv["legacy"].count(F.at > moment)
            with pytest.raises(Unsupported, match="adopted"):
                nv["legacy"].delete("0")

"""What each request of the contract does on Milvus, decided once for every kind of connection.

Each operation is a generator: it yields `Call`s and `Pause`s, is sent the replies or thrown the errors, and
returns the answer. Errors are nestvec's when they are thrown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nestvec.capabilities import BackendCapabilities
from nestvec.contract import (
    Adopt,
    Batch,
    CollectionInfo,
    Count,
    Create,
    Describe,
    Drop,
    Fetch,
    ForeignLayout,
    Found,
    ListCollections,
    Point,
    Query,
    ReadNote,
    Remove,
    Resolve,
    Scroll,
    Tenants,
    Unpoint,
    Update,
    Write,
    WriteNote,
)
from nestvec.errors import BackendRefused, CollectionNotFound
from nestvec_milvus import foreign, layout, schema
from nestvec_milvus.columns import batches
from nestvec_milvus.errors import NotLoaded
from nestvec_milvus.filters import Expression, compile_filter
from nestvec_milvus.literals import Literals, values_for
from nestvec_milvus.loading import load
from nestvec_milvus.places import Key
from nestvec_milvus.records import Table, batch_of, of_tenant, output_fields, ranked
from nestvec_milvus.schema import Columns, check_question, check_window
from nestvec_milvus.server import Server
from nestvec_milvus.wire import Call, Operation, T, call, chunked, common, pairs, placeholders

#: Servers give out at most 100 MB in one answer.
_ROWS = 500
_IDS = 500
_QUESTIONS = 64
#: Tenants that an expression leaves out: it must not become too long.
_KNOWN = 100
_STRONG = common.ConsistencyLevel.Strong
_INDEX_NOT_FOUND = "index not found"
_INVALID_NAME = "invalid collection name"


@dataclass(slots=True)
class Operations:
    """The operations on one backend. `place` is what errors call it.

    Remembers the server's version and the columns of collections; what turns out to be outdated is read again.
    Safe for threads: each memory is written in one step.
    """

    place: str
    declared: BackendCapabilities
    load_timeout: float = 120.0
    cloud: bool = False
    _server: Server | None = None
    _columns: dict[str, Columns] = field(default_factory=dict)

    @property
    def embedded(self) -> bool:
        """Whether the engine runs in this process."""
        return self.declared.embedded

    def capabilities(self) -> Operation[BackendCapabilities]:
        """The declared ones, refined by what the server says that it is. Asks anew each time."""
        self._server = None
        server = yield from self._known_server()
        return server.refine(self.declared)

    # ------------------------------------------------------------ collections

    def resolve(self, request: Resolve) -> Operation[str | None]:
        """Look the alias up. A collection's own name is no pointer."""
        found = yield from self._described(request.name)
        return None if found is None or found.physical == request.name else found.physical

    def list_collections(self, _: ListCollections | None = None) -> Operation[list[str]]:
        """The names of all collections; aliases are not among them."""
        reply = yield call("ShowCollections")
        return list(reply.collection_names)

    def describe(self, request: Describe) -> Operation[CollectionInfo | None]:
        """Describe a collection by its own name: Milvus would follow an alias."""
        if request.foreign is not None:
            return (yield from self._describe_foreign(request.physical, request.foreign))
        found = yield from self._described(request.physical)
        if found is None or found.physical != request.physical:
            return None
        metric = found.metric
        if metric is None:
            indexes = yield from self._indexes(request.physical)
            metric = schema.metric_of(request.physical, found.vectors, indexes)
        return found.info(metric)

    def create(self, request: Create) -> Operation[None]:
        """Create a collection with its indexes, or complete one that was begun, and let it be loaded.

        The first read waits for the end of loading, which takes a server seconds even if there is nothing to load.
        """
        server = yield from self._known_server()
        schema.check_request(request, server)
        found = yield from self.describe(Describe(request.physical))
        if found is None:
            try:
                yield call("CreateCollection", **schema.creation(request, server))
            except BackendRefused:
                # Somebody else may have been quicker; if it is the same collection, all is well.
                found = yield from self.describe(Describe(request.physical))
                if found is None:
                    raise
        if found is not None:
            schema.check_same(request, found)
        present = {each.field_name for each in (yield from self._indexes(request.physical))}
        for column, parameters in schema.indexes(request, server).items():
            if column not in present:
                yield from self._index(request.physical, column, parameters)
        replicas = schema.options_of(request).replicas
        yield call("LoadCollection", collection_name=request.physical, replica_number=replicas)

    def update(self, request: Update) -> Operation[None]:
        """Replace the record. Columns can not be added: later fields are filtered on in the JSON metadata."""
        yield from self._keep(request)

    def adopt(self, request: Adopt) -> Operation[None]:
        """Keep the record in the collection's properties, beside those that it has; nothing else is altered."""
        yield from self._keep(request)

    def _keep(self, request: Update | Adopt) -> Operation[None]:
        properties = {layout.RECORD_PROPERTY: schema.record_property(request.record, request.physical)}
        yield call("AlterCollection", collection_name=request.physical, properties=pairs(properties))
        self._columns.pop(request.physical, None)

    def point(self, request: Point) -> Operation[None]:
        """Switch the alias, in one step for everybody."""
        current = yield from self.resolve(Resolve(request.name))
        if current == request.physical:
            return
        target = yield from self._described(request.physical)
        if target is None or target.physical != request.physical:
            raise self._missing(request.physical)
        method = "CreateAlias" if current is None else "AlterAlias"
        yield call(method, collection_name=request.physical, alias=request.name)

    def unpoint(self, request: Unpoint) -> Operation[None]:
        """Delete the alias. It is looked up first: what there is of that name may be a collection, or nothing."""
        if (yield from self.resolve(Resolve(request.name))) is not None:
            yield call("DropAlias", alias=request.name)

    def drop(self, request: Drop) -> Operation[None]:
        """Delete a collection, and the aliases that lead to it: Milvus would keep it for their sake."""
        self._columns.pop(request.physical, None)
        try:
            reply = yield call("DescribeCollection", collection_name=request.physical)
            if reply.schema.name != request.physical:
                return  # an alias
            for alias in (yield from self._aliases(request.physical, reply)):
                yield call("DropAlias", alias=alias)
            yield call("DropCollection", collection_name=request.physical)
        except CollectionNotFound:
            return

    def write_note(self, request: WriteNote) -> Operation[None]:
        """Keep a note as a property of its own; others are left alone. Nothing that is remembered changes by it."""
        properties = {layout.note_property(request.name): schema.note_value(request.text)}
        yield call("AlterCollection", collection_name=request.physical, properties=pairs(properties))

    def read_note(self, request: ReadNote) -> Operation[str | None]:
        """Look it up among the properties."""
        reply = yield call("DescribeCollection", collection_name=request.physical)
        return schema.note_of(reply, request.name)

    # ---------------------------------------------------------------- records

    def write(self, request: Write) -> Operation[None]:
        """Upsert in order."""

        def attempt(columns: Columns) -> Operation[None]:
            for count, data in batches(request, columns):
                yield call("Upsert", collection_name=request.physical, fields_data=data, num_rows=count)

        yield from self._on(request.physical, attempt)

    def remove(self, request: Remove) -> Operation[None]:
        """Delete by id, in order."""

        def attempt(columns: Columns) -> Operation[None]:
            for ids in chunked(request.ids, _IDS):
                expression = yield from self._with_ids(ids, columns.key)
                yield call("Delete", collection_name=request.physical, expr=expression)

        yield from self._on(request.physical, attempt)

    def fetch(self, request: Fetch) -> Operation[Batch]:
        """Read by id. The tenant is compared here, so that reading stays a look-up by key."""

        def attempt(columns: Columns) -> Operation[Batch]:
            names = output_fields(columns, content=request.content, vectors=request.vectors)
            tables = []
            for ids in chunked(list(dict.fromkeys(request.ids)), _IDS):
                expression = yield from self._with_ids(ids, columns.key)
                reply = yield self._query(columns, Expression(expression), names)
                tables.append(Table(reply.fields_data, columns))
            batch = batch_of(tables, columns, vectors=request.vectors)
            return of_tenant(batch, tables, request.tenant if columns.tenants else None)

        return (yield from self._on(request.physical, attempt, request.foreign))

    def scroll(self, request: Scroll) -> Operation[Batch]:
        """Read a page in the order of the ids; the cursor is the page's last id."""

        def attempt(columns: Columns) -> Operation[Batch]:
            names = output_fields(columns, content=request.content, vectors=request.vectors)
            tables: list[Table] = []
            last, missing = request.cursor, request.limit
            while missing > 0:
                after = str(last) if last is not None else None
                where = yield from self._filter(columns, request, after)
                reply = yield self._query(columns, where, names, limit=min(missing, _ROWS))
                table = Table(reply.fields_data, columns)
                found = table.ids
                # A server may cut an answer short where it can not be sure of the order: only none is the end.
                if not found:
                    return batch_of(tables, columns, vectors=request.vectors)
                tables.append(table)
                last, missing = found[-1], missing - len(found)
            return batch_of(tables, columns, vectors=request.vectors, cursor=str(last) if tables else None)

        return (yield from self._on(request.physical, attempt, request.foreign))

    def count(self, request: Count) -> Operation[int]:
        """Count exactly."""

        def attempt(columns: Columns) -> Operation[int]:
            where = yield from self._filter(columns, request)
            reply = yield self._query(columns, where, ["count(*)"])
            return int(reply.fields_data[0].scalars.long_data.data[0])

        return (yield from self._on(request.physical, attempt, request.foreign))

    def tenants(self, request: Tenants) -> Operation[list[str]]:
        """Read the tenant's column in the order of ids, page by page, without those that are known already."""

        def attempt(columns: Columns) -> Operation[list[str]]:
            server = yield from self._known_server()
            names, after, more = dict[str, None](), None, columns.tenants
            while more:
                known = list(names)[:_KNOWN]
                where = compile_filter(None, columns.typed, values_for(server), after=after, others=known)
                reply = yield self._query(columns, where, [layout.ID, layout.TENANT], limit=_ROWS)
                table = Table(reply.fields_data, columns)
                names |= dict.fromkeys(table.tenants())
                more, after = bool(table.ids), table.ids[-1] if table.ids else None
            return [name for name in names if name]

        return (yield from self._on(request.physical, attempt))

    def query(self, request: Query) -> Operation[list[list[Found]]]:
        """Search with all questions, some at a time."""
        ((name, rows),) = request.vectors.items()
        if request.limit < 1:
            return [[] for _ in rows]
        check_window(request)

        def attempt(columns: Columns) -> Operation[list[list[Found]]]:
            check_question(request, columns)
            where = yield from self._filter(columns, request)
            answers: list[list[Found]] = []
            for start in range(0, len(rows), _QUESTIONS):
                part = rows[start : start + _QUESTIONS]
                reply = yield self._search(columns, request, name, part, where)
                hits = ranked(reply.results, request.metric, request.threshold, columns)
                answers += hits + [[] for _ in range(len(part) - len(hits))]
            return answers

        return (yield from self._on(request.physical, attempt, request.foreign))

    # ------------------------------------------------------------ calls

    def _query(self, columns: Columns, where: Expression, names: list[str], *, limit: int | None = None) -> Call:
        # In the order of ids, and cut short rather than with a gap where segments overlap.
        paging = {"limit": str(limit), "iterator": "True", "reduce_stop_for_best": "True"} if limit else {}
        return call(
            "Query",
            collection_name=columns.physical,
            expr=where.text or columns.key.everything,
            expr_template_values=where.template,
            output_fields=names,
            consistency_level=_STRONG,
            query_params=pairs(paging),
        )

    def _search(self, columns: Columns, request: Query, name: str, rows: Any, where: Expression) -> Call:
        parameters = dict(columns.search)
        if "ef" in parameters:
            parameters["ef"] = max(int(parameters["ef"]), request.offset + request.limit)
        settings = {
            "anns_field": columns.native(name),
            "topk": str(request.limit),
            "offset": str(request.offset),
            "metric_type": schema.METRICS[request.metric],
            "params": parameters,
            "round_decimal": "-1",
        }
        return call(
            "Search",
            collection_name=columns.physical,
            dsl=where.text,
            dsl_type=common.DslType.BoolExprV1,
            expr_template_values=where.template,
            placeholder_group=placeholders(rows),
            nq=len(rows),
            output_fields=output_fields(columns, content=True),
            search_params=pairs(settings),
            # What the collection was created with: strong, unless its options say otherwise.
            use_default_consistency=True,
        )

    def _filter(
        self, columns: Columns, request: Scroll | Count | Query, after: str | None = None
    ) -> Operation[Expression]:
        server = yield from self._known_server()
        tenant = request.tenant if columns.tenants else None
        places = columns.foreign.named if columns.foreign is not None else {}
        return compile_filter(
            request.where, columns.typed, values_for(server), tenant=tenant, after=after, key=columns.key, places=places
        )

    def _with_ids(self, ids: Any, key: Key) -> Operation[str]:
        server = yield from self._known_server()
        wanted = [native for each in ids if (native := key.native(each)) is not None]
        return f"{key.column} in {Literals(server).several(wanted)}" if wanted else key.nothing

    # ------------------------------------------------------------ what is remembered, and loading

    def _on(
        self, physical: str, attempt: Callable[[Columns], Operation[T]], how: ForeignLayout | None = None
    ) -> Operation[T]:
        """Run an attempt with a collection's columns, `how` somebody else's are to be read.

        Repeated once after loading the collection, and once if its columns turn out to be others than remembered.
        """
        columns = self._columns.get(physical)
        remembered = columns is not None and columns.layout == how
        if columns is None or not remembered:
            columns = yield from self._look(physical, how)
        try:
            return (yield from attempt(columns))
        except NotLoaded:
            yield from load(self.place, physical, self.load_timeout, ours=how is None or self.embedded)
            return (yield from attempt(columns))
        except (BackendRefused, CollectionNotFound):
            fresh = yield from self._look(physical, how)
            if not remembered or fresh == columns:
                raise
        return (yield from attempt(fresh))

    def _look(self, physical: str, how: ForeignLayout | None) -> Operation[Columns]:
        """The columns as they are now. Raises `CollectionNotFound`."""
        self._columns.pop(physical, None)
        found = yield from (self._described(physical) if how is None else self._described_foreign(physical, how))
        if found is None or found.physical != physical:
            raise self._missing(physical)
        self._columns[physical] = found
        return found

    def _described(self, name: str) -> Operation[Columns | None]:
        """The collection that a name or alias leads to."""
        try:
            reply = yield call("DescribeCollection", collection_name=name)
        except CollectionNotFound:
            return None
        return schema.columns_of(reply)

    def _describe_foreign(self, physical: str, how: ForeignLayout) -> Operation[CollectionInfo | None]:
        found = yield from self._described_foreign(physical, how)
        if found is None or found.physical != physical:
            return None
        self._columns[physical] = found
        return foreign.info(found)

    def _described_foreign(self, name: str, how: ForeignLayout) -> Operation[Columns | None]:
        try:
            reply = yield call("DescribeCollection", collection_name=name)
        except CollectionNotFound:
            return None
        except BackendRefused as error:
            if _INVALID_NAME not in str(error).lower():
                raise
            return None  # nothing can be called so
        indexes = yield from self._indexes(name)
        return foreign.foreign_columns(reply, indexes, how)

    def _known_server(self) -> Operation[Server]:
        server = self._server
        if server is None:
            reply = yield call("GetVersion")
            server = self._server = Server.of(reply.version, self.place, cloud=self.cloud)
        return server

    def _aliases(self, physical: str, described: Any) -> Operation[list[str]]:
        if described.aliases:
            return list(described.aliases)
        reply = yield call("ListAliases", collection_name=physical)
        return list(reply.aliases)

    def _indexes(self, physical: str) -> Operation[Any]:
        try:
            reply = yield call("DescribeIndex", collection_name=physical)
        except BackendRefused as error:
            if _INDEX_NOT_FOUND not in str(error).lower() and "no index" not in str(error).lower():
                raise
            return []
        return reply.index_descriptions

    def _index(self, physical: str, column: str, parameters: Mapping[str, Any]) -> Operation[None]:
        yield call(
            "CreateIndex",
            collection_name=physical,
            field_name=column,
            index_name=column,
            extra_params=pairs(parameters),
        )

    def _missing(self, physical: str) -> CollectionNotFound:
        return CollectionNotFound(
            f"{self.place} has no collection {physical!r}; create it with `nestvec apply` or apply()"
        )

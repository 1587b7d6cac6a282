"""What each request of the contract does on Milvus, decided once for every kind of connection.

Each operation is a generator: it yields `Call`s and `Pause`s, is sent the replies or thrown the errors, and
returns the answer. Errors are nestvec's when they are thrown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nestvec.contract import Batch, Count, Fetch, Found, Query, Remove, Scroll, Tenants, Write
from nestvec.types import DENSE
from nestvec_milvus import layout, schema
from nestvec_milvus.catalogue import Catalogue
from nestvec_milvus.columns import batches
from nestvec_milvus.filters import Expression, compile_filter
from nestvec_milvus.keeping import check_readable
from nestvec_milvus.literals import Literals, values_for
from nestvec_milvus.places import Key
from nestvec_milvus.records import Table, batch_of, ids_of, of_tenant, output_fields, ranked
from nestvec_milvus.schema import Columns, check_question, check_window, used
from nestvec_milvus.searching import Candidates, parts, steps
from nestvec_milvus.wire import Call, Operation, call, chunked, common, pairs, placeholders

if TYPE_CHECKING:
    from nestvec.types import FloatArray

#: Servers give out at most 100 MB in one answer.
_ROWS = 500
_IDS = 500
_ANSWER_BYTES = 32 * 1024 * 1024
#: Tenants that an expression leaves out: it must not become too long.
_KNOWN = 100
_STRONG = common.ConsistencyLevel.Strong


@dataclass(slots=True)
class Operations(Catalogue):
    """The operations on one backend: those on collections, and those on records."""

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
            if request.vectors:
                yield from self._check_readable(columns)
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
            if request.vectors:
                yield from self._check_readable(columns)
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
        if request.limit < 1:
            return [[] for _ in request.vectors[used(request)[-1]]]
        check_window(request)

        def attempt(columns: Columns) -> Operation[list[list[Found]]]:
            check_question(request, columns)
            where = yield from self._filter(columns, request)
            search = self._refined if steps(request) else self._plain
            answers: list[list[Found]] = []
            for part in parts(request):
                answers += yield from search(columns, request, where, part)
            return answers

        return (yield from self._on(request.physical, attempt, request.foreign))

    def _plain(self, columns: Columns, request: Query, where: Expression, part: slice) -> Operation[list[list[Found]]]:
        name = used(request)[-1]
        rows, names = request.vectors[name][part], output_fields(columns, content=True)
        reply = yield self._search(columns, request, (name, request.limit, request.offset), rows, where, names)
        hits = ranked(reply.results, request.metric, request.threshold, columns)
        return hits + [[] for _ in range(len(rows) - len(hits))]

    def _refined(
        self, columns: Columns, request: Query, where: Expression, part: slice
    ) -> Operation[list[list[Found]]]:
        """Candidates by the first vector, the best of them by the next ones, the answers by `DENSE`."""
        yield from self._check_readable(columns)
        first, *later = steps(request)
        rows = request.vectors[first.vector][part]
        reply = yield self._search(columns, request, (first.vector, first.limit, 0), rows, where, [columns.key.column])
        chosen = ids_of(reply.results, columns)
        chosen += [[] for _ in range(len(rows) - len(chosen))]
        for stage in later:
            seen = yield from self._candidates(columns, chosen, stage.vector)
            asked = request.vectors[stage.vector][part]
            chosen = [seen.best(ids, row, request.metric, stage.limit) for ids, row in zip(chosen, asked, strict=True)]
        seen = yield from self._candidates(columns, chosen, DENSE, content=True)
        asked = request.vectors[DENSE][part]
        return [seen.found(ids, row, request) for ids, row in zip(chosen, asked, strict=True)]

    def _candidates(
        self, columns: Columns, chosen: Sequence[Sequence[str]], name: str, *, content: bool = False
    ) -> Operation[Candidates]:
        """Fetch a vector of all candidates, and what else records are made of."""
        names = [*(output_fields(columns, content=True) if content else [columns.key.column]), columns.native(name)]
        ids, tables = list(dict.fromkeys(identity for each in chosen for identity in each)), []
        for some in chunked(ids, min(_IDS, max(1, _ANSWER_BYTES // (columns.vectors[name] * 4)))):
            expression = yield from self._with_ids(some, columns.key)
            reply = yield self._query(columns, Expression(expression), list(dict.fromkeys(names)), strong=False)
            tables.append(Table(reply.fields_data, columns))
        return Candidates(name, columns.vectors[name], tables, content=content)

    # ------------------------------------------------------------ calls

    def _query(
        self, columns: Columns, where: Expression, names: list[str], *, limit: int | None = None, strong: bool = True
    ) -> Call:
        # In the order of ids, and cut short rather than with a gap where segments overlap.
        paging = {"limit": str(limit), "iterator": "True", "reduce_stop_for_best": "True"} if limit else {}
        return call(
            "Query",
            collection_name=columns.physical,
            expr=where.text or columns.key.everything,
            expr_template_values=where.template,
            output_fields=names,
            # Else what searches have.
            **({"consistency_level": _STRONG} if strong else {"use_default_consistency": True}),
            query_params=pairs(paging),
        )

    def _search(
        self,
        columns: Columns,
        request: Query,
        window: tuple[str, int, int],
        rows: FloatArray,
        where: Expression,
        names: list[str],
    ) -> Call:
        """A search by one vector: `window` is its name, limit and offset."""
        vector, limit, offset = window
        parameters = dict(columns.search.get(vector, {}))
        if "ef" in parameters:
            parameters["ef"] = max(int(parameters["ef"]), offset + limit)
        settings = {
            "anns_field": columns.native(vector),
            "topk": str(limit),
            "offset": str(offset),
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
            placeholder_group=placeholders(rows, half=columns.native(vector) in columns.half),
            nq=len(rows),
            output_fields=names,
            search_params=pairs(settings),
            # What the collection was created with: strong, unless its options say otherwise.
            use_default_consistency=True,
        )

    def _check_readable(self, columns: Columns) -> Operation[None]:
        """Raise `Unsupported` where this server could delete vectors by reading them."""
        server = yield from self._known_server()
        if not server.has("reads beside indexes"):
            descriptions = yield from self._indexes(columns.physical)
            for name in columns.vectors:
                check_readable(columns.physical, columns.native(name), descriptions, server)

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

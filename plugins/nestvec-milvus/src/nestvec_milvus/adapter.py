"""The adapter: the contract's requests about records, on a server or on Milvus Lite in this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from nestvec.contract import (
    Batch,
    Count,
    Fetch,
    ForeignLayout,
    Found,
    FullAdapter,
    ListTenants,
    Query,
    QueryStaged,
    Remove,
    Scroll,
    Stage,
    Write,
)
from nestvec.errors import BackendRefused, CollectionNotFound, Unsupported
from nestvec.types import DENSE
from nestvec_milvus import schema
from nestvec_milvus.adopt import ForeignColumns
from nestvec_milvus.client import common, open_client, pairs
from nestvec_milvus.errors import NotLoaded
from nestvec_milvus.filters import Expression, Literals, compile_filter, values_for
from nestvec_milvus.options import MAX_WINDOW
from nestvec_milvus.records import ResultTable, batch_of, batches, ids_of, of_tenant, placeholders, ranked
from nestvec_milvus.schema import Columns
from nestvec_milvus.settling import MilvusSettling
from nestvec_milvus.staged import Candidates
from nestvec_milvus.storage import check_readable

if TYPE_CHECKING:
    from nestvec.types import FloatArray
    from nestvec_milvus.options import MilvusOptions

T = TypeVar("T")
RecordRequest: TypeAlias = Write | Remove | Fetch | Scroll | Count | ListTenants | Query
#: Servers give out at most 100 MB in one answer.
_ROWS = 500
_IDS = 500
_ANSWER_BYTES = 32 * 1024 * 1024
#: Questions that are searched with at once, and the candidates that all of them may have together.
_QUESTIONS = 64
_CANDIDATES = 10_000
#: Tenants that an expression leaves out: it must not become too long.
_KNOWN = 100
_STRONG = common.ConsistencyLevel.Strong


def open_adapter(options: MilvusOptions, *, blocking: bool) -> MilvusAdapter:
    """The adapter for these options. Raises what `open_client` raises."""
    return MilvusAdapter(open_client(options, blocking=blocking), options)


class MilvusAdapter(MilvusSettling, FullAdapter):
    """A blocking one is safe for threads, and not to be used across a fork; another one is for one event loop."""

    def __repr__(self) -> str:
        return f"<MilvusAdapter {self.client.place}>"

    def of_tenant(self, tenant: str) -> MilvusAdapter:
        """This adapter, seen by one tenant."""
        return replace(self, tenant=tenant)

    def reading(self, layout: ForeignLayout) -> MilvusAdapter:
        """This adapter, for reading somebody else's collection."""
        return replace(self, layout=layout)

    async def close(self) -> None:
        """Close the connection, and unlock the folder of Milvus Lite."""
        await self.client.close()

    async def write(self, request: Write) -> None:
        """Upsert in order."""
        name = request.physical
        self.cache.fresh_in(name).wrote([each.id for each in request.records])

        async def attempt(columns: Columns) -> None:
            for count, data in batches(request, columns, self.tenant):
                await self.client.call(request, "Upsert", collection_name=name, fields_data=data, num_rows=count)

        await self._with_columns(request, attempt)

    async def remove(self, request: Remove) -> None:
        """Delete by id, in order."""
        self.cache.fresh_in(request.physical).removed(request.ids)

        async def attempt(columns: Columns) -> None:
            for ids in _chunked(request.ids, _IDS):
                where = await self._with_ids(request, columns, ids)
                await self.client.call(request, "Delete", collection_name=request.physical, expr=where.text)

        await self._with_columns(request, attempt)

    async def fetch(self, request: Fetch) -> Batch:
        """Read by id. The tenant is compared here, so that reading stays a look-up by key."""

        async def attempt(columns: Columns) -> Batch:
            if request.vectors:
                await self._check_readable(request, columns)
            names = columns.output_fields(content=request.content, vectors=request.vectors)
            tables = []
            for ids in _chunked(list(dict.fromkeys(request.ids)), _IDS):
                where = await self._with_ids(request, columns, ids)
                reply = await self._read(request, columns, where, names)
                tables.append(ResultTable(reply.fields_data, columns))
            batch = batch_of(tables, columns, vectors=request.vectors)
            return of_tenant(batch, tables, self.tenant if columns.tenants else None)

        return await self._with_columns(request, attempt)

    async def scroll(self, request: Scroll) -> Batch:
        """Read a page in the order of the ids; the cursor is the page's last id."""

        async def attempt(columns: Columns) -> Batch:
            if request.vectors:
                await self._check_readable(request, columns)
            names = columns.output_fields(content=request.content, vectors=request.vectors)
            tables: list[ResultTable] = []
            last, missing = request.cursor, request.limit
            while missing > 0:
                where = await self._filter(request, columns, after=str(last) if last is not None else None)
                reply = await self._read(request, columns, where, names, limit=min(missing, _ROWS))
                table = ResultTable(reply.fields_data, columns)
                found = table.ids
                # A server may cut an answer short where it cannot be sure of the order: only none is the end.
                if not found:
                    return batch_of(tables, columns, vectors=request.vectors)
                tables.append(table)
                last, missing = found[-1], missing - len(found)
            return batch_of(tables, columns, vectors=request.vectors, cursor=str(last) if tables else None)

        return await self._with_columns(request, attempt)

    async def count(self, request: Count) -> int:
        """Count exactly."""

        async def attempt(columns: Columns) -> int:
            where = await self._filter(request, columns)
            reply = await self._read(request, columns, where, ["count(*)"])
            return int(reply.fields_data[0].scalars.long_data.data[0])

        return await self._with_columns(request, attempt)

    async def list_tenants(self, request: ListTenants) -> list[str]:
        """Read the tenant's column in the order of ids, page by page, without those that are known already."""

        async def attempt(columns: Columns) -> list[str]:
            server = await self._server(request)
            names, after, more = dict[str, None](), None, columns.tenants
            while more:
                known = list(names)[:_KNOWN]
                where = compile_filter(None, columns.typed, values_for(server), after=after, others=known)
                reply = await self._read(request, columns, where, [schema.ID, schema.TENANT], limit=_ROWS)
                table = ResultTable(reply.fields_data, columns)
                names |= dict.fromkeys(table.tenants())
                more, after = bool(table.ids), table.ids[-1] if table.ids else None
            return [name for name in names if name]

        return await self._with_columns(request, attempt)

    async def query(self, request: Query) -> list[list[Found]]:
        """Search with all questions, some at a time."""
        stages = _stages(request) if isinstance(request, QueryStaged) else ()
        used = [stage.vector for stage in stages]
        used += [DENSE] if stages or DENSE in request.vectors else list(request.vectors)
        if request.limit < 1:
            return [[] for _ in request.vectors[used[-1]]]
        _check_window(request, stages)

        async def attempt(columns: Columns) -> list[list[Found]]:
            _check_question(request, used, columns)
            where = await self._filter(request, columns)
            answers: list[list[Found]] = []
            for part in _parts(request, stages):
                if stages:
                    answers += await self._search_staged(request, columns, where, stages, part)
                else:
                    answers += await self._search_plain(request, columns, where, used[-1], part)
            return answers

        return await self._with_columns(request, attempt)

    async def query_staged(self, request: QueryStaged) -> list[list[Found]]:
        """The same, with candidates that are compared once more."""
        return await self.query(request)

    async def _search_plain(
        self, request: Query, columns: Columns, where: Expression, name: str, part: slice
    ) -> list[list[Found]]:
        rows, names = request.vectors[name][part], columns.output_fields(content=True)
        window = (name, request.limit, request.offset)
        results = await self._search(request, columns, window, rows, where, names)
        hits = ranked(results, request.metric, request.threshold, columns)
        return hits + [[] for _ in range(len(rows) - len(hits))]

    async def _search_staged(
        self, request: Query, columns: Columns, where: Expression, stages: Sequence[Stage], part: slice
    ) -> list[list[Found]]:
        """Candidates by the first vector, the best of them by the next ones, the answers by `DENSE`."""
        await self._check_readable(request, columns)
        first, *later = stages
        rows = request.vectors[first.vector][part]
        window = (first.vector, first.limit, 0)
        chosen = ids_of(await self._search(request, columns, window, rows, where, [columns.key.column]), columns)
        chosen += [[] for _ in range(len(rows) - len(chosen))]
        for stage in later:
            seen = await self._candidates(request, columns, chosen, stage.vector)
            asked = request.vectors[stage.vector][part]
            chosen = [seen.best(ids, row, request.metric, stage.limit) for ids, row in zip(chosen, asked, strict=True)]
        seen = await self._candidates(request, columns, chosen, DENSE, content=True)
        asked = request.vectors[DENSE][part]
        return [seen.found(ids, row, request) for ids, row in zip(chosen, asked, strict=True)]

    async def _candidates(
        self, request: Query, columns: Columns, chosen: Sequence[Sequence[str]], name: str, *, content: bool = False
    ) -> Candidates:
        """Fetch a vector of all candidates, and what else records are made of."""
        names = columns.output_fields(content=True) if content else [columns.key.column]
        names = list(dict.fromkeys([*names, columns.native(name)]))
        ids, tables = list(dict.fromkeys(identity for each in chosen for identity in each)), []
        for some in _chunked(ids, min(_IDS, max(1, _ANSWER_BYTES // (columns.vectors[name] * 4)))):
            where = await self._with_ids(request, columns, some)
            reply = await self._read(request, columns, where, names, strong=False)
            tables.append(ResultTable(reply.fields_data, columns))
        return Candidates(name, columns.vectors[name], tables, content=content)

    # ------------------------------------------------------------ calls

    async def _with_columns(self, request: RecordRequest, attempt: Callable[[Columns], Awaitable[T]]) -> T:
        """Make an attempt with the collection's columns.

        Repeated once after loading the collection, and once if its columns turn out to be others than cached.
        """
        physical = request.physical
        columns = self.cache.columns.get(physical)
        cached = columns is not None and columns.layout == self.layout
        if columns is None or not cached:
            columns = await self._columns(request, physical)
        try:
            return await attempt(columns)
        except (NotLoaded, BackendRefused, CollectionNotFound) as error:
            failure = error
        fresh = await self._columns(request, physical)
        if isinstance(failure, NotLoaded):
            # Perhaps because somebody changes its storage, and with it how it is searched.
            await self._load(request, physical, fresh.changing)
        elif not cached or fresh == columns:
            raise failure
        return await attempt(fresh)

    async def _read(
        self,
        request: RecordRequest,
        columns: Columns,
        where: Expression,
        names: list[str],
        *,
        limit: int | None = None,
        strong: bool = True,
    ) -> Any:
        """Records that match, in the order of ids if there is a limit."""
        # In the order of ids, and cut short rather than with a gap where segments overlap.
        paging = {"limit": str(limit), "iterator": "True", "reduce_stop_for_best": "True"} if limit else {}
        return await self.client.call(
            request,
            "Query",
            collection_name=columns.physical,
            expr=where.text or columns.key.everything,
            expr_template_values=where.template,
            output_fields=names,
            # Else what searches have.
            **({"consistency_level": _STRONG} if strong else {"use_default_consistency": True}),
            query_params=pairs(paging),
        )

    async def _search(
        self,
        request: Query,
        columns: Columns,
        window: tuple[str, int, int],
        rows: FloatArray,
        where: Expression,
        names: list[str],
    ) -> Any:
        """The results of a search by one vector: `window` is its name, limit and offset."""
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
        reply = await self.client.call(
            request,
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
        return reply.results

    async def _find_ids(self, request: Query, columns: Columns, name: str, ids: Sequence[str]) -> list[list[str]]:
        """See `settle`."""
        where = await self._with_ids(request, columns, ids)
        window = (name, request.limit, request.offset)
        results = await self._search(request, columns, window, request.vectors[name], where, [columns.key.column])
        return ids_of(results, columns)

    async def _check_readable(self, request: RecordRequest, columns: Columns) -> None:
        """Raise `Unsupported` where this server could delete vectors by reading them."""
        server = await self._server(request)
        if not server.has("reads beside indexes"):
            descriptions = await self._indexes(request, columns.physical)
            for name in columns.vectors:
                check_readable(columns.physical, columns.native(name), descriptions, server)

    async def _filter(
        self, request: Scroll | Count | Query, columns: Columns, *, after: str | None = None
    ) -> Expression:
        return compile_filter(
            request.where,
            columns.typed,
            values_for(self.cache.server or await self._server(request)),
            tenant=self.tenant if columns.tenants else None,
            after=after,
            key=columns.key,
            paths=columns.paths if isinstance(columns, ForeignColumns) else {},
        )

    async def _with_ids(self, request: RecordRequest, columns: Columns, ids: Sequence[str]) -> Expression:
        server, key = self.cache.server or await self._server(request), columns.key
        wanted = [native for each in ids if (native := key.native(each)) is not None]
        return Expression(f"{key.column} in {Literals(server).several(wanted)}" if wanted else key.nothing)


def _stages(request: QueryStaged) -> tuple[Stage, ...]:
    """The searches and comparisons that come before the final order; none for a plain search."""
    return request.stages or (() if request.rescore is None else (Stage(DENSE, request.rescore),))


def _parts(request: Query, stages: Sequence[Stage]) -> list[slice]:
    """The questions, some at a time."""
    most = max((stage.limit for stage in stages), default=1)
    size = max(1, min(_QUESTIONS, _CANDIDATES // most))
    amount = len(next(iter(request.vectors.values())))
    return [slice(start, start + size) for start in range(0, amount, size)]


def _check_window(request: Query, stages: Sequence[Stage]) -> None:
    """Raise `Unsupported` for more results, or candidates, than Milvus gives."""
    begin = f"search in collection {request.physical!r}: Milvus returns at most {MAX_WINDOW} results"
    if request.offset + request.limit > MAX_WINDOW:
        raise Unsupported(
            f"{begin}, and offset {request.offset} + limit {request.limit} is more; ask for fewer, or scroll"
        )
    candidates = max((stage.limit for stage in stages), default=0)
    if candidates > MAX_WINDOW:
        raise Unsupported(f"{begin}, and {candidates} candidates are more; ask for fewer, or set a lower oversampling")


def _check_question(request: Query, used: Sequence[str], columns: Columns) -> None:
    """Raise `BackendRefused` for vectors that the collection does not have, or of another size."""
    wanted = {name: request.vectors[name].shape[1] for name in used}
    if any(columns.vectors.get(name) != size for name, size in wanted.items()):
        raise BackendRefused(
            f"collection {request.physical!r} takes vectors of dimensions {dict(columns.vectors)}, not {wanted}; "
            f"search with vectors of that size"
        )


def _chunked(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Runs of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]

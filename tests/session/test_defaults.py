"""The core's defaults for optional powers, over a backend that has ten methods and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec._session.defaults import CompletedAdapter, complete_powers
from nestvec._session.reserved import RESERVED
from nestvec._session.session import finished
from nestvec.capabilities import BackendCapabilities, Power
from nestvec.contract import (
    MAX_NOTE,
    POWERS,
    Adapter,
    Adopt,
    Aliases,
    Batch,
    Count,
    Create,
    CreateExtended,
    Describe,
    Drop,
    DropAlias,
    Fetch,
    ForeignLayout,
    FullAdapter,
    Funnels,
    ListCollections,
    ListTenants,
    Notes,
    Query,
    QueryStaged,
    ReadNote,
    Remove,
    ResolveAlias,
    Scroll,
    SetAlias,
    Stage,
    Tenancy,
    Update,
    VectorStorage,
    Write,
    WriteNote,
)
from nestvec.errors import BackendRefused, CollectionNotFound, PluginBroken, Unsupported
from nestvec.filters import system
from nestvec.names import NameRules
from nestvec.types import DENSE, Field, FieldType, Metric, Record, Storage
from nestvec_testing.minimal import CAPABILITIES, MinimalAdapter

OBLIGATORY = ("describe", "create", "drop", "list_collections", "write", "remove", "fetch", "scroll", "count", "query")
FIELDS = {"lang": Field(FieldType.KEYWORD)}


class Death(BaseException):
    """The process dies here."""


class Watched:
    """What the three forms of the inner adapter share: requests are noted, and one of them may be the last."""

    def __init__(self) -> None:
        self.inner = MinimalAdapter()
        self.asked: list[Any] = []
        self.last: tuple[int, str] | None = None

    def perform(self, name: str, request: Any) -> Any:
        self.asked.append(request)
        moment = self.last[1] if self.last and self.last[0] == len(self.asked) else None
        if moment == "before":
            raise Death
        try:
            return getattr(self.inner, name)(request)
        finally:
            if moment == "after":
                raise Death


def plain(name: str) -> Callable[..., Any]:
    def method(self: Any, request: Any) -> Any:
        return self.perform(name, request)

    return method


def coroutine(name: str) -> Callable[..., Any]:
    async def method(self: Any, request: Any) -> Any:
        return self.perform(name, request)

    return method


def suspending(name: str) -> Callable[..., Any]:
    async def method(self: Any, request: Any) -> Any:
        await asyncio.sleep(0)
        return self.perform(name, request)

    return method


def adapter_class(form: Callable[[str], Callable[..., Any]], *powers: type, **methods: Any) -> type[Any]:
    """A class of adapters whose methods are of one form, with more powers and methods."""
    answered = {name: form(name) for name in OBLIGATORY}
    return type(
        "Inner", (Watched, Adapter, *powers), {**answered, "capabilities": lambda self: CAPABILITIES, **methods}
    )


def awaited(method: Callable[..., Any], *arguments: Any) -> Any:
    """Like `finished`, for what is awaited in an event loop."""

    async def main() -> Any:
        answer = method(*arguments)
        return await answer if asyncio.iscoroutine(answer) else answer

    return asyncio.run(main())


FORMS = {"plain": (plain, finished), "coroutine": (coroutine, finished), "native": (suspending, awaited)}


class Subject:
    """A completed adapter, asked as a session asks."""

    def __init__(self, form: str = "plain", declared: BackendCapabilities = CAPABILITIES) -> None:
        make, self.run = FORMS[form]
        self.inner = adapter_class(make)()
        self.adapter = complete_powers(self.inner, declared)

    def ask(self, request: Any, tenant: str | None = None) -> Any:
        adapter = self.adapter if tenant is None else self.adapter.of_tenant(tenant)
        return self.run(getattr(adapter, request.method), request)

    def created(self, physical: str = "docs_1") -> Subject:
        self.ask(create(physical))
        return self

    def stored(self) -> list[str]:
        """What the backend itself lists."""
        return list(self.inner.inner.list_collections(ListCollections()))


@pytest.fixture(params=[*FORMS])
def subject(request: pytest.FixtureRequest) -> Subject:
    return Subject(request.param)


def create(physical: str = "docs_1") -> Create:
    return Create(physical, {DENSE: 2}, Metric.COSINE, FIELDS, {"nestvec": 1})


def write(*ids: str, lang: str = "de") -> Write:
    records = [Record(each, f"doc-{each}", each, {"lang": lang}, {"chunk": 0}) for each in ids]
    return Write("docs_1", records, {DENSE: np.ones((len(ids), 2), np.float32)})


# ---------------------------------------------------------------- what is completed, and what is left alone


def test_an_adapter_with_every_power_is_left_as_it_is() -> None:
    every = {name: lambda self, request: None for each in POWERS for name in each.__abstractmethods__}
    adapter = adapter_class(plain, *POWERS, **every)()
    assert complete_powers(adapter, replace(CAPABILITIES, powers=frozenset(Power))) is adapter


def test_nothing_stands_between_a_rule_and_what_the_adapter_answers_itself() -> None:
    own = {name: lambda self, request: "own" for each in (Aliases, Notes) for name in each.__abstractmethods__}
    adapter = adapter_class(plain, Aliases, Notes, **own)()
    completed = complete_powers(adapter, replace(CAPABILITIES, powers=frozenset({Power.ALIASES, Power.NOTES})))
    for name in (*OBLIGATORY, "resolve_alias", "set_alias", "drop_alias", "read_note", "write_note", "capabilities"):
        assert getattr(completed, name) == getattr(adapter, name)
    assert isinstance(completed, FullAdapter)


def test_a_power_that_is_inherited_but_not_declared_for_these_options_is_not_used() -> None:
    other = {name: lambda self, request: "other" for name in Aliases.__abstractmethods__}
    completed = complete_powers(adapter_class(plain, Aliases, **other)(), CAPABILITIES)
    assert finished(completed.resolve_alias, ResolveAlias("docs")) is None


@pytest.mark.parametrize("power", [*Power])
def test_a_declared_power_that_is_not_inherited_is_broken(power: Power) -> None:
    (kind,) = [each for each in POWERS if each.power is power]
    with pytest.raises(PluginBroken, match=rf"Inner declares the power '{power}' without .*contract\.{kind.__name__};"):
        complete_powers(adapter_class(plain)(), replace(CAPABILITIES, powers=frozenset({power})))


def test_every_request_of_the_contract_has_an_answer_or_a_refusal() -> None:
    assert not CompletedAdapter.__abstractmethods__


# ---------------------------------------------------------------- aliases


def test_an_alias_leads_switches_and_goes(subject: Subject) -> None:
    subject.created("docs_1").created("docs_2")
    assert subject.ask(ResolveAlias("docs")) is None
    for physical in ("docs_1", "docs_2", "docs_1"):
        subject.ask(SetAlias("docs", physical))
        assert subject.ask(ResolveAlias("docs")) == physical
    subject.ask(SetAlias("Docs", "docs_2"))
    for _ in range(2):
        subject.ask(DropAlias("docs"))
        assert subject.ask(ResolveAlias("docs")) is None
    assert subject.ask(ResolveAlias("Docs")) == "docs_2"
    assert subject.ask(Describe("docs_1")) is not None


def test_reading_makes_nothing(subject: Subject) -> None:
    subject.created()
    assert subject.ask(ResolveAlias("docs")) is None
    assert subject.ask(ReadNote("docs_1", "canaries")) is None
    subject.ask(DropAlias("docs"))
    subject.ask(WriteNote("docs_1", "canaries", None))
    subject.ask(Drop("docs_1"))
    assert subject.stored() == []


def test_the_reserved_collection_is_not_listed(subject: Subject) -> None:
    subject.created().ask(SetAlias("docs", "docs_1"))
    assert subject.stored() == ["docs_1", RESERVED]
    assert subject.ask(ListCollections()) == ["docs_1"]
    with pytest.raises(BackendRefused, match="would hide"):
        subject.ask(SetAlias(RESERVED, "docs_1"))


def test_its_name_and_metric_are_the_backend_s() -> None:
    declared = replace(CAPABILITIES, names=NameRules(hyphen=False), metrics=frozenset({Metric.DOT}))
    subject = Subject(declared=declared).created()
    subject.ask(SetAlias("docs", "docs_1"))
    assert subject.stored() == ["docs_1", "nestveczhregistry"]
    assert subject.inner.inner.describe(Describe("nestveczhregistry")).metric is Metric.DOT
    assert subject.ask(ListCollections()) == ["docs_1"]


def test_an_alias_leads_to_a_collection_and_hides_none(subject: Subject) -> None:
    with pytest.raises(CollectionNotFound, match="'docs_1'"):
        subject.ask(SetAlias("docs", "docs_1"))
    subject.created("docs_1").created("docs_2")
    with pytest.raises(BackendRefused, match="'docs_1' would hide"):
        subject.ask(SetAlias("docs_1", "docs_2"))
    assert subject.stored() == ["docs_1", "docs_2"]


def test_switching_an_alias_is_one_request_that_changes_anything(subject: Subject) -> None:
    subject.created("docs_1").created("docs_2").ask(SetAlias("docs", "docs_1"))
    del subject.inner.asked[:]
    subject.ask(SetAlias("docs", "docs_2"))
    changing = [request for request in subject.inner.asked if not isinstance(request, Describe)]
    assert [type(request) for request in changing] == [Write]


# ---------------------------------------------------------------- notes


@pytest.mark.parametrize("text", ["first", "", " \t\n", 'ü "\\ 東京 \x00', "x" * MAX_NOTE])
def test_a_note_is_kept_as_it_was_written(subject: Subject, text: str) -> None:
    subject.created("docs_1").created("docs_11")
    subject.ask(WriteNote("docs_1", "canaries", text))
    subject.ask(WriteNote("docs_1", "canaries-2", "beside it"))
    subject.ask(WriteNote("docs_11", "canaries", "elsewhere"))
    assert subject.ask(ReadNote("docs_1", "canaries")) == text
    subject.ask(WriteNote("docs_1", "canaries", None))
    assert subject.ask(ReadNote("docs_1", "canaries")) is None
    assert subject.ask(ReadNote("docs_1", "canaries-2")) == "beside it"
    assert subject.ask(ReadNote("docs_11", "canaries")) == "elsewhere"


def test_a_note_is_no_record_of_its_collection(subject: Subject) -> None:
    subject.created().ask(write("a"))
    subject.ask(WriteNote("docs_1", "canaries", "text"))
    assert subject.ask(Count("docs_1")) == 1
    assert subject.ask(ListTenants("docs_1")) == []


@pytest.mark.parametrize("request_", [WriteNote("no", "a", "b"), WriteNote("no", "a", None), ReadNote("no", "a")])
def test_there_is_no_note_without_a_collection(subject: Subject, request_: Any) -> None:
    with pytest.raises(CollectionNotFound, match="'no'"):
        subject.ask(request_)
    assert subject.stored() == []


def test_notes_and_aliases_go_with_the_collection(subject: Subject) -> None:
    subject.created("docs_1").created("docs_2")
    subject.ask(WriteNote("docs_1", "note-0", "text"))
    subject.ask(WriteNote("docs_2", "note-0", "stays"))
    subject.ask(SetAlias("docs", "docs_1"))
    subject.ask(SetAlias("other", "docs_2"))
    subject.ask(Drop("docs_1"))
    assert subject.ask(ResolveAlias("docs")) is None
    assert subject.ask(ResolveAlias("other")) == "docs_2"
    assert subject.ask(ReadNote("docs_2", "note-0")) == "stays"
    assert subject.inner.inner.count(Count(RESERVED)) == 2
    assert subject.created("docs_1").ask(ReadNote("docs_1", "note-0")) is None


def test_however_many_belong_to_the_collection() -> None:
    subject = Subject().created()
    for number in range(300):  # more than a page
        subject.ask(WriteNote("docs_1", f"note-{number}", "text"))
    subject.ask(Drop("docs_1"))
    assert subject.inner.inner.count(Count(RESERVED)) == 0


# ---------------------------------------------------------------- deaths


def furnished() -> Subject:
    """Two collections, an alias and a note of the first."""
    subject = Subject().created("docs_1").created("docs_2")
    subject.ask(SetAlias("docs", "docs_1"))
    subject.ask(WriteNote("docs_1", "note", "old"))
    return subject


def deaths(make: Callable[[], Subject], request: Any) -> Iterator[Subject]:
    """Subjects that died before or after each request that this one makes."""
    whole = make()
    del whole.inner.asked[:]
    whole.ask(request)
    for number in range(1, len(whole.inner.asked) + 1):
        for moment in ("before", "after"):
            subject = make()
            del subject.inner.asked[:]
            subject.inner.last = (number, moment)
            with pytest.raises(Death):
                subject.ask(request)
            subject.inner.last = None
            yield subject


def test_death_in_switching_leaves_the_old_or_the_new() -> None:
    for subject in deaths(furnished, SetAlias("docs", "docs_2")):
        assert subject.ask(ResolveAlias("docs")) in ("docs_1", "docs_2")
        subject.ask(SetAlias("docs", "docs_2"))
        assert subject.ask(ResolveAlias("docs")) == "docs_2"


def test_death_in_the_first_use_leaves_nothing_half_made() -> None:
    for subject in deaths(lambda: Subject().created(), SetAlias("docs", "docs_1")):
        assert subject.ask(ResolveAlias("docs")) in (None, "docs_1")
        assert subject.ask(ListCollections()) == ["docs_1"]
        subject.ask(SetAlias("docs", "docs_1"))
        assert subject.ask(ResolveAlias("docs")) == "docs_1"


@pytest.mark.parametrize("text", ["new", None])
def test_death_in_writing_a_note_leaves_the_old_or_the_new(text: str | None) -> None:
    for subject in deaths(furnished, WriteNote("docs_1", "note", text)):
        assert subject.ask(ReadNote("docs_1", "note")) in ("old", text)
        assert subject.ask(ResolveAlias("docs")) == "docs_1"


def test_death_in_dropping_leaves_all_or_nothing_that_is_seen() -> None:
    for subject in deaths(furnished, Drop("docs_1")):
        if subject.ask(Describe("docs_1")) is not None:
            assert subject.ask(ResolveAlias("docs")) == "docs_1"
            assert subject.ask(ReadNote("docs_1", "note")) == "old"
            continue
        with pytest.raises(CollectionNotFound):
            subject.ask(ReadNote("docs_1", "note"))
        subject.ask(Drop("docs_1"))
        assert subject.ask(ResolveAlias("docs")) is None
        assert subject.inner.inner.count(Count(RESERVED)) == 0


@pytest.mark.parametrize("tenants", [False, True])
def test_a_collection_made_anew_has_nothing_of_one_whose_drop_was_interrupted(tenants: bool) -> None:
    for subject in deaths(furnished, Drop("docs_1")):
        if subject.ask(Describe("docs_1")) is None:
            subject.ask(extended(tenants=tenants))
            assert subject.ask(ReadNote("docs_1", "note")) is None
            assert subject.ask(ResolveAlias("docs")) is None


def test_creating_again_keeps_notes_and_aliases(subject: Subject) -> None:
    subject.created().ask(SetAlias("docs", "docs_1"))
    subject.ask(WriteNote("docs_1", "note", "text"))
    subject.ask(create())
    assert subject.ask(ReadNote("docs_1", "note")) == "text"
    assert subject.ask(ResolveAlias("docs")) == "docs_1"


# ---------------------------------------------------------------- tenants


def shared(subject: Subject) -> Subject:
    subject.ask(CreateExtended("docs_1", {DENSE: 2}, Metric.COSINE, FIELDS, {"nestvec": 1}, tenants=True))
    assert subject.ask(Describe("docs_1")).record == {"nestvec": 1}
    return subject


def test_tenants_are_named_once_each(subject: Subject) -> None:
    shared(subject)
    assert subject.ask(ListTenants("docs_1")) == []
    for number, tenant in enumerate(["acme", "Acme", " acme", "東京 🗼", "acme"]):
        subject.ask(write(str(number)), tenant)
    assert sorted(subject.ask(ListTenants("docs_1"))) == [" acme", "Acme", "acme", "東京 🗼"]
    subject.ask(Remove("docs_1", ["1"]), "Acme")
    assert sorted(subject.ask(ListTenants("docs_1"))) == [" acme", "acme", "東京 🗼"]
    with pytest.raises(CollectionNotFound):
        subject.ask(ListTenants("no"))


def test_a_tenant_reads_what_it_wrote_as_it_wrote_it(subject: Subject) -> None:
    shared(subject).ask(write("a", "b"), "acme")
    subject.ask(write("c", lang="fr"), "zenith")
    batch: Batch = subject.ask(Fetch("docs_1", ["a", "c"], vectors=True), "acme")
    assert list(batch.records) == list(write("a").records)
    assert batch.vectors is not None
    assert batch.vectors[DENSE].shape == (1, 2)
    assert batch.vectors[DENSE].flags.c_contiguous
    assert [list(subject.ask(Scroll("docs_1"), tenant).records) for tenant in ("acme", "zenith", "nobody")] == [
        list(write("a", "b").records),
        list(write("c", lang="fr").records),
        [],
    ]
    question = Query("docs_1", {DENSE: np.ones((1, 2), np.float32)}, Metric.COSINE, 5)
    (hits,) = subject.ask(question, "acme")
    assert [hit.record for hit in hits] == list(write("a", "b").records)
    german = system("chunk", FieldType.INTEGER) == 0
    assert subject.ask(Count("docs_1", german), "zenith") == 1
    assert subject.ask(Count("docs_1")) == 3


def test_a_tenant_removes_only_its_own_in_order_and_within_the_limits(subject: Subject) -> None:
    subject.adapter = complete_powers(subject.inner, replace(CAPABILITIES, max_fetch_ids=2))
    shared(subject).ask(write("a", "b", "c"), "acme")
    subject.ask(write("d"), "zenith")
    del subject.inner.asked[:]
    subject.ask(Remove("docs_1", ["d", "c", "missing", "a"], until=7.5), "acme")
    assert [len(each.ids) for each in subject.inner.asked if isinstance(each, Fetch)] == [2, 2]
    assert subject.inner.asked[-1] == Remove("docs_1", ["c", "a"], until=7.5)
    assert subject.ask(Count("docs_1"), "acme") == 1
    assert subject.ask(Count("docs_1"), "zenith") == 1


TENANTS = ("acme", "Acme", "")
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(TENANTS), st.booleans(), st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True)
    ),
    max_size=12,
)


@given(ACTIONS)
def test_tenants_stay_apart_whatever_they_do(actions: list[tuple[str, bool, list[int]]]) -> None:
    subject = shared(Subject())
    wanted: dict[str, set[str]] = {tenant: set() for tenant in TENANTS}
    everything = [f"{tenant}/{number}" for tenant in TENANTS for number in range(4)]
    for tenant, writing, numbers in actions:
        if writing:
            ids = [f"{tenant}/{number}" for number in numbers]
            subject.ask(write(*ids), tenant)
            wanted[tenant].update(ids)
        else:  # also what is others'
            subject.ask(Remove("docs_1", [f"{each}/{number}" for each in TENANTS for number in numbers]), tenant)
            wanted[tenant].difference_update(f"{tenant}/{number}" for number in numbers)
        for each in TENANTS:
            question = Query("docs_1", {DENSE: np.ones((1, 2), np.float32)}, Metric.COSINE, 99)
            fetched = {record.id for record in subject.ask(Fetch("docs_1", everything), each).records}
            scrolled = {record.id for record in subject.ask(Scroll("docs_1"), each).records}
            (hits,) = subject.ask(question, each)
            assert fetched == scrolled == {hit.record.id for hit in hits} == wanted[each]
            assert subject.ask(Count("docs_1"), each) == len(wanted[each])
    assert set(subject.ask(ListTenants("docs_1"))) == {tenant for tenant, ids in wanted.items() if ids}


def test_a_tenant_searches_coarse_to_fine_where_the_backend_does() -> None:
    def query_staged(self: Any, request: QueryStaged) -> Any:
        return self.inner.query(request)

    inner = adapter_class(plain, Funnels, query_staged=query_staged)()
    adapter = complete_powers(inner, replace(CAPABILITIES, powers=frozenset({Power.FUNNELS})))
    finished(adapter.create, create())
    for tenant in ("acme", "zenith"):
        adapter.of_tenant(tenant).write(write(tenant))
    question = QueryStaged("docs_1", {DENSE: np.ones((1, 2), np.float32)}, Metric.COSINE, 9, stages=(Stage(DENSE, 9),))
    (hits,) = finished(adapter.of_tenant("acme").query_staged, question)  # type: ignore[attr-defined]
    assert [hit.record.id for hit in hits] == ["acme"]


# ---------------------------------------------------------------- what only a database can have


def extended(**powers: Any) -> CreateExtended:
    return CreateExtended("docs_1", {DENSE: 2}, Metric.COSINE, {}, {}, **powers)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Update("docs_1", {}, {}), "'docs_1' cannot be changed in place: .*; `nestvec migrate`"),
        (Adopt("theirs", ForeignLayout("theirs"), {}), "'theirs' cannot be adopted: .*; ingest its texts"),
        (extended(storage=Storage.INT8), "'docs_1' cannot keep vectors as int8: .*; leave `storage` out"),
        (QueryStaged("docs_1", {}, Metric.COSINE, 3), "'docs_1' cannot be searched coarse to fine: .*; leave `funnel`"),
    ],
)
def test_what_only_a_database_can_have_is_refused_with_what_helps(subject: Subject, request_: Any, words: str) -> None:
    with pytest.raises(Unsupported, match=words):
        subject.ask(request_)
    assert subject.stored() == []


def test_reading_somebody_else_s_collection_is_refused(subject: Subject) -> None:
    with pytest.raises(Unsupported, match="'theirs' cannot be adopted"):
        subject.adapter.reading(ForeignLayout("theirs"))


def test_the_plugin_s_own_reason_is_given() -> None:
    declared = replace(CAPABILITIES, why_not={"storage": "vectors are kept bit for bit"})
    with pytest.raises(Unsupported, match="as binary: vectors are kept bit for bit; leave"):
        Subject(declared=declared).ask(extended(storage=Storage.BINARY))


@pytest.mark.parametrize("power", [Power.TENANCY, Power.STORAGE])
def test_a_backend_is_asked_only_for_the_power_that_it_has(power: Power) -> None:
    seen: list[CreateExtended] = []
    methods = dict.fromkeys(("of_tenant", "list_tenants", "query_staged"), lambda self, request: None)
    kind = Tenancy if power is Power.TENANCY else VectorStorage
    inner = adapter_class(coroutine, kind, create_extended=lambda self, request: seen.append(request), **methods)()
    adapter = complete_powers(inner, replace(CAPABILITIES, powers=frozenset({power})))
    finished(adapter.create_extended, extended())
    assert [type(each) for each in inner.asked if isinstance(each, Create)] == [Create]
    if power is Power.STORAGE:
        finished(adapter.create_extended, extended(tenants=True, storage=Storage.INT8))
        assert seen == [extended(storage=Storage.INT8)]
    else:
        finished(adapter.create_extended, extended(tenants=True))
        assert seen == [extended(tenants=True)]

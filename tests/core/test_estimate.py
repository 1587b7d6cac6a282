"""What a migration would cost: counted on a sample, told for all, and nothing changed by asking."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec._chunking import Splitter
from nestvec._client import Nestvec, aconnect, connect
from nestvec._collections.superseded import NOTE as SUPERSEDES
from nestvec._collections.superseded import Supersedes
from nestvec._collections.write_fence import NOTE as FENCE
from nestvec._collections.write_fence import POLL, SKEW, FenceState, GenerationPlace, WriteFence
from nestvec._migration.effort import SAMPLE, Effort, embedding_cost
from nestvec._migration.generations import NOTE, MigrationNote
from nestvec._migration.report import MigrationPlan, MigrationStage
from nestvec._migration.resources import at_hand
from nestvec._migration.routes import Way
from nestvec.config import Connection
from nestvec.contract import Create, EmbedderPlugin, Fetch, WriteNote
from nestvec.errors import CollectionConflict, CollectionNotFound, InvalidName, Unsupported
from nestvec.options import Secret
from nestvec.runtime import RetryPolicy, Runtime
from nestvec.types import Document
from nestvec_testing.memory import _STORES
from nestvec_testing.recording import RecordingEmbedder, RecordingOptions, capabilities
from nestvec_testing.registry import test_registry

PLACES = ("here", "there")
NUMBERS = itertools.count()
EMBEDDERS: dict[str, Any] = {
    "old": {"use": "recording", "batch": 4},
    "new": {"use": "recording", "model": "recording-v4", "batch": 4, "price": 0.5},
    "free": {"use": "recording", "model": "recording-v5"},
    "api": {"use": "jina"},
    "dear": {"use": "jina", "price": 20.0, "requests_per_minute": 60, "tokens_per_minute": 10_000},
    "fixed": {"use": "jina", "model": "jina-embeddings-v2-base-de"},
}


class Bench:
    """A collection `docs` that was applied in one form; clients of other forms look at it."""

    def __init__(self, **was: Any) -> None:
        number = next(NUMBERS)
        self.stores = [f"estimate-{number}-{place}" for place in PLACES]
        self.was: dict[str, Any] = {"backend": "here", "embedder": "old", "dimensions": 32, "chunking": {"size": 40}}
        self.was |= was
        self.opened: list[Nestvec] = []
        self.client = self.open()
        self.client.apply()
        self.docs = self.client["docs"]

    @property
    def runtime(self) -> Runtime:
        return Runtime(test_registry(), retry=RetryPolicy(attempts=1), pause=lambda seconds: None)

    def values(self, **wanted: Any) -> dict[str, Any]:
        backends = {name: {"use": "memory", "store": store} for name, store in zip(PLACES, self.stores, strict=True)}
        return {"backends": backends, "embedders": EMBEDDERS, "collections": {"docs": {**self.was, **wanted}}}

    def open(self, **wanted: Any) -> Nestvec:
        self.opened.append(connect(self.values(**wanted), self.runtime))
        return self.opened[-1]

    def plan(self, *, documents: Any = (), **wanted: Any) -> MigrationPlan:
        """Asked for, with proof that the databases are what they were."""
        before = copy.deepcopy([vars_of(store) for store in self.stores])
        found = self.open(**wanted).plan_migration("docs", documents=documents)
        assert [vars_of(store) for store in self.stores] == before
        return found

    def candidate(self, number: int, *, source: str = "docs_1", **wanted: Any) -> Nestvec:
        """A generation that a migration to what is wanted began."""
        client = self.open(**wanted)
        spec = client["docs"].spec
        physical = f"docs_{number}"
        record = spec.record(number) | {"shadow": True}
        adapter = client.adapter(spec.backend)
        adapter.create(Create(physical, spec.vectors, spec.metric, spec.fields, record, spec.namespaces))
        progress = MigrationNote("m", GenerationPlace("here", source), MigrationStage.COPYING, 100.0)
        adapter.write_note(WriteNote(physical, NOTE, progress.to_text()))
        return client


def vars_of(store: str) -> Any:
    found = _STORES.get(store)
    if found is None:
        return {}, {}, {}, {}
    notes = {name: each.notes for name, each in found.collections.items()}
    points = {name: sorted(each.points) for name, each in found.collections.items()}
    return notes, points, dict(found.aliases), {name: each.info.record for name, each in found.collections.items()}


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**was: Any) -> Bench:
        made.append(Bench(**was))
        return made[-1]

    yield make
    for each in made:
        for client in each.opened:
            client.close()
        for store in each.stores:
            _STORES.pop(store, None)


def document(number: int, words: int = 20) -> Document:
    return Document(f"d{number}", " ".join(f"word{number}x{i}" for i in range(words)))


def corpus(count: int = 30) -> list[Document]:
    return [document(i, 3 + i) for i in range(count)]


def test_where_only_dimensions_shrink_nothing_is_embedded_and_shrink_is_named(bench: Any) -> None:
    docs = bench()
    docs.docs.upsert(corpus())
    plan = docs.plan(dimensions=8)
    assert (plan.way, plan.tokens, plan.requests, plan.money, plan.seconds) == (Way.DERIVE, 0, 0, 0.0, None)
    assert plan.changes == ("dimensions: 32 → 8",)
    assert "nestvec shrink docs --dimensions 8" in plan.advice[0]
    assert (plan.source, plan.target) == (GenerationPlace("here", "docs_1"), GenerationPlace("here", "docs_2"))
    assert (plan.documents, plan.chunks) == (30, docs.docs.count(chunks=True))
    assert plan.writers_wait == docs.docs._among.wanted.lease + SKEW + POLL


def test_shrinking_is_not_named_where_it_would_do_less(bench: Any) -> None:
    docs = bench()
    docs.docs.upsert(corpus())
    plan = docs.plan(dimensions=8, metric="dot")
    assert (plan.way, len(plan.changes)) == (Way.DERIVE, 2)
    assert not any("nestvec shrink" in each for each in plan.advice)


def test_tokens_are_those_of_the_chunks_as_they_will_be(bench: Any) -> None:
    """A small collection is its own sample, so the figures are exact. A recording model's tokens are words."""
    docs = bench()
    docs.docs.upsert(corpus())
    wanted = {"embedder": "new", "chunking": {"size": 100}}
    plan = docs.plan(**wanted)
    spec = docs.open(**wanted)["docs"].spec
    splitter = Splitter(spec.chunking)
    chunks = [each.text[slice(*span)] for each in corpus() for span in splitter.split(each.id, each.text)]
    assert len(chunks) < plan.chunks
    assert plan.tokens == sum(len(chunk.split()) + 2 for chunk in chunks)
    # In batches of 4. About 64 stored chunks travel together, so that now and then a batch is not full.
    portions = -(-plan.chunks // 64)
    assert len(chunks) / 4 <= plan.requests <= len(chunks) / 4 + portions
    assert plan.money == pytest.approx(plan.tokens * 0.5 / 1e6)
    assert plan.seconds is None
    assert plan.changes == ("model: recording-v3 → recording-v4", "chunking: 40 characters → 100 characters")
    assert plan.reason == "another model"


def test_without_a_price_there_is_no_money_and_a_hosted_model_says_what_to_set(bench: Any) -> None:
    docs = bench()
    docs.docs.upsert(corpus())
    free, hosted = docs.plan(embedder="free"), docs.plan(embedder="api")
    assert (free.money, free.advice) == (None, ())
    assert hosted.money is None
    assert min(free.tokens, hosted.tokens) > 0
    assert any("set price in [embedders.api]" in each for each in hosted.advice)
    assert any("estimated from characters" in each for each in hosted.advice)


def test_the_quota_gives_the_least_time(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key is read: the embedder is not opened."""
    monkeypatch.delenv("JINA_API_KEY", raising=False)
    docs = bench()
    docs.docs.upsert(corpus())
    plan = docs.plan(embedder="dear", late_chunking=True)
    assert plan.requests == 30  # a document is a request at least
    assert plan.seconds == pytest.approx(max(30 / 60, plan.tokens / 10_000) * 60)
    assert plan.money == pytest.approx(plan.tokens * 20 / 1e6)
    assert "late chunking: no → yes" in plan.changes


def test_late_chunking_counts_the_windows_of_long_documents(bench: Any) -> None:
    docs = bench(chunking={"size": 1000})
    docs.docs.upsert([Document("long", "lorem ipsum " * 4000), Document("short", "lorem ipsum")])
    once = docs.plan(embedder="dear")
    late = docs.plan(embedder="dear", late_chunking=True)
    assert late.requests > 4
    assert late.tokens > once.tokens, "windows overlap, so some chunks are embedded twice"


def test_marks_are_counted_once_a_window(bench: Any) -> None:
    docs = bench()
    docs.docs.upsert(corpus())
    assert docs.docs.count(chunks=True) > 60
    plan = docs.plan(embedder="new", late_chunking=True)
    assert plan.tokens == sum(len(each.text.split()) + 2 for each in corpus())
    assert plan.requests == 30


def test_a_chunk_that_no_window_holds_is_named(bench: Any) -> None:
    docs = bench(chunking={"size": 1000})
    docs.docs.upsert([Document("long", "lorem ipsum " * 4000), Document("short", "lorem ipsum")])
    plan = docs.plan(embedder="dear", late_chunking=True, chunking={"size": 40_000})
    assert any("1 of 2 documents looked at have a chunk that is too long" in each for each in plan.advice)


def test_texts_that_are_not_stored_make_the_cost_unknown_unless_files_have_them(bench: Any) -> None:
    docs = bench(store_text=False)
    docs.docs.upsert(corpus())
    plan = docs.plan(embedder="new")
    assert (plan.tokens, plan.requests, plan.money, plan.seconds) == (None, None, None, None)
    assert "nestvec migrate docs --from FILES" in plan.advice[0]
    known = docs.plan(embedder="new", documents=corpus())
    assert known.tokens == sum(
        len(each.text[slice(*span)].split()) + 2
        for each in corpus()
        for span in Splitter(docs.docs.spec.chunking).split(each.id, each.text)
    )
    assert docs.plan(embedder="new", documents=corpus()[1:]).tokens is None


def test_of_a_large_collection_a_sample_is_read_from_all_over(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long documents come last, in the order in which this backend reads: they are in the sample as well."""
    docs = bench(chunking={"size": 1000})
    texts = [document(i, 5 if i < 2000 else 50) for i in range(3000)]
    docs.docs.upsert(texts)
    client = docs.open(embedder="new")
    adapter, fetched = client.adapter("here"), []
    original = adapter.fetch

    def fetch(request: Fetch) -> Any:
        fetched.extend(request.ids)
        return original(request)

    monkeypatch.setattr(adapter, "fetch", fetch)
    plan = client.plan_migration("docs")
    true = sum(len(each.text.split()) + 2 for each in texts)
    assert plan.tokens == pytest.approx(true, rel=0.05)
    assert plan.documents == 3000
    assert SAMPLE <= len(set(fetched)) < SAMPLE + 100


def test_namespaces_are_counted_together(bench: Any) -> None:
    docs = bench(namespaces=True, chunking={"size": 1000})
    docs.docs.namespace("acme").upsert(document(i, 2) for i in range(10))
    docs.docs.namespace("zeta").upsert(document(i, 9) for i in range(10))
    plan = docs.plan(embedder="new")
    assert plan.documents == 20
    assert plan.tokens == 10 * (2 + 2) + 10 * (9 + 2)


def test_namespaces_do_not_come_by_migrating(bench: Any) -> None:
    with pytest.raises(CollectionConflict, match="has namespaces = false"):
        bench().plan(namespaces=True)


def test_another_backend_is_where_previous_says(bench: Any) -> None:
    docs = bench()
    docs.docs.upsert(corpus(5))
    with pytest.raises(CollectionNotFound, match=r"\[collections.docs.previous\]"):
        docs.plan(backend="there")
    plan = docs.plan(backend="there", previous={"backend": "here"})
    assert (plan.way, plan.source, plan.target) == (
        Way.COPY,
        GenerationPlace("here", "docs_1"),
        GenerationPlace("there", "docs_1"),
    )
    assert plan.changes == ("backend: here → there",)
    assert (plan.documents, plan.tokens, plan.money) == (5, 0, 0.0)


def test_nothing_to_do(bench: Any) -> None:
    docs = bench()
    docs.docs.upsert(corpus(5))
    plan = docs.plan()
    assert (plan.way, plan.advice, plan.documents) == (None, (), 5)
    assert plan.reason == "the database holds what the configuration says"


@pytest.mark.parametrize(
    "wanted", [{"fields": {"lang": "keyword"}}, {"storage": "int8"}, {"chunking": {"size": 100}}], ids=str
)
def test_what_apply_does_needs_no_migration(bench: Any, wanted: Any) -> None:
    plan = bench().plan(**wanted)
    assert plan.way is None
    assert "`nestvec apply docs` does it" in plan.advice[0]


@pytest.mark.parametrize(
    ("wanted", "change"),
    [
        ({"metric": "dot"}, "metric: cosine → dot"),
        ({"storage": "float16"}, "storage: float32 → float16"),
        ({"funnel": [8]}, "funnel: none → 8"),
        ({"fields": {"year": "integer"}}, "field 'year': keyword → integer"),
    ],
    ids=str,
)
def test_what_takes_a_new_generation_but_no_embedding(bench: Any, wanted: Any, change: str) -> None:
    docs = bench(fields={"year": "keyword"})
    plan = docs.plan(**wanted)
    assert plan.way is Way.COPY
    assert plan.changes == (change,)


def test_chunks_stay_where_nothing_is_embedded(bench: Any) -> None:
    plan = bench().plan(dimensions=8, chunking={"size": 99})
    assert plan.changes == ("dimensions: 32 → 8",)
    assert any("chunks stay as they are" in each for each in plan.advice)


def test_whoever_changes_the_model_for_its_size_hears_of_shrinking(bench: Any) -> None:
    docs = bench()
    plan = docs.plan(embedder="new", dimensions=16)
    assert any("keep recording-v3" in each and "shrink docs --dimensions 16" in each for each in plan.advice)
    assert not docs.plan(embedder="new").advice


def test_whoever_leaves_a_model_without_prefixes_for_its_size_hears_of_nesting(bench: Any) -> None:
    docs = bench(embedder="fixed", dimensions=768)
    plan = docs.plan(embedder="api", dimensions=256)
    assert any("nestvec nest docs" in each for each in plan.advice)


def test_an_unfinished_migration_goes_on_and_costs_what_is_left(bench: Any) -> None:
    docs = bench(chunking={"size": 1000})
    docs.docs.upsert(document(i, 10) for i in range(20))
    whole = docs.plan(embedder="new")
    client = docs.candidate(7, embedder="new")
    adapter = client.adapter("here")
    adapter._aliases["docs"] = "docs_7"
    client["docs"].upsert(document(i, 10) for i in range(5))
    adapter._aliases["docs"] = "docs_1"
    plan = docs.plan(embedder="new")
    assert plan.target == GenerationPlace("here", "docs_7")
    assert "(stage: copying): it has 5 of 20 documents" in plan.advice[-1]
    assert plan.documents == 20
    assert plan.tokens == whole.tokens * 15 // 20


def test_a_candidate_of_something_else_is_not_gone_on_with(bench: Any) -> None:
    docs = bench()
    docs.candidate(7, embedder="free")
    docs.candidate(8, embedder="new", source="docs_3")
    assert docs.plan(embedder="new").target == GenerationPlace("here", "docs_9")


def test_going_back_to_what_it_was_uses_what_is_there(bench: Any) -> None:
    docs = bench(chunking={"size": 1000})
    docs.docs.upsert(document(i, 10) for i in range(20))
    docs.candidate(2, embedder="new")
    docs.client.adapter("here")._aliases["docs"] = "docs_2"
    moved = WriteFence(FenceState.MOVED, to=GenerationPlace("here", "docs_2"))
    docs.client.adapter("here").write_note(WriteNote("docs_1", FENCE, moved.to_text()))
    plan = docs.plan()
    assert plan.target == GenerationPlace("here", "docs_1")
    assert "'docs_1' was this before" in plan.advice[-1]


def test_a_switch_that_is_not_complete_is_completed_first(bench: Any) -> None:
    docs = bench()
    docs.candidate(2, embedder="new")
    docs.client.adapter("here")._aliases["docs"] = "docs_2"
    plan = docs.plan(embedder="new")
    assert plan.way is None
    assert "to its end first" in plan.advice[0]


def test_a_shrunk_collection_needs_only_its_size_written_down(bench: Any) -> None:
    docs = bench()
    docs.docs.upsert(corpus(5))
    small = docs.candidate(2, dimensions=8)
    adapter = small.adapter("here")
    adapter._aliases["docs"] = "docs_2"
    adapter.write_note(WriteNote("docs_2", SUPERSEDES, Supersedes(32).to_text()))
    plan = docs.plan()
    assert plan.way is None
    assert plan.reason == "it was shrunk to 8 dimensions: write dimensions = 8"
    assert docs.plan(previous={"purpose": "matching"}) == plan, "which is of long ago"


def test_where_previous_says_that_it_was_shorter_it_grows_again(bench: Any) -> None:
    docs = bench()
    docs.docs.upsert(corpus(5))
    small = docs.candidate(2, dimensions=8)
    small.adapter("here")._aliases["docs"] = "docs_2"
    small.adapter("here").write_note(WriteNote("docs_2", SUPERSEDES, Supersedes(32).to_text()))
    plan = docs.plan(previous={"dimensions": 8})
    assert (plan.way, plan.changes) == (Way.EMBED, ("dimensions: 8 → 32",))


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"chunking": {"size": 99}},
        {"dimensions": 8},
        {"metric": "dot"},
        {"storage": "float16"},
        {"embedder": "new", "dimensions": 16},
        {"embedder": "new", "chunking": {"size": 100}},
        {"late_chunking": True},
        {"purpose": "matching"},
        {"backend": "there", "previous": {"backend": "here"}},
    ],
    ids=str,
)
def test_what_is_foretold_is_what_migrating_does(bench: Any, wanted: Any) -> None:
    docs = bench()
    docs.docs.upsert(corpus())
    plan = docs.plan(**wanted)
    report = docs.open(**wanted).migrate("docs")
    assert (plan.way, plan.source, plan.target) == (report.way, report.source, report.target)
    assert (plan.way is not None) is report.switched
    if plan.way is not None:
        assert plan.documents == report.documents
        # A recording model counts words, and no marks around the texts.
        marks = 2 * (30 if wanted.get("late_chunking") else report.chunks) if plan.way is Way.EMBED else 0
        assert plan.tokens == report.usage.tokens + marks
    again = docs.plan(**wanted)
    assert again.way is None


def test_what_is_not_there_is_said(bench: Any) -> None:
    docs = bench()
    with pytest.raises(InvalidName, match="did you mean 'docs'"):
        docs.client.plan_migration("doc")
    docs.client.adapter("here")._aliases.clear()
    with pytest.raises(CollectionNotFound, match="nestvec apply"):
        docs.plan(dimensions=8)


def test_an_adopted_collection_has_no_generations(bench: Any) -> None:
    with pytest.raises(Unsupported, match="was adopted"):
        bench().open(adopt=True, fields={}).plan_migration("docs")


class Keyed(RecordingOptions):
    """An embedder that is at hand, unless it is used with a key."""

    api_key: Secret | None = None


@pytest.mark.parametrize(
    ("options", "embedded", "expected"),
    [
        ({}, {}, True),
        ({"batch": 3}, {}, True),
        ({}, None, False),
        ({"host": "far"}, {"host": ""}, False),
        ({"api_key": {"env": "KEY"}}, {}, False),
    ],
    ids=str,
)
def test_an_embedder_is_opened_only_where_it_is_at_hand(options: Any, embedded: Any, expected: bool) -> None:
    plugin = EmbedderPlugin("keyed", "", Keyed, capabilities, RecordingEmbedder, embedded=embedded)
    assert at_hand(Connection("model", plugin, Keyed.model_validate(options))) is expected


async def test_asynchronously_the_same(bench: Any) -> None:
    docs = bench()
    docs.docs.upsert(corpus())
    for wanted in ({"dimensions": 8}, {"embedder": "new"}, {"embedder": "dear"}):
        async with aconnect(docs.values(**wanted), docs.runtime) as nv:
            assert await nv.plan_migration("docs") == docs.plan(**wanted)


def test_a_plan_is_plain_json(bench: Any) -> None:
    import json

    told = json.loads(json.dumps(bench().plan(dimensions=8).to_dict()))
    assert (told["way"], told["source"]) == ("derive", {"backend": "here", "physical": "docs_1"})


@given(
    documents=st.integers(1, 10_000),
    chunks=st.integers(1, 20),
    sampled=st.integers(1, 500),
    tokens=st.integers(1, 300),
    late=st.booleans(),
)
def test_a_sample_of_equal_documents_tells_the_truth(
    documents: int, chunks: int, sampled: int, tokens: int, late: bool
) -> None:
    from nestvec.config import parse_config

    values = {
        "backends": {"here": {"use": "memory"}},
        "embedders": {"dear": EMBEDDERS["dear"]},
        "collections": {"docs": {"late_chunking": late}},
    }
    spec = parse_config(values, test_registry()).collections["docs"]
    sampled = min(sampled, documents)
    every = sampled * chunks
    effort = Effort(sampled, every, every, every * tokens, sampled if late else 0)
    costs = embedding_cost(effort, spec, documents, documents * chunks, 20.0)
    assert costs.tokens == documents * chunks * tokens
    assert costs.requests is not None
    assert costs.requests >= (documents if late else documents * chunks / spec.model.batch)
    assert costs.money == pytest.approx(costs.tokens * 20 / 1e6)
    assert embedding_cost(replace(effort, textless=1), spec, documents, documents * chunks, 20.0).tokens is None

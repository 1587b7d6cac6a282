"""Passes over two generations: the target comes to hold what the source holds, whatever happened before."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec._chunking import Splitter
from nestvec._client import Nestvec, connect
from nestvec._collections.opening import CollectionState, OpenCollection, Target
from nestvec._documents.layout import hash_text
from nestvec._migration.passes import run_pass
from nestvec._migration.routes import Route, Transform, Way, route
from nestvec._migration.transfer import PassProgress, Transfer, TransferStatistics
from nestvec._session.session import Session, complete
from nestvec._specs import CollectionSpec, StoredCollection
from nestvec.contract import Create
from nestvec.encoding.vectors import truncate
from nestvec.errors import BackendRefused, BackendUnavailable
from nestvec.runtime import RetryPolicy, Runtime
from nestvec.types import DENSE, Document, Metric
from nestvec_testing.registry import test_registry

FIELDS = {"lang": "keyword", "year": "integer"}


class Bench:
    """A collection `docs`, and a second generation of it that no alias leads to."""

    def __init__(self, *, wanted: dict[str, Any] | None = None, **settings: Any) -> None:
        common = {"dimensions": 32, "fields": FIELDS, "chunking": {"size": 20}, **settings}
        values = {
            "backends": {"store": {"use": "memory"}},
            "embedders": {"model": {"use": "recording", "batch": 4}},
            "collections": {"docs": common, "next": {**common, **(wanted or {})}},
        }
        policy = RetryPolicy(attempts=1)
        self.client: Nestvec = connect(values, Runtime(test_registry(), retry=policy))
        self.client.apply("docs")
        self.docs = self.client["docs"]
        self.adapter: Any = self.client.adapter("store")
        self.embedder: Any = self.client.embedder("model")
        self.wanted = replace(self.client.config.collections["next"], name="docs")
        self._make()

    def _make(self) -> None:
        spec, record = self.wanted, self.wanted.record(2) | {"shadow": True}
        self.adapter.create(Create("docs_2", spec.vectors, spec.metric, spec.fields, record, spec.namespaces))

    def pinned(self, session: Session, spec: CollectionSpec, physical: str, number: int) -> OpenCollection:
        stored = StoredCollection.read(spec.record(number), physical)
        made, target = self.docs._among.wanted, Target(physical, stored, math.inf)
        return OpenCollection(CollectionState(spec, made.capabilities, made.clock, made.lease, target=target), session)

    def transfer(self, session: Session | None = None, **changes: Any) -> Transfer:
        stored, session = self.docs.spec, session or self.docs._sessions[0]
        way = route(stored, self.wanted).way
        transform = Transform(self.wanted.space.dimensions)
        source, target = self.pinned(session, stored, "docs_1", 1), self.pinned(session, self.wanted, "docs_2", 2)
        return replace(Transfer(source, target, way, transform, Splitter(self.wanted.chunking)), **changes)

    def run(self, **changes: Any) -> TransferStatistics:
        self.embedder.requests.clear()
        return complete(run_pass(self.transfer(**changes), "documents"))

    def points(self, physical: str) -> dict[tuple[str, int], Any]:
        stored = self.adapter._collections[physical].points.values()
        return {(each.record.document_id, each.record.system["chunk"]): each for each in stored}

    def check(self) -> None:
        """The target holds exactly what the source holds."""
        one, two = self.points("docs_1"), self.points("docs_2")
        assert len(two) == len(self.adapter._collections["docs_2"].points), "a chunk is there twice"
        assert one.keys() == two.keys()
        for key, each in one.items():
            other = two[key]
            assert (each.record.text, each.record.metadata, each.tenant) == (
                other.record.text,
                other.record.metadata,
                other.tenant,
            )
            size = self.wanted.space.dimensions
            np.testing.assert_allclose(other.vectors[DENSE], truncate(each.vectors[DENSE][None], size)[0], atol=1e-6)


def document(key: str, words: int = 8, word: str = "word", year: int = 2000) -> Document:
    return Document(key, " ".join(f"{word}{i}" for i in range(words)), {"lang": "de", "year": year, "free": 1})


def corpus(count: int = 12) -> list[Document]:
    return [document(f"d{i}", 2 + i) for i in range(count)]


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    opened: list[Bench] = []

    def make(**settings: Any) -> Bench:
        opened.append(Bench(**settings))
        return opened[-1]

    yield make
    for each in opened:
        each.client.close()


def test_a_smaller_size_is_derived_without_embedding(bench: Any) -> None:
    both = bench(wanted={"dimensions": 8})
    both.docs.upsert(corpus())
    statistics = both.run()
    assert (statistics.seen, statistics.brought, statistics.failed) == (12, 12, ())
    assert statistics.chunks == both.docs.count(chunks=True)
    assert not both.embedder.requests
    both.check()
    again = both.run()
    assert (again.changes, again.chunks, again.seen) == (0, statistics.chunks, 12)


def test_what_was_written_replaced_and_deleted_since_is_caught_up(bench: Any) -> None:
    both = bench(wanted={"dimensions": 8})
    both.docs.upsert(corpus())
    both.run()
    both.docs.upsert([document("d3", 1, "other"), document("new", 9), document("d4", 6, year=1999)])
    both.docs.delete(["d5", "d6"])
    statistics = both.run()
    assert (statistics.brought, statistics.deleted) == (3, 2)
    both.check()
    assert both.run().changes == 0


def test_a_new_model_is_embedded_from_stored_texts_and_keeps_the_hashes(bench: Any) -> None:
    both = bench(wanted={"purpose": "matching", "chunking": {"size": 40}})
    both.docs.upsert(corpus())
    assert route(both.docs.spec, both.wanted).way is Way.EMBED
    statistics = both.run()
    assert (statistics.brought, statistics.failed) == (12, ())
    assert set(both.embedder.tasks) == {"text-matching"}
    assert both.run().changes == 0
    assert not both.embedder.requests, "a second pass embeds nothing"
    heads = [
        {
            p.record.document_id: p.record.system["document_hash"]
            for (_, chunk), p in both.points(name).items()
            if chunk == 0
        }
        for name in ("docs_1", "docs_2")
    ]
    assert heads[0] == heads[1]


def test_texts_that_are_not_stored_come_from_files_or_are_named(bench: Any) -> None:
    both = bench(store_text=False, wanted={"purpose": "matching"})
    both.docs.upsert(corpus(3))
    statistics = both.run()
    assert statistics.brought == 0
    assert [each.document_id for each in statistics.failed] == ["d0", "d1", "d2"]
    assert "not stored" in statistics.failed[0].error
    texts = {hash_text(each.text): each.text for each in corpus(2)}
    statistics = both.run(texts=texts)
    assert (statistics.brought, [each.document_id for each in statistics.failed]) == (2, ["d2"])


def test_namespaces_are_all_brought_over_and_emptied_ones_emptied(bench: Any) -> None:
    both = bench(namespaces=True, wanted={"dimensions": 8})
    for tenant in ("acme", "other"):
        both.docs.namespace(tenant).upsert(corpus(4))
    assert both.run().brought == 8
    both.docs.namespace("other").delete(everything=True)
    assert both.run().deleted == 4
    assert {each.tenant for each in both.adapter._collections["docs_2"].points.values()} == {"acme"}


def test_a_document_that_the_backend_refuses_is_named_and_the_others_arrive(bench: Any) -> None:
    both = bench(wanted={"dimensions": 8})
    both.docs.upsert(corpus())
    write = both.adapter.write

    def picky(request: Any) -> None:
        if request.physical == "docs_2" and any(record.document_id == "d7" for record in request.records):
            raise BackendRefused("too fat")
        write(request)

    both.adapter.write = picky
    statistics = both.run()
    assert (statistics.brought, [each.document_id for each in statistics.failed]) == (11, ["d7"])
    assert not [key for key in both.points("docs_2") if key[0] == "d7"]


def test_a_dry_pass_writes_nothing_and_counts_what_differs(bench: Any) -> None:
    both = bench(wanted={"dimensions": 8})
    both.docs.upsert(corpus())
    both.run()
    both.docs.upsert([document("d3", 1, "other"), document("new")])
    both.docs.delete("d5")
    before = dict(both.adapter._collections["docs_2"].points)
    statistics = both.run(dry=True)
    assert sorted(each.document_id for each in statistics.failed) == ["d3", "d5", "new"]
    assert both.adapter._collections["docs_2"].points == before


def test_progress_and_a_steady_sample_are_told(bench: Any) -> None:
    both = bench(wanted={"dimensions": 8})
    both.docs.upsert(corpus(40))
    heard: list[PassProgress] = []
    first = both.run(progress=heard.append)
    assert heard[-1].seen == heard[-1].total
    assert heard[-1].brought == 40
    assert len(first.sample) == 32
    assert both.run().sample == first.sample


def test_listeners_hear_nothing_of_documents_that_are_only_brought_over(bench: Any) -> None:
    both = bench(wanted={"purpose": "matching"})
    both.docs.upsert(corpus(3))
    heard: list[str] = []
    session = both.docs._sessions[0].notifying(lambda event: heard.append(event.name))
    complete(run_pass(both.transfer(session), "documents"))
    both.docs.delete("d0")
    complete(run_pass(both.transfer(session), "documents"))
    assert heard == []


@settings(max_examples=40)
@given(death=st.integers(0, 25), changes=st.lists(st.sampled_from(["replace", "shrink", "delete", "add"]), max_size=4))
def test_a_pass_that_breaks_off_anywhere_is_mended_by_the_next(death: int, changes: list[str]) -> None:
    both = Bench(wanted={"dimensions": 8})
    try:
        both.docs.upsert(corpus(4))
        both.run()
        both.docs.upsert([document(f"d{i}", 9 - i, "second") for i in range(4)])
        _break_off(both, death)
        _change(both, changes)
        both.run()
        both.check()
        assert both.run().changes == 0
    finally:
        both.client.close()


def _break_off(both: Bench, death: int) -> None:
    write, remove, left = both.adapter.write, both.adapter.remove, [death]

    def mortal(method: Any) -> Any:
        def call(request: Any) -> None:
            if not left[0]:
                raise BackendUnavailable("killed")
            left[0] -= 1
            if hasattr(request, "records"):  # record by record, as a backend may that is killed within a request
                for i, record in enumerate(request.records):
                    rows = {name: matrix[i : i + 1] for name, matrix in request.vectors.items()}
                    method(replace(request, records=[record], vectors=rows))
                    if not left[0]:
                        raise BackendUnavailable("killed")
                    left[0] -= 1
            else:
                method(request)

        return call

    both.adapter.write, both.adapter.remove = mortal(write), mortal(remove)
    with contextlib.suppress(BackendUnavailable):
        both.run()
    both.adapter.write, both.adapter.remove = write, remove


def _change(both: Bench, changes: list[str]) -> None:
    for i, change in enumerate(changes):
        if change == "delete":
            both.docs.delete(f"d{i}")
        elif change == "add":
            both.docs.upsert([document(f"more{i}")])
        else:
            both.docs.upsert([document(f"d{i}", 12 if change == "replace" else 1, "third")])


def test_the_cheapest_way_that_loses_nothing_is_taken(bench: Any) -> None:
    both = bench(wanted={"dimensions": 8})
    stored, smaller = both.docs.spec, both.wanted
    full = replace(stored, space=replace(stored.space, dimensions=64))
    turned = replace(full, space=replace(full.space, rotation="f" * 16))
    plain = replace(smaller, model=replace(smaller.model, min_dimensions=64))
    loud = replace(smaller, space=replace(smaller.space, normalized=False), metric=Metric.DOT)
    quiet = replace(stored, space=replace(stored.space, normalized=False))
    assert route(stored, stored) == Route(Way.COPY)
    assert route(stored, smaller) == Route(Way.DERIVE)
    assert route(full, turned) == Route(Way.DERIVE, rotated=True)
    for was, now, reason in [
        (smaller, stored, "8 dimensions"),
        (stored, turned, "32 dimensions and 64"),
        (stored, replace(stored, space=replace(stored.space, rotation="f" * 16)), "whole vectors"),
        (stored, plain, "no Matryoshka prefixes"),
        (quiet, loud, "lengths"),
        (stored, replace(stored, space=replace(stored.space, model="other")), "another model"),
        (stored, replace(stored, space=replace(stored.space, late_chunking=True)), "another late chunking"),
    ]:
        found = route(was, now)
        assert found.way is Way.EMBED
        assert reason in found.reason


def test_vectors_are_turned_before_they_are_cut() -> None:
    rows = truncate(np.random.default_rng(1).standard_normal((5, 16)).astype(np.float32), 16)
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((16, 16)))[0].astype(np.float32)
    np.testing.assert_allclose(
        Transform(4, rotation=rotation)(rows), truncate((rows @ rotation).astype(np.float32), 4), atol=1e-6
    )
    assert not np.allclose(Transform(4, rotation=rotation)(rows), Transform(4)(rows))

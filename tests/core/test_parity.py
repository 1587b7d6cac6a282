"""Which hosts may embed for a collection: canaries at the first upsert, one comparison for each other host."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from nestvec._collections import write_fence as gate
from nestvec._collections.opening import OpenCollection
from nestvec._documents.search import SearchOptions, search
from nestvec._hosts.canaries import SHORT, TEXTS, VERSION, legs_of
from nestvec._hosts.note import NOTE, Canaries
from nestvec.contract import Encode, Encoded, Query, ReadNote, Remove, Write, WriteNote
from nestvec.encoding.vectors import normalize
from nestvec.errors import (
    BackendDenied,
    CollectionConflict,
    EmbedderRefused,
    EmbedderUnavailable,
    HostMismatch,
    SpaceError,
    SpaceUnknown,
    Unsupported,
)
from nestvec.types import Document
from nestvec_testing import BackendUnderTest, Stepper
from nestvec_testing.adapters.spaces import _next_generation
from nestvec_testing.bench import Bench
from nestvec_testing.data import document, words
from nestvec_testing.loop import DRIVERS
from nestvec_testing.recording import RecordingEmbedder
from nestvec_testing.stepping import Asking

QUESTION = words(5)
#: What changes a database.
CHANGES = (Write, Remove, WriteNote)
#: A host that gives other vectors, for collections with and without late chunking.
OTHERS = [
    ("prompt", False),
    ("adapter", False),
    ("pooling", False),
    ("prompt", True),
    ("adapter", True),
    ("neighbours", True),
]


@pytest.fixture(params=DRIVERS)
def bench(request):
    with Bench(BackendUnderTest("memory"), request.param) as bench:
        yield bench


def host(name, **options):
    return {"host": name, **options}


def documents(count=5):
    return [document(f"d{i}", seed=i) for i in range(count)]


def is_canary(request):
    return request.groups[0].key.startswith("canary")


def measurements(bench):
    """The requests by which hosts were measured, of all embedders."""
    return [request for embedder in bench.embedders for request in embedder.requests if is_canary(request)]


def noted(bench, settings=None, **embedder):
    """The canaries beside the collection."""
    text = bench.raw(ReadNote(bench.physical(), NOTE))
    spec = bench.session(settings, embedder=embedder).docs.target.spec
    return Canaries.read(text, spec.space, spec.name) if text is not None else None


def since(bench, start, kinds=CHANGES):
    """The requests of these kinds; reading the gate, as every handle does once a lease, is not what is counted here."""
    sent = [request for request in bench.requests[start:] if isinstance(request, kinds)]
    return [request for request in sent if not (isinstance(request, ReadNote) and request.name == gate.NOTE)]


# ------------------------------------------------------------ the first upsert


def test_the_first_upsert_leaves_canaries_before_records(bench):
    report = bench.applied(embedder=host("one")).docs.upsert(documents())
    assert [type(request) for request in since(bench, 0)] == [WriteNote, Write]
    assert [(request.task, request.late) for request in measurements(bench)] == [
        ("retrieval.passage", False),
        ("retrieval.query", False),
    ]
    canaries = noted(bench)
    assert (canaries.host, canaries.accepted, len(canaries.texts)) == ("one", {}, 6)
    assert report.usage.requests == 3, "what they cost is in the report"
    assert [event.data for event in bench.events if event.name == "canaries_stored"] == [{"host": "one"}]
    assert not any(request.fresh for request in measurements(bench)), "they are whatever the documents' vectors are"


def test_under_late_chunking_pooling_is_part_of_what_is_kept(bench):
    session = bench.applied({"late_chunking": True}, embedder=host("one"))
    session.docs.upsert(documents())
    first, second = measurements(bench)
    assert (first.late, [len(group.spans) for group in first.groups]) == (True, [3, 3])
    assert (second.late, [len(group.spans) for group in second.groups]) == (False, [1] * 6)


def test_tasks_that_are_one_are_embedded_once(bench):
    bench.applied({"purpose": "matching"}, embedder=host("one")).docs.upsert(documents())
    assert [request.task for request in measurements(bench)] == ["text-matching"]


def test_many_batches_under_way_measure_once(bench):
    docs = bench.applied(embedder=host("one", batch=2)).docs
    docs.upsert(documents(30))
    assert len(measurements(bench)) == 2
    assert len(since(bench, 0, WriteNote)) == len(since(bench, 0, ReadNote)) == 1


def test_later_upserts_of_that_host_cost_one_look(bench):
    bench.applied(embedder=host("one")).docs.upsert(documents())
    start = len(bench.requests)
    docs = bench.session(embedder=host("one")).docs
    docs.upsert(documents(6))
    docs.upsert(documents(7))
    docs.search(QUESTION)
    assert len(since(bench, start, ReadNote)) == 1
    assert not since(bench, start, WriteNote)
    assert len(measurements(bench)) == 2


def test_who_embeds_nothing_asks_nothing(bench):
    session = bench.applied(embedder=host("one"))
    session.docs.upsert(documents())
    start = len(bench.requests)
    other = bench.session(embedder=host("two", skew="prompt"))
    other.plan()
    other.status()
    docs = other.docs
    assert docs.count() == 5
    assert docs.get("d0") == document("d0")
    assert docs.scroll()
    vector = np.ones(32, np.float32)
    assert docs.search_vector(vector)
    assert docs.upsert(documents()).embedded == 0, "what is unchanged is not embedded"
    assert docs.upsert([Document("d0", document("d0").text, {"lang": "de"})]).embedded == 0
    assert docs.search_many([]) == []
    assert docs.delete(["d1"]) == 1
    assert not since(bench, start, (ReadNote, WriteNote))


def test_a_host_without_a_name_is_the_only_one(bench):
    docs = bench.applied().docs
    docs.upsert(documents())
    docs.search(QUESTION)
    assert not since(bench, 0, (ReadNote, WriteNote))
    assert not measurements(bench)


def test_an_embedder_that_fails_on_canaries_leaves_nothing(bench, monkeypatch):
    def fail(self, request):
        raise EmbedderUnavailable("the model sleeps")

    docs = bench.applied(embedder=host("one")).docs
    monkeypatch.setattr(RecordingEmbedder, "encode", fail)
    with pytest.raises(EmbedderUnavailable, match="sleeps"):
        docs.upsert(documents())
    assert not since(bench, 0)
    monkeypatch.undo()
    assert docs.upsert(documents()).documents == 5


def test_an_interrupted_upsert_is_mended_by_the_next(bench):
    session = bench.applied(embedder=host("one"))

    def fail_records(request, perform):
        if isinstance(request, Write):
            raise BackendDenied("no more")
        return perform(request)

    bench.intercept = fail_records
    with pytest.raises(BackendDenied):
        session.docs.upsert(documents())
    bench.intercept = None
    assert bench.session(embedder=host("one")).docs.upsert(documents()).documents == 5
    assert len(measurements(bench)) == 2


# ------------------------------------------------------------ another host that agrees


@pytest.mark.parametrize("late", [False, True])
def test_a_host_that_agrees_is_compared_once_and_noted(bench, late):
    settings = {"late_chunking": late}
    bench.applied(settings, embedder=host("one")).docs.upsert(documents())
    for _ in range(2):
        docs = bench.session(settings, embedder=host("two", skew="rounding")).docs
        docs.search(QUESTION)
        docs.upsert(documents(7))
        docs.search(QUESTION)
    assert len(measurements(bench)) == 4, "two tasks for each host"
    (found,) = noted(bench, settings).accepted.items()
    assert found[0] == "two"
    assert 0.9995 < found[1].least < 1
    (event,) = [event.data for event in bench.events if event.name == "host_accepted"]
    assert (event["host"], event["made_by"], event["noted"]) == ("two", "one", True)
    assert event["least"] == found[1].least


def test_several_hosts_are_kept(bench):
    for name in ("one", "two", "three"):
        bench.applied(embedder=host(name)).docs.upsert([document(name)])
    assert (noted(bench).host, list(noted(bench).accepted)) == ("one", ["two", "three"])


def test_who_may_only_read_searches_all_the_same(bench):
    bench.applied(embedder=host("one")).docs.upsert(documents())

    def read_only(request, perform):
        if isinstance(request, CHANGES):
            raise BackendDenied("you may only read")
        return perform(request)

    bench.intercept = read_only
    docs = bench.session(embedder=host("two")).docs
    for _ in range(3):
        assert docs.search(QUESTION)
    assert len(measurements(bench)) == 4
    (event,) = [event.data for event in bench.events if event.name == "host_accepted"]
    assert event["noted"] is False


def test_what_is_known_holds_for_a_lease(bench):
    docs = bench.applied(embedder=host("one")).docs
    docs.upsert(documents())
    bench.clock.now += 29
    start = len(bench.requests)
    docs.search(QUESTION)
    assert not since(bench, start, ReadNote)
    bench.clock.now += 2
    docs.search(QUESTION)
    assert len(since(bench, start, ReadNote)) == 1
    assert len(measurements(bench)) == 2


# ------------------------------------------------------------ another host that does not


@pytest.mark.parametrize(("skew", "late"), OTHERS)
def test_a_host_that_gives_other_vectors_is_refused_and_changes_nothing(bench, skew, late):
    settings = {"late_chunking": late}
    bench.applied(settings, embedder=host("one")).docs.upsert(documents())
    before, start = bench.raw(ReadNote(bench.physical(), NOTE)), len(bench.requests)
    docs = bench.session(settings, embedder=host("two", skew=skew)).docs
    with pytest.raises(HostMismatch):
        docs.search(QUESTION)
    with pytest.raises(HostMismatch):
        docs.upsert(documents(7))
    assert not since(bench, start)
    assert bench.raw(ReadNote(bench.physical(), NOTE)) == before
    assert docs.count() == 5
    assert bench.session(settings, embedder=host("one")).docs.search(QUESTION)


def test_late_pooling_is_compared_only_where_it_is_used(bench):
    bench.applied(embedder=host("one")).docs.upsert(documents())
    assert bench.session(embedder=host("two", skew="neighbours")).docs.search(QUESTION)


def test_the_refusal_says_who_how_far_off_and_what_to_do(bench):
    bench.applied(embedder=host("one")).docs.upsert(documents())
    with pytest.raises(HostMismatch) as caught:
        bench.session(embedder=host("two", skew="adapter")).docs.search(QUESTION)
    error, message = caught.value, str(caught.value)
    assert isinstance(error, SpaceError)
    assert (error.made_by, error.host) == ("one", "two")
    assert error.least < error.median < 0.999
    for part in (
        f"collection '{bench.name}' holds vectors of host 'one'",
        "embedder 'model', host 'two', gives other ones",
        "both are called recording-v3",
        "task retrieval.passage: least cosine 0.9",
        "task retrieval.query: least cosine 0.9",
        "least alike: '請在出發前檢查車票和護照。'",
        "each cosine at least 0.995, the median of each task at least 0.999",
        "Nothing was written",
        "nestvec doctor --embedder model --against",
    ):
        assert part in message


def test_a_refused_host_is_not_measured_again_and_again(bench):
    bench.applied(embedder=host("one")).docs.upsert(documents())
    docs = bench.session(embedder=host("two", skew="prompt", batch=2)).docs
    for _ in range(3):
        with pytest.raises(HostMismatch, match="least cosine"):
            docs.search(QUESTION)
    with pytest.raises(HostMismatch):
        docs.upsert(documents(30))
    assert len(measurements(bench)) == 4
    bench.clock.now += 31
    with pytest.raises(HostMismatch):
        docs.search(QUESTION)
    assert len(measurements(bench)) == 6, "after a lease it may have been mended"


def test_refused_documents_leave_what_an_interrupted_run_left(bench):
    """Sweeping is a change, too."""
    docs = bench.applied({"chunking": {"size": 60}}, embedder=host("one")).docs
    docs.upsert([document("a", 60)])

    def fail_second(request, perform):
        if isinstance(request, Write) and since(bench, start, Write)[0] is not request:
            raise BackendDenied("no more")
        return perform(request)

    start, bench.intercept = len(bench.requests), fail_second
    with pytest.raises(BackendDenied):
        docs.upsert([document("a", 60, seed=1)])
    bench.intercept, start = None, len(bench.requests)
    other = bench.session({"chunking": {"size": 60}}, embedder=host("two", skew="prompt")).docs
    with pytest.raises(HostMismatch):
        other.upsert([document("a", 60, seed=2)])
    assert not since(bench, start)
    docs.upsert([document("a", 60, seed=2)])
    assert since(bench, start, Remove)


def test_an_emptied_collection_is_free_for_another_host(bench):
    docs = bench.applied(embedder=host("one")).docs
    docs.upsert(documents())
    other = bench.session(embedder=host("two", skew="prompt")).docs
    docs.delete(everything=True)
    with pytest.raises(HostMismatch):
        other.search(QUESTION)  # a reader changes nothing
    bench.clock.now += 31
    assert other.upsert(documents()).documents == 5
    assert noted(bench).host == "two"
    bench.clock.now += 31
    with pytest.raises(HostMismatch):
        docs.upsert([document("late", seed=9)])


def test_who_was_refused_and_empties_the_collection_may_go_on_at_once(bench):
    bench.applied(embedder=host("one")).docs.upsert(documents())
    docs = bench.session(embedder=host("two", skew="prompt")).docs
    with pytest.raises(HostMismatch):
        docs.upsert(documents(6))
    assert docs.delete(everything=True) == 5
    assert docs.upsert(documents()).documents == 5
    assert noted(bench).host == "two"


# ------------------------------------------------------------ collections without canaries


def test_a_collection_from_before_gets_them_with_the_next_upsert(bench):
    bench.applied().docs.upsert(documents())
    docs = bench.session(embedder=host("one")).docs
    assert docs.search(QUESTION)
    assert docs.search(QUESTION)
    assert (noted(bench), measurements(bench)) == (None, [])
    assert len(since(bench, 0, ReadNote)) == 1, "that there are none is known for a lease"
    docs.upsert(documents(6))
    assert noted(bench).host == "one"


@pytest.mark.parametrize("text", ["{", '{"version": 1}'])
def test_damaged_canaries_stop_embedding_until_they_are_removed(bench, text):
    bench.applied(embedder=host("one")).docs.upsert(documents())
    bench.raw(WriteNote(bench.physical(), NOTE, text))
    docs = bench.session(embedder=host("one")).docs
    start = len(bench.requests)
    for act in (lambda: docs.search(QUESTION), lambda: docs.upsert(documents(6))):
        with pytest.raises(SpaceUnknown, match=f"nestvec delete {bench.name} --canaries"):
            act()
    assert not since(bench, start)
    docs.forget_canaries()
    assert docs.search(QUESTION)
    docs.upsert(documents(6))
    assert noted(bench).host == "one"


def test_canaries_that_were_removed_are_made_by_the_next_upsert_at_once(bench):
    docs = bench.applied(embedder=host("one")).docs
    docs.upsert(documents())
    docs.forget_canaries()
    assert noted(bench) is None
    docs.upsert(documents(6))
    assert noted(bench).host == "one"
    assert docs.hosts() == {"one": None}


def test_damaged_canaries_of_an_empty_collection_are_made_anew(bench):
    docs = bench.applied(embedder=host("one")).docs
    bench.raw(WriteNote(bench.physical(), NOTE, "{"))
    docs.upsert(documents())
    assert noted(bench).host == "one"


def test_each_generation_has_its_own(bench):
    session = bench.applied(embedder=host("one"))
    session.docs.upsert(documents())
    _next_generation(bench, session)
    assert noted(bench) is None
    other = bench.session(embedder=host("two", skew="prompt")).docs
    other.upsert(documents())
    assert noted(bench).host == "two"
    session.docs.search(QUESTION)  # within its lease it reads the old one
    bench.clock.now += 31
    with pytest.raises(HostMismatch):
        session.docs.search(QUESTION)


def test_what_is_known_of_one_generation_is_not_known_of_the_next(bench):
    session = bench.applied(embedder=host("one"))
    session.docs.count()
    bench.clock.now += 20
    session.docs.upsert(documents())
    bench.clock.now += 11  # the pointer is looked up again, before what is known of the host has run out
    _next_generation(bench, session)
    session.docs.upsert(documents())
    assert noted(bench).host == "one"


@pytest.mark.parametrize("dimensions", [1024, 2048])
def test_long_vectors_fit(bench, dimensions):
    settings = {"dimensions": dimensions, "late_chunking": True}
    bench.applied(settings, embedder=host("one", dimensions=2048)).docs.upsert(documents())
    docs = bench.session(settings, embedder=host("two", dimensions=2048, skew="rounding")).docs
    assert docs.search(QUESTION)
    assert list(noted(bench, settings, dimensions=2048).accepted) == ["two"]
    with pytest.raises(HostMismatch):
        bench.session(settings, embedder=host("three", dimensions=2048, skew="neighbours")).docs.search(QUESTION)


def test_nested_vectors_are_compared_as_they_are_stored(bench):
    bench.applied(embedder=host("one", rotation="r1")).docs.upsert(documents())
    assert bench.session(embedder=host("two", rotation="r1")).docs.search(QUESTION)
    canaries = noted(bench, rotation="r1")
    assert list(canaries.accepted) == ["two"]
    assert [rows.shape for rows in canaries.vectors.values()] == [(6, 32), (6, 32)]


# ------------------------------------------------------------ copies


def pair(bench, one, two, **settings):
    block = {"dimensions": 32, **settings}
    names = {f"{bench.name}a": block, f"{bench.name}b": {**block, "embedder": "model"}}
    return bench.session(embedder=one, collections=names), bench.session(embedder=two, collections=names)


def place(bench, letter):
    return bench.physical(f"{bench.name}{letter}")


def note_of(bench, letter):
    return bench.raw(ReadNote(place(bench, letter), NOTE))


def test_a_copy_carries_the_canaries(bench):
    one, two = pair(bench, host("one"), host("two"))
    one.apply()
    a, b = f"{bench.name}a", f"{bench.name}b"
    one[a].upsert(documents())
    two[a].search(QUESTION)
    asked = len(measurements(bench))
    one.copy(a, b)
    assert note_of(bench, "b") == note_of(bench, "a")
    start = len(bench.requests)
    one.copy(a, b)  # again: nothing to do
    assert not since(bench, start)
    assert two[b].search(QUESTION)
    assert len(measurements(bench)) == asked


def test_copies_into_a_collection_of_another_host_that_agrees(bench):
    one, two = pair(bench, host("one"), host("two", skew="rounding"))
    one.apply()
    a, b = f"{bench.name}a", f"{bench.name}b"
    one[a].upsert(documents())
    two[b].upsert([document("d0")])
    two[b].delete("d0")
    asked = len(measurements(bench))
    one.copy(a, b)
    assert '"accepted":{"one":' in note_of(bench, "b")
    one[b].search(QUESTION)
    assert len(measurements(bench)) == asked


def test_copies_into_a_collection_of_another_host_that_does_not_are_refused(bench):
    one, two = pair(bench, host("one"), host("two", skew="adapter"))
    one.apply()
    a, b = f"{bench.name}a", f"{bench.name}b"
    one[a].upsert(documents())
    two[b].upsert([document("d0")])
    start = len(bench.requests)
    with pytest.raises(HostMismatch, match=r"holds vectors of host 'two'; those of .*a', host 'one', are other ones"):
        one.copy(a, b)
    assert not since(bench, start)
    two[b].delete(everything=True)
    one.copy(a, b)
    assert note_of(bench, "b") == note_of(bench, "a")


def test_after_a_copy_a_handle_looks_again(bench):
    one, two = pair(bench, host("one"), host("two", skew="adapter"))
    one.apply()
    a, b = f"{bench.name}a", f"{bench.name}b"
    one[a].upsert(documents())
    assert two[b].search(QUESTION) == []
    two.copy(a, b)
    with pytest.raises(HostMismatch):
        two[b].search(QUESTION)


def test_canaries_of_other_texts_cannot_be_compared(bench, monkeypatch):
    one, two = pair(bench, host("one"), host("two"))
    one.apply()
    a, b = f"{bench.name}a", f"{bench.name}b"
    one[a].upsert(documents())
    two[b].upsert([document("d0")])
    monkeypatch.setitem(TEXTS, 2, ("others",) * 6)
    vectors = Canaries.read(note_of(bench, "b"), two[b].target.spec.space, b).vectors
    bench.raw(WriteNote(place(bench, "b"), NOTE, Canaries.of("two", vectors, 2).to_text()))
    with pytest.raises(CollectionConflict, match=f"canaries of '{a}' and '{b}' have versions 1 and 2"):
        one.copy(a, b)


def test_copies_of_collections_without_canaries(bench):
    bare, one = pair(bench, host(""), host("one"))
    bare.apply()
    a, b = f"{bench.name}a", f"{bench.name}b"
    bare[a].upsert(documents())
    bare.copy(a, b)
    assert note_of(bench, "b") is None
    one[b].upsert([document("d0", seed=77)])
    kept = note_of(bench, "b")
    bare[b].delete(everything=True)
    bare.copy(a, b)
    assert note_of(bench, "b") == kept


# ------------------------------------------------------------ stepped


@pytest.fixture
def opened(open_docs):
    client = open_docs(embedder={"host": "two"})
    collection = client["docs"]
    assert collection.count() == 0
    return OpenCollection(collection._among.live.state, Asking())


def rows(opened, seed=0):
    legs = legs_of(opened.spec.space)
    made = np.random.default_rng(seed).standard_normal((6, 32)).astype(np.float32)
    return {leg: normalize(made) for leg in legs}


def encoded(vectors):
    return Encoded(tuple(vectors[i : i + 1] for i in range(len(vectors))))


def test_a_search_step_by_step(opened):
    """Note read, each task embedded once, acceptance noted, then — and only then — the question."""
    vectors = rows(opened)
    step = Stepper(search(opened, ["river"], SearchOptions()))
    assert step.request == ReadNote("docs_1", NOTE)
    asked = step.answer(Canaries.of("one", vectors).to_text())
    for leg, rows_of in vectors.items():
        assert isinstance(asked, Encode)
        assert (asked.task, asked.fresh) == (leg.task, True)
        asked = step.answer(encoded(rows_of))
    assert isinstance(asked, WriteNote)
    assert [event.name for event in step.events] == []
    asked = step.answer()
    assert [event.name for event in step.events] == ["host_accepted"]
    assert isinstance(asked, Encode)
    assert not asked.fresh
    assert isinstance(step.answer(encoded(vectors[leg][:1])), Query)


def test_a_refusal_step_by_step(opened):
    step = Stepper(search(opened, ["river"], SearchOptions()))
    step.answer(Canaries.of("one", rows(opened)).to_text())
    others = rows(opened, seed=1)
    first, second = legs_of(opened.spec.space)
    step.answer(encoded(others[first]))
    with pytest.raises(HostMismatch):
        step.answer(encoded(others[second]))
    assert [type(request) for request in step.requests] == [ReadNote, Encode, Encode]


def test_threads_that_search_at_once_measure_once(open_docs):
    client = open_docs(embedder={"host": "one"})
    docs = client["docs"]
    docs.upsert(documents())
    store, other = client.adapter("store"), open_docs(apply=False, embedder={"host": "two"})
    other._connections.adapters.put("store", store)
    gate = threading.Barrier(8)

    def ask():
        gate.wait()
        other["docs"].search(QUESTION)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([request for request in other.embedder("model").requests if is_canary(request)]) == 2


def test_an_adopted_collection_has_none(open_docs, monkeypatch):
    from nestvec_testing.memory import make_foreign

    client = open_docs(
        apply=False,
        embedder={"host": "one"},
        adopt=True,
        foreign={"collection": "theirs", "text": "body"},
    )
    texts = [words(8, i) for i in range(5)]
    vectors = client.embed(texts, task="retrieval.passage", dimensions=32)
    make_foreign(client.adapter("store"), "theirs", {"": vectors}, [{"body": text} for text in texts])
    client.apply()
    client.embedder("model").requests.clear()  # of the texts by which an adoption is checked
    monkeypatch.setattr(client.adapter("store"), "read_note", None)  # nobody may ask
    assert client["docs"].search(texts[0])
    assert client["docs"].hosts() == {}
    assert not client.adapter("store")._collections["theirs"].notes
    assert not [request for request in client.embedder("model").requests if is_canary(request)]
    with pytest.raises(Unsupported, match="was adopted"):
        client["docs"].forget_canaries()


# ------------------------------------------------------------ models that take few tokens (words, here)

FEW = [Document("a", "one two three"), Document("b", "four five")]


@pytest.mark.parametrize("late", [False, True])
def test_a_model_that_takes_few_tokens_leaves_short_texts_by_which_any_host_is_compared(bench, late):
    settings = {"late_chunking": late}
    bench.applied(settings, embedder=host("small", max_tokens=20)).docs.upsert(FEW)
    assert noted(bench, settings).texts == TEXTS[SHORT]
    assert bench.session(settings, embedder=host("large")).docs.search("three")
    assert noted(bench, settings).version == SHORT
    assert list(noted(bench, settings).accepted) == ["large"]
    for skew in ("prompt", "neighbours" if late else "pooling"):
        with pytest.raises(HostMismatch):
            bench.session(settings, embedder=host(skew, skew=skew, max_tokens=20)).docs.search("three")


def test_a_host_that_does_not_take_the_texts_that_are_there_is_told_so_and_changes_nothing(bench):
    bench.applied(embedder=host("large")).docs.upsert(FEW)
    docs, start = bench.session(embedder=host("small", max_tokens=20)).docs, len(bench.requests)
    for embed in (lambda: docs.upsert([Document("c", "six")]), lambda: docs.search("three")):
        with pytest.raises(EmbedderRefused) as caught:
            embed()
        for part in (
            f"collection '{bench.name}': embedder 'model' refused the canaries, fixed texts by which hosts",
            "nothing was embedded",
            "words are more than the 20",
            "'Wer eine Rechnung nicht innerhalb",
            "raise its max_tokens",
            "or embed with host 'large', which made the canaries",
        ):
            assert part in str(caught.value)
    assert not since(bench, start)
    assert noted(bench).version == VERSION


def test_beside_an_empty_collection_it_leaves_its_own(bench):
    docs = bench.applied(embedder=host("large")).docs
    docs.upsert(FEW)
    docs.delete(["a", "b"])
    bench.session(embedder=host("small", max_tokens=20)).docs.upsert(FEW)
    assert (noted(bench).host, noted(bench).version) == ("small", SHORT)


def test_a_model_that_takes_hardly_any_is_told_so(bench):
    docs = bench.applied(embedder=host("tiny", max_tokens=2)).docs
    with pytest.raises(EmbedderRefused, match=r"refused the canaries.* such texts as 'The library opens") as caught:
        docs.upsert([Document("a", "one")])
    assert "which made the canaries" not in str(caught.value)
    assert not since(bench, 0)

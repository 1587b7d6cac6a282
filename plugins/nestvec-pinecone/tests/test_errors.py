"""Failures as nestvec's errors: which, what they say, and that nothing of the vendor's or the key gets out."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nestvec.contract import Count, Describe, Drop, Fetch, Query, Remove, ResolveAlias, Scroll
from nestvec.errors import (
    BackendDenied,
    BackendRefused,
    BackendUnavailable,
    CollectionNotFound,
    ConfigError,
    NestvecError,
    SecretError,
)
from nestvec.filters import F, resolve
from nestvec.types import Metric
from nestvec_pinecone.options import PineconeOptions
from nestvec_pinecone.testing import Cut, HttpStatus, Malformed

STATUSES = {
    400: BackendRefused,
    401: BackendDenied,
    402: BackendDenied,
    403: BackendDenied,
    404: CollectionNotFound,
    408: BackendUnavailable,
    413: BackendRefused,
    422: BackendRefused,
    429: BackendUnavailable,
    500: BackendUnavailable,
    503: BackendUnavailable,
    529: BackendUnavailable,
}


def question(kit):
    return Query("docs-1", kit.vectors([1, 0, 0]), Metric.COSINE, 1)


@pytest.mark.parametrize("status", STATUSES)
def test_statuses_of_the_data_plane(kit, adapter, emulator, status):
    adapter.create(kit.create())
    emulator.inject(HttpStatus(status=status, message="what the server said"), path="/query", times=2)
    with pytest.raises(STATUSES[status], match="what the server said") as caught:
        adapter.query(question(kit))
    assert type(caught.value) is STATUSES[status]
    for part in (str(status), "query", "'docs-1'", emulator.url):
        assert part in str(caught.value)
    assert caught.value.__cause__ is not None
    assert emulator.api_key not in str(caught.value)


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
def test_statuses_of_the_control_plane(kit, adapter, emulator, status):
    emulator.inject(HttpStatus(status=status, message="what the server said"), path="/indexes*")
    with pytest.raises(STATUSES[status], match="what the server said"):
        adapter.describe(Describe("docs-1"))


def test_a_wrong_key_is_denied_on_both_planes(kit, open_adapter, emulator, monkeypatch):
    open_adapter().create(kit.create())
    monkeypatch.setenv("OTHER_KEY", "wrong-key-value")
    for where in ({"control_host": emulator.url}, {"index_host": emulator.host("docs-1")}):
        other = open_adapter(api_key={"env": "OTHER_KEY"}, **where)
        with pytest.raises(BackendDenied, match="api_key") as caught:
            other.resolve_alias(ResolveAlias("docs"))
        assert "wrong-key-value" not in repr(caught.value) + repr(other)


@pytest.mark.parametrize("fault", [Cut(), Malformed(), Cut(applied=True)], ids=["cut", "malformed", "cut after"])
def test_broken_replies_are_retryable(kit, adapter, emulator, fault):
    adapter.create(kit.create())
    adapter.write(kit.write([kit.record(0)]))
    calls = {
        "/vectors/upsert": lambda: adapter.write(kit.write([kit.record(0)])),
        "/vectors/fetch": lambda: adapter.fetch(Fetch("docs-1", [kit.identity(0)])),
        "/vectors/update": lambda: adapter.count(Count("docs-1")),
        "/vectors/fetch_by_metadata": lambda: adapter.scroll(Scroll("docs-1")),
        "/query": lambda: adapter.query(question(kit)),
        "/indexes": lambda: adapter.resolve_alias(ResolveAlias("docs")),
    }
    for path, call in calls.items():
        emulator.inject(fault, path=path)
        with pytest.raises(BackendUnavailable) as caught:
            call()
        assert caught.value.retryable
        assert emulator.pending_faults == 0
        call()
    emulator.inject(fault, path="/vectors/delete")
    if not isinstance(fault, Malformed):
        with pytest.raises(BackendUnavailable):
            adapter.remove(Remove("docs-1", [kit.identity(0)]))
    adapter.remove(Remove("docs-1", [kit.identity(0)]))
    assert adapter.count(Count("docs-1")) == 0


def test_a_partial_write_is_not_taken_for_a_whole_one(kit, adapter, emulator):
    adapter.create(kit.create())
    emulator.inject(Malformed(content=b'{"upsertedCount": 1}'), path="/vectors/upsert")
    with pytest.raises(BackendUnavailable, match="1 of 2"):
        adapter.write(kit.write([kit.record(0), kit.record(1)]))


def test_what_was_sent_before_a_failure_is_in_order(kit, adapter, emulator):
    adapter.create(kit.create())
    emulator.inject(HttpStatus(status=503), path="/vectors/upsert", skip=1)
    with pytest.raises(BackendUnavailable):
        adapter.write(kit.write([kit.record(n) for n in range(2500)]))
    assert len(emulator.sent("/vectors/upsert")) == 2
    assert adapter.count(Count("docs-1")) == 1000


def test_an_unreachable_control_plane_is_told(open_adapter):
    with pytest.raises(BackendUnavailable, match=r"cannot be reached.*127\.0\.0\.1:9"):
        open_adapter(control_host="http://127.0.0.1:9").resolve_alias(ResolveAlias("docs"))


def test_a_dropped_collection_is_not_found_by_who_knew_its_place(kit, open_adapter, emulator):
    """Whether its host answers 404, or does not answer at all any more."""
    reader, other = open_adapter(), open_adapter()
    for fault in (None, Cut()):
        reader.create(kit.create())
        assert reader.count(Count("docs-1")) == 0
        other.drop(Drop("docs-1"))
        if fault is not None:
            emulator.inject(fault, path="/vectors/update")
        with pytest.raises(CollectionNotFound, match="docs-1"):
            reader.count(Count("docs-1"))
        reader.drop(Drop("docs-1"))


def test_a_recreated_collection_is_found_where_it_is_now(kit, open_adapter, emulator):
    reader, other = open_adapter(), open_adapter()
    reader.create(kit.create())
    assert reader.count(Count("docs-1")) == 0
    other.drop(Drop("docs-1"))
    other.create_extended(kit.extended(size=3))
    other.of_tenant("acme").write(kit.write([kit.record(0)]))
    emulator.inject(HttpStatus(status=404, message="moved"), path="/vectors/update")
    assert reader.count(Count("docs-1")) == 1


def test_a_used_up_adapter_says_so(kit, adapter):
    adapter.create(kit.create())
    adapter.close()
    with pytest.raises(BackendRefused, match="closed"):
        adapter.count(Count("docs-1"))


def test_somebody_elses_index_is_described_but_not_vouched_for(kit, adapter, emulator):
    import pinecone

    client = pinecone.Pinecone(api_key=emulator.api_key, host=emulator.url)
    client.indexes.create(name="theirs", dimension=4, metric="euclidean", timeout=-1, tags={"team": "search"})
    client.close()
    info = adapter.describe(Describe("theirs"))
    assert (dict(info.vectors), info.metric, info.record) == ({"dense": 4}, Metric.EUCLIDEAN, None)


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"api_key": "pcsk_literal"}, "literally"),
        ({"index_host": "docs.svc.pinecone.io", "region": "us-east-1"}, "region"),
        ({"index_host": "docs.svc.pinecone.io", "control_host": "http://localhost:5080"}, "control_host"),
        ({"control_host": "http://pinecone.example.com"}, "allow_http_key"),
        ({"index_host": "https://user:word@docs.svc.pinecone.io"}, "credentials"),
        ({"control_host": "https://api.pinecone.io?x=1"}, r"\?"),
        ({"cloud": "moon"}, "cloud"),
        ({"concurrency": 0}, "concurrency"),
        ({"metric": "cosine"}, "metric"),
    ],
)
def test_options_that_cannot_be(values, told):
    with pytest.raises(ValueError, match=told) as caught:
        PineconeOptions.model_validate(values)
    assert "pcsk_literal" not in str(caught.value)
    assert "word" not in str(caught.value).replace("keyword", "")


def test_hosts_are_taken_as_the_console_shows_them():
    assert PineconeOptions(index_host="docs-1.svc.pinecone.io").index_host == "https://docs-1.svc.pinecone.io"
    assert PineconeOptions(control_host="http://pinecone.example", allow_http_key=True).control_host is not None
    assert PineconeOptions(control_host="http://10.0.0.3:5080/").control_host == "http://10.0.0.3:5080"


def test_a_missing_or_impossible_key_is_told_on_opening(kit, form, monkeypatch):
    monkeypatch.delenv("PINECONE_API_KEY", raising=False)
    with pytest.raises(SecretError, match="PINECONE_API_KEY"):
        kit.open(form, api_key={"env": "PINECONE_API_KEY"})
    monkeypatch.setenv("PINECONE_API_KEY", "kéy")
    with pytest.raises(ConfigError, match="characters") as caught:
        kit.open(form, api_key={"env": "PINECONE_API_KEY"})
    assert "kéy" not in str(caught.value)
    assert isinstance(caught.value, NestvecError)


def test_the_environment_does_not_redirect_requests(kit, open_adapter, emulator, monkeypatch):
    monkeypatch.setenv("PINECONE_CONTROLLER_HOST", "http://127.0.0.1:9")
    from nestvec_pinecone.client import open_client

    client = open_client(PineconeOptions(), "key", None, blocking=True)
    assert client._config.host == "https://api.pinecone.io"
    client.close()


def test_the_entry_module_is_light():
    script = (
        "import sys, nestvec_pinecone.plugin as p; b = p.nestvec_backend(); b.capabilities(b.options());"
        "heavy = {'pinecone', 'numpy', 'httpx', 'orjson'} & set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("within_one_index", [False, True])
@pytest.mark.parametrize("asked", ["count", "scroll", "count some"])
def test_a_server_that_cannot_fetch_by_metadata_is_said_to_need_scanning(
    kit, open_adapter, emulator, within_one_index, asked
):
    """Writing and searching work there, so it is not the address."""
    where = {"index_host": emulator.host("made")} if within_one_index else {}
    if within_one_index:
        open_adapter().create(kit.create("made"))
    emulator.dial(recent=False)
    opened = open_adapter(**where)
    opened.create(kit.create())
    opened.write(kit.write([kit.record(0, lang="de")]))
    assert opened.query(Query("docs-1", kit.vectors([1, 0, 0]), Metric.COSINE, 1))[0]
    calls = {
        "count": lambda: opened.count(Count("docs-1")),
        "count some": lambda: opened.count(Count("docs-1", resolve(F.lang == "de", kit.FIELDS))),
        "scroll": lambda: opened.scroll(Scroll("docs-1")),
    }
    emulator.inject(HttpStatus(status=404, message="Not Found"), path="/vectors/update", times=None)
    with pytest.raises((BackendRefused, CollectionNotFound), match="scan = true"):
        calls[asked]()


def test_a_collection_that_is_gone_says_nothing_of_scanning_at_pinecone(kit, open_adapter):
    opened = open_adapter()
    with pytest.raises(CollectionNotFound) as caught:
        opened.count(Count("docs-9"))
    assert "scan" not in str(caught.value)

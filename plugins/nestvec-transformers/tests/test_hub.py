"""Weights by their name on the hub: nothing is fetched unasked, and what cannot be fetched is told in words.

The hub is a small one on this machine; the client is huggingface_hub itself.
"""

from __future__ import annotations

import hashlib
import json
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

from nestvec.errors import ConfigError, EmbedderUnavailable
from nestvec_transformers.options import TransformersOptions

NAME, COMMIT = "acme/tiny", "0123456789abcdef0123456789abcdef01234567"
#: The answers of a hub that has none of it.
REFUSED = {
    "acme/gated": (403, "GatedRepo"),
    "acme/nowhere": (404, "RepoNotFound"),
    "acme/broken": (500, ""),
}


def _digest(file):
    return hashlib.sha1(file.read_bytes()).hexdigest()


class Hub(BaseHTTPRequestHandler):
    """One repository with one commit, tagged v1; `asked` are the paths of all requests."""

    def __init__(self, folder, asked, *connection):
        self.folder, self.asked = folder, asked
        super().__init__(*connection)

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.asked.append(path)
        name = "/".join(path.removeprefix("/api/models").split("/")[1:3])
        if name != NAME:
            self._answer(*REFUSED[name])
        elif path in (f"/api/models/{NAME}/revision/v1", f"/api/models/{NAME}/revision/{COMMIT}"):
            self._answer(200, body=json.dumps({"id": NAME, "sha": COMMIT, "siblings": []}).encode())
        elif path.startswith(f"/api/models/{NAME}/tree/{COMMIT}"):
            files = [each for each in self.folder.rglob("*") if each.is_file()]
            tree = [self._entry(each) for each in files]
            self._answer(200, body=json.dumps(tree).encode())
        elif path.startswith(f"/{NAME}/resolve/{COMMIT}/"):
            file = self.folder / path.removeprefix(f"/{NAME}/resolve/{COMMIT}/")
            self._answer(200, body=file.read_bytes(), ETag=f'"{_digest(file)}"')
        else:
            self._answer(404, "RevisionNotFound")

    def do_HEAD(self):
        self.do_GET()

    def _entry(self, file):
        place = file.relative_to(self.folder).as_posix()
        return {"type": "file", "path": place, "size": file.stat().st_size, "oid": _digest(file)}

    def _answer(self, status, code="", body=b"", **headers):
        self.send_response(status)
        sent = {"X-Error-Code": code, "X-Repo-Commit": COMMIT, "Content-Length": str(len(body)), **headers}
        for name, value in sent.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *line):
        pass


@pytest.fixture
def hub(copied, tmp_path, monkeypatch):
    """The paths of the requests that reach it. Its repository holds more than is needed."""
    (copied / "onnx").mkdir()
    (copied / "onnx" / "model.safetensors").write_bytes(b"for another runtime")
    (copied / "README.md").write_text("read me")
    asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, copied, asked))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def opened(hub):
    from nestvec_transformers.embedder import TransformersEmbedder

    def open_one(**values):
        block = {"repository": NAME, "revision": "v1", "device": "cpu", **values}
        return TransformersEmbedder(TransformersOptions.model_validate(block))

    return open_one


def refused(opened, kind=ConfigError, **values):
    with pytest.raises(kind) as caught:
        opened(**values)
    return str(caught.value)


@pytest.mark.parametrize("revision", ["v1", COMMIT])
def test_what_was_downloaded_is_found_again_without_the_network(opened, hub, embedder, kit, revision):
    wanted = kit.rows(embedder, *kit.TEXTS)
    assert abs(kit.rows(opened(revision=revision, download=True), *kit.TEXTS) - wanted).max() == 0
    fetched = {path.partition(f"{COMMIT}/")[2] for path in hub if "/resolve/" in path}
    assert {"config.json", "model.safetensors", "tokenizer.json", "separation/adapter_config.json"} <= fetched
    assert not {path for path in fetched if "onnx" in path or "README" in path}
    hub.clear()
    assert abs(kit.rows(opened(revision=revision), *kit.TEXTS) - wanted).max() == 0
    assert hub == []


def test_nothing_is_fetched_unasked(opened, hub):
    assert refused(opened) == (
        f"{NAME} at v1 is not, or not whole, on this machine; get it with: hf download {NAME} --revision v1 — or write "
        f"download = true — or, for machines without a network, add --local-dir DIR, copy the folder, and write "
        f'path = "DIR" instead of repository'
    )
    assert hub == []


def test_the_checkpoint_that_is_taken_unless_another_is_named(opened, hub):
    assert "hf download jinaai/jina-embeddings-v3-hf --revision v1" in refused(opened, repository=None)
    assert hub == []


@pytest.mark.parametrize("revision", ["v2", COMMIT[::-1]])
def test_a_revision_that_is_not_there(opened, revision):
    assert refused(opened, revision=revision, download=True) == (
        f"revision: {NAME} has no {revision!r}; look at its commits and tags on the hub"
    )


def test_a_repository_that_is_not_there(opened):
    told = refused(opened, repository="acme/nowhere", download=True)
    assert told.startswith("repository: the hub has no 'acme/nowhere', or shows it to its owners only")


def test_a_repository_with_terms(opened):
    told = refused(opened, repository="acme/gated", download=True)
    assert told.startswith("the hub gives acme/gated only to those who accepted its terms: do so at https://hugg")
    assert "HF_TOKEN" in told


def test_a_hub_that_is_down(opened):
    told = refused(opened, EmbedderUnavailable, repository="acme/broken", download=True)
    assert told.startswith("acme/broken cannot be fetched from the hub (")
    assert "hf download acme/broken --revision v1" in told


def test_no_network(opened, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    told = refused(opened, EmbedderUnavailable, download=True)
    assert told.startswith(f"{NAME} cannot be fetched from the hub (")
    assert 'path = "DIR"' in told


def test_a_download_that_was_interrupted(opened, hub, tmp_path):
    opened(download=True)
    (file,) = (tmp_path / "cache").glob("*/snapshots/*/separation/adapter_model.safetensors")
    file.unlink()
    assert refused(opened).startswith(f"{NAME} at v1 is not, or not whole, on this machine; get it with: hf download")

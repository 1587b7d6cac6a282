"""Secrets stay secret, and connections encrypted, whatever the configuration looks like."""

from __future__ import annotations

import traceback

import pytest
from pydantic import ValidationError

from nestvec.embedders.jina.embedder import _tls
from nestvec.embedders.jina.options import JinaOptions
from nestvec.errors import EmbedderError, SecretError
from nestvec_testing.emulators.jina import HttpStatus

from .conftest import KEY, ask, group


@pytest.mark.parametrize("address", ["HTTPS://api.example/v1", " https://api.example/v1"])
def test_certificates_are_verified_however_the_scheme_is_written(address):
    options = JinaOptions.model_validate({"base_url": address, "api_key": {"env": "K"}})
    assert _tls(options) is True
    assert options.url == "https://api.example/v1/embeddings"


@pytest.mark.parametrize("key", ["jina_hush\nhush", "jina_hushähush", "jina_hush\x00hush"])
def test_a_key_that_no_header_can_carry_is_not_printed(open_jina, emulator, monkeypatch, tmp_path, key):
    place = tmp_path / "key"
    place.write_text(key)
    with pytest.raises(SecretError, match="api_key") as caught:
        open_jina(api_key={"file": place}).encode(ask(group("a", "text")))
    assert "hush" not in str(caught.value)
    assert not emulator.exchanges


def test_half_a_key_is_not_printed_either(open_jina, emulator):
    emulator.inject(HttpStatus(status=401, message="x" * 270 + emulator.api_key))
    with pytest.raises(EmbedderError) as caught:
        open_jina().encode(ask(group("a", "text")))
    assert emulator.api_key[:10] not in str(caught.value)


def test_what_is_no_secret_is_left_in_messages(open_jina, emulator):
    emulator.inject(HttpStatus(status=500), times=None)
    with pytest.raises(EmbedderError, match="status 500"):
        open_jina(headers={"x-version": "0"}, attempts=1).encode(ask(group("a", "text")))


@pytest.mark.parametrize("headers", [{"x-team": "a\r\nx-admin: 1"}, {"x team": "a"}, {"x-team": "ä"}])
def test_impossible_headers_are_refused_when_the_configuration_is_read(headers):
    with pytest.raises(ValidationError, match="headers"):
        JinaOptions.model_validate({"headers": headers, "api_key": {"env": KEY}})


def test_a_proxy_of_the_environment_that_cannot_be_used_is_named(open_jina, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "foo://127.0.0.1:1")
    with pytest.raises(EmbedderError, match="proxy"):
        open_jina().encode(ask(group("a", "text")))


def test_a_proxy_of_the_environment_whose_address_is_none_is_not_repeated(open_jina, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "http://user:hunter2")
    with pytest.raises(EmbedderError, match="proxy") as caught:
        open_jina().encode(ask(group("a", "text")))
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_an_address_that_is_none_is_named():
    with pytest.raises(ValidationError, match="base_url"):
        JinaOptions.model_validate({"base_url": "http://127.0.0.1:1/a\x01b", "api_key": {"env": KEY}})

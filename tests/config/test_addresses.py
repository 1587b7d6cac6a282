"""Addresses in options: what is refused, and which ones send secrets unencrypted."""

from __future__ import annotations

import traceback

import pytest

from nestvec.addresses import is_plain, split_address

EXAMPLE = "http://localhost:6333"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("ftp://localhost", "such as http://localhost:6333, got ftp://localhost"),
        ("localhost:6333", "such as"),
        ("http://", "such as"),
        ("http://localhost:70000", "out of range"),
        ("http://localhost:x", "port"),
    ],
)
def test_what_is_no_address(address, told):
    with pytest.raises(ValueError, match=told):
        split_address(address, example=EXAMPLE)


@pytest.mark.parametrize(
    "address", ["http://user:hunter2@host", "ftp://user:hunter2@host", "http://:hunter2@", "x://hunter2@"]
)
def test_credentials_are_refused_and_not_repeated(address):
    with pytest.raises(ValueError, match="must not contain credentials; use token") as caught:
        split_address(address, example=EXAMPLE, instead="token")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("tail", ["?a=1", "#a", "/path?a", "?", "#"])
def test_tails(tail):
    with pytest.raises(ValueError, match=r"must end after its path: no \? and no #"):
        split_address(EXAMPLE + tail, example=EXAMPLE)
    split_address(EXAMPLE + "/path", example=EXAMPLE)


@pytest.mark.parametrize(
    "address",
    [
        "hunter2",
        "hunter2://",
        "http://host/v1?key=hunter2",
        "host/v1?key=hunter2",
        "http://host/v1#hunter2",
        "http://host/v1;x?hunter2#hunter2",
        "ftp://host/hunter2",
        "http://user:hunter2",  # taken for a port
        "http://hunter2\uff0fx",  # looks like a / once it is normalised
        "http://[hunter2",
        "http://[hunter2]",
        "http://host:1/a b/hunter2",
        "http://host\\hunter2",
        "http://ho\nst/hunter2",
        "http:// user:hunter2@host",
        "//user:hunter2@host",
        "http://host/user:hunter2@x",
    ],
)
def test_nothing_that_could_be_a_secret_is_repeated(address):
    with pytest.raises(ValueError, match=r"address") as caught:
        split_address(address, example=EXAMPLE)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("address", "plain", "plain_beyond_the_network"),
    [
        ("https://example.com", False, False),
        ("http://localhost:1", False, False),
        ("http://db.localhost", False, False),
        ("http://127.0.0.9", False, False),
        ("http://[::1]:1", False, False),
        ("http://10.0.0.7", True, False),
        ("http://8.8.8.8", True, True),
        ("http://example.com", True, True),
        ("http://localhost.example.com", True, True),
    ],
)
def test_where_secrets_would_travel_unencrypted(address, plain, plain_beyond_the_network):
    parts = split_address(address, example=EXAMPLE)
    assert (is_plain(parts), is_plain(parts, private_is_safe=True)) == (plain, plain_beyond_the_network)

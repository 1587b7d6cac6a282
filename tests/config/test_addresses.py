"""Addresses in options: what is refused, and which ones send secrets unencrypted."""

from __future__ import annotations

import pytest

from nestvec.addresses import is_plain, refuse_tail, split_address

EXAMPLE = "http://localhost:6333"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("ftp://localhost", "such as http://localhost:6333, got 'ftp://localhost'"),
        ("localhost:6333", "such as"),
        ("http://", "such as"),
        ("http://localhost:70000", "out of range"),
        ("http://localhost:x", "Port"),
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


@pytest.mark.parametrize("tail", ["?a=1", "#a", "/path?a"])
def test_tails(tail):
    with pytest.raises(ValueError, match=r"must end after its path: no \? and no #"):
        refuse_tail(split_address(EXAMPLE + tail, example=EXAMPLE))
    refuse_tail(split_address(EXAMPLE + "/path", example=EXAMPLE))


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

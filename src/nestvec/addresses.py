"""Addresses of servers in options: what they may look like, and where a secret may travel unencrypted."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit


def split_address(address: str, *, example: str, instead: str = "api_key") -> SplitResult:
    """The parts of an http(s) address, for validators of options.

    Raises ValueError saying what is wrong with it: `example` is a right one, `instead` names the option that
    credentials belong to.
    """
    parts = urlsplit(address)
    if "@" in parts.netloc:
        # Looked at first, because no message may repeat the address: it holds a password.
        raise ValueError(f"the address must not contain credentials; use {instead}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected an address such as {example}, got {address!r}")
    _ = parts.port  # raises ValueError for a port that is no number in range
    return parts


def refuse_tail(parts: SplitResult) -> None:
    """Raises ValueError for an address with a query or a fragment."""
    if parts.query or parts.fragment:
        raise ValueError(f"the address {parts.geturl()!r} must end after its path: no ? and no #")


def is_plain(parts: SplitResult, *, private_is_safe: bool = False) -> bool:
    """Whether what is sent there leaves this machine (or, with `private_is_safe`, its network) unencrypted."""
    host = parts.hostname or ""
    if parts.scheme != "http" or host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return True
    return not (address.is_loopback or (private_is_safe and address.is_private))

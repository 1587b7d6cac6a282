"""Addresses of servers in options: what they may look like, and where a secret may travel unencrypted."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit


def split_address(address: str, *, example: str, instead: str = "api_key") -> SplitResult:
    """The parts of an http(s) address that ends after its path, for validators of options.

    Raises ValueError saying what is wrong with it: `example` is a right one, `instead` names the option that
    credentials belong to. No message repeats what could be a secret: all but scheme and host.
    """
    address = address.strip()
    if "@" in address:
        raise ValueError(f"the address must not contain credentials; use {instead}")
    if "?" in address or "#" in address:
        raise ValueError(f"the address must end after its path: no ? and no #; for a key use {instead}")
    if "\\" in address or not address.isprintable() or " " in address:
        raise ValueError("the address has a blank, a control character or a backslash in it")
    try:
        parts = urlsplit(address)
    except ValueError:
        raise ValueError(f"expected an address such as {example}") from None  # the cause repeats it
    _check_origin(parts, example)
    return parts


def _check_origin(parts: SplitResult, example: str) -> None:
    if parts.scheme not in ("http", "https") or not parts.hostname:
        got = f", got {parts.scheme}://{parts.hostname}" if parts.scheme and parts.hostname else ""
        raise ValueError(f"expected an address such as {example}{got}")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("the port in the address is no number, or out of range (0 to 65535)") from None


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

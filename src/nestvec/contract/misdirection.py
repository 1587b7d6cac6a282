"""What a connection's failure says of its address: another protocol is spoken there, and asking again does not help."""

from __future__ import annotations

import re
from typing import Final

_NO_TLS: Final = "no TLS is spoken at that port: write http:// instead of https://, or take the port that has TLS"
_TLS: Final = "TLS is spoken at that port: write https:// instead of http://"
_NO_HTTP: Final = "that port does not speak HTTP/1.1: it may be one of gRPC, of TLS, or of something else"
_NO_GRPC: Final = "HTTP/1.1 or something else is spoken at that port, not gRPC"
_UNTRUSTED: Final = (
    "it has a certificate that is not trusted here, or another host's: set ca to your authority's certificate"
)

#: Words of OpenSSL, BoringSSL, h11, gRPC, and of servers that notice it themselves; and what they mean.
_SIGNS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), meaning)
    for pattern, meaning in (
        (r"certificate.verify.failed|hostname mismatch|certificate is not valid for", _UNTRUSTED),
        (r"wrong.version.number|record layer failure|packet length too long|ssl.*\bhttp_request\b", _NO_TLS),
        (r"http request (was sent )?to (an )?https", _TLS),
        (r"illegal status line: bytearray\(b'\\x1[56]\\x03", _TLS),  # an alert or a handshake of TLS
        (r"illegal (status|request) line", _NO_HTTP),
        (r"parsing http/2|http1\.x server|http2 header with status", _NO_GRPC),
    )
)
#: What a TLS server does to somebody who does not begin with TLS, and a server that stops to anybody.
_HUNG_UP: Final = re.compile(
    r"server disconnected|readerror|connection reset|socket closed|end ?of ?file|connection closed|broken pipe",
    re.IGNORECASE,
)


def misdirected(told: str) -> str | None:
    """What is wrong with an address, by the words of a connection that failed; None where time may mend it."""
    return next((meaning for sign, meaning in _SIGNS if sign.search(told)), None)


def perhaps_encrypted(told: str, address: str) -> str:
    """For the end of a message: a plain `address` hung up, as servers do that stop, and those that want TLS."""
    if not _HUNG_UP.search(told) or "http://" not in address:
        return ""
    return "; if it does so every time, TLS may be spoken there: write https://, or take another port"

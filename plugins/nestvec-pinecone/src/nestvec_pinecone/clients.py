"""Opening the SDK's clients. All that depends on the SDK's inside is here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from nestvec.errors import SecretError
from nestvec_pinecone.options import PineconeOptions

if TYPE_CHECKING:
    from pinecone import AsyncIndex, AsyncPinecone, Index, Pinecone

#: Where the control plane is. Said explicitly: the SDK would let an environment variable decide.
PINECONE: Final = "https://api.pinecone.io"
#: The SDK's clients for one index have no method that sends a ready body or that shows a deletion's headers.
POST: Final = "_http.post"


def open_control(options: PineconeOptions, key: str) -> Pinecone:
    """The control plane's client. Connects at the first request."""
    import pinecone

    host = options.control_host or PINECONE
    return pinecone.Pinecone(api_key=key, host=host, retry_config=_no_retries(), **_common(options, host))


def open_control_async(options: PineconeOptions, key: str) -> AsyncPinecone:
    """Its asynchronous form."""
    import pinecone

    host = options.control_host or PINECONE
    return pinecone.AsyncPinecone(api_key=key, host=host, retry_config=_no_retries(), **_common(options, host))


def open_index(options: PineconeOptions, key: str, host: str) -> Index:
    """The client of one index."""
    import pinecone

    index = pinecone.Index(host=host, api_key=key, **_common(options, host))
    unused = index._http  # noqa: SLF001 - see _without_retries
    _without_retries(index)
    unused.close()
    return index


def open_index_async(options: PineconeOptions, key: str, host: str) -> AsyncIndex:
    """Its asynchronous form."""
    import pinecone

    index = pinecone.AsyncIndex(host=host, api_key=key, **_common(options, host))
    _without_retries(index)
    return index


def read_key(options: PineconeOptions) -> str:
    """The API key. Raises `SecretError`."""
    key = options.api_key.reveal("api_key of the Pinecone backend")
    if not (key.isascii() and key.isprintable()):
        # Checked here, because the error of whoever sends it may hold the key.
        raise SecretError("the api_key of the Pinecone backend holds characters that no HTTP header can carry")
    return key


def _common(options: PineconeOptions, host: str) -> dict[str, Any]:
    # Where there is no TLS, loading certificates for it would be in vain, and takes longer than anything else here.
    return {"timeout": options.timeout, "ssl_verify": not host.startswith("http://")}


def _no_retries() -> Any:
    import pinecone

    return pinecone.RetryConfig(max_retries=0)


def _without_retries(index: Any) -> None:
    """Exactly one layer retries, and it is not this one; clients of an index take no setting for it.

    A client that would retry keeps its connections apart from what replaces it here: nothing was sent yet.
    """
    from pinecone._internal.constants import DATA_PLANE_API_VERSION

    config = replace(index._config, retry_config=_no_retries())  # noqa: SLF001
    index._http = type(index._http)(config, DATA_PLANE_API_VERSION)  # noqa: SLF001

"""What can be dialled: keys, quotas, sizes, delays, and how far the emulator is stricter than the API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

#: In the form of real ones: 65 characters.
KEY: Final = "jina_" + "0" * 60


@dataclass(frozen=True)
class JinaSettings:
    """How this API behaves. The keys are kept out of repr. Limits of None do not hold."""

    #: Those that it takes; None takes any, and none at all.
    keys: tuple[str, ...] | None = field(default=(KEY,), repr=False)
    #: Those among them without balance.
    unpaid: tuple[str, ...] = field(default=(), repr=False)
    #: Whether fields that the model does not declare are refused. The real API lets them pass.
    closed: bool = True
    #: Whether late chunking refuses what is beyond its tokens, where the real API is reported to cut it in silence.
    strict_late: bool = False
    #: Inputs of one request, bytes of its body.
    max_inputs: int = 2048
    max_body: int = 16 * 1024 * 1024
    #: Tokens of one input (None: the model's own limit), and of all in a late-chunked request.
    max_tokens: int | None = None
    late_tokens: int = 8192
    #: Quotas of one key, those of one address, and the length of their minute in seconds.
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    ip_requests_per_minute: int | None = None
    minute: float = 60.0
    #: Requests in flight, all keys together.
    concurrency: int | None = None
    #: How a 429 says when to come back: whole seconds, seconds with decimals (for short minutes; no header of HTTP
    #: has them), an HTTP date, not at all.
    retry_after: Literal["seconds", "decimal", "date", "absent"] = "seconds"
    #: Seconds by which the server's clock is ahead, in Date and in dates of Retry-After.
    clock_skew: float = 0.0
    #: Seconds that a request takes that is carried out. Refusals come at once.
    latency: float = 0.0
    #: Where vectors come from: of the words; the same for every text, as cheap as can be; an installed embedder.
    vectors: Literal["words", "constant"] = "words"
    embedder: str | None = None

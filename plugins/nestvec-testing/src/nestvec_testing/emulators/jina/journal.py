"""What went over the wire, and what it came to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from nestvec_testing.emulators import journal


@dataclass(frozen=True, kw_only=True)
class JinaExchange(journal.Exchange):
    """One request and its reply."""

    @property
    def texts(self) -> list[str]:
        """The inputs; nothing where the request has none."""
        return texts_of(self.body)


@dataclass
class Counters:
    """What the emulator did, faults aside: a reply that a fault spoilt later is served, too, and billed."""

    #: Requests, texts and tokens that were carried out.
    requests: int = 0
    texts: int = 0
    tokens: int = 0
    #: Requests that were refused, by code, or by status where there is none.
    refused: Counter[str] = field(default_factory=Counter)


def texts_of(body: object) -> list[str]:
    """The inputs of a request."""
    given = body.get("input") if isinstance(body, dict) else None
    items = given if isinstance(given, list) else [given]
    texts = [item.get("text") if isinstance(item, dict) else item for item in items]
    return [text for text in texts if isinstance(text, str)]

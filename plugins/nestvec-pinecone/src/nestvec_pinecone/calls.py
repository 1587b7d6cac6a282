"""What operations yield, so that one description serves both clients."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import quote

T = TypeVar("T")

#: Ids travel in the address, which must not become too long: servers and proxies begin to refuse at 8 KB.
_IDS: Final = 100
_LENGTH: Final = 6000
_NAME: Final = len("ids=&")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the SDK's method at a dotted path: of the index at `host`, or (None) of the control plane."""

    host: str | None
    method: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Together:
    """Several calls, some at a time. Answered with their results, in order; if some fail, with one's error."""

    calls: Sequence[Call]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait between two polls."""

    seconds: float


Step: TypeAlias = Call | Together | Pause
#: Vendor errors are mapped before they are thrown into it.
Operation: TypeAlias = Generator[Step, Any, T]


def control(method: str, /, **arguments: Any) -> Call:
    """A call to the control plane."""
    return Call(None, method, arguments)


def chunked(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Runs of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def in_address(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Runs of ids that fit into an address together. Somebody else's may be long."""
    part, length = list[str](), 0
    for each in ids:
        size = len(quote(each, safe="")) + _NAME
        if part and (len(part) == _IDS or length + size > _LENGTH):
            yield part
            part, length = [], 0
        part.append(each)
        length += size
    if part:
        yield part

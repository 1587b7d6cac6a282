"""Waiting for what takes its time: asking again, at growing distances, until a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from nestvec.errors import BackendUnavailable, NestvecError
from nestvec_pinecone import keys
from nestvec_pinecone.calls import Call, Operation, Pause, Together, in_address
from nestvec_pinecone.clients import POST
from nestvec_pinecone.errors import NoNamespace

Check: TypeAlias = Callable[[], Operation[bool]]
#: Hears how many seconds have passed.
Patience: TypeAlias = Callable[[float], None]

_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 1.0
#: Seconds of silence while somebody waits.
_SILENCE: Final = 10.0
_JSON: Final = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Polling:
    """Deadlines are measured with `clock`, in seconds."""

    clock: Callable[[], float] = time.monotonic

    def until(
        self, check: Check, seconds: float, late: Callable[[], NestvecError], waiting: Patience | None = None
    ) -> Operation[None]:
        """Ask until the answer is yes, telling `waiting` now and then. Raises `late()` after so many seconds."""
        started, told, pause = self.clock(), 0.0, _FIRST_PAUSE
        while not (yield from check()):
            waited = self.clock() - started
            if waited >= seconds:
                raise late()
            if waiting is not None and waited - told >= _SILENCE:
                told = waited
                waiting(waited)
            yield Pause(min(pause, seconds - waited))
            pause = min(2 * pause, _LONGEST_PAUSE)


@dataclass(frozen=True, slots=True)
class Written:
    """What is known of a write: its position in the namespace's log (if the server tells), and how to see it."""

    namespace: str
    lsn: int | None
    #: A record that must be there with this stamp.
    present: tuple[str, str] | None = None
    #: Records that must not be there.
    gone: Sequence[str] = ()


def upsert(host: str, content: bytes, count: int) -> Operation[int | None]:
    """Send a ready body; its log sequence number."""
    response = yield Call(host, POST, {"path": "/vectors/upsert", "content": content, "headers": dict(_JSON)})
    try:
        taken = orjson.loads(response.content).get("upsertedCount")
    except (orjson.JSONDecodeError, AttributeError) as error:
        raise BackendUnavailable(
            f"the answer to a write can not be understood; is there a proxy at {host}? Write again"
        ) from error
    if taken != count:
        raise BackendUnavailable(f"Pinecone took {taken} of {count} records; write them again")
    return committed(response)


def delete(host: str, namespace: str, **what: Any) -> Operation[int | None]:
    """Delete, and tell the log sequence number, which the SDK's own method hides."""
    response = yield Call(host, POST, {"path": "/vectors/delete", "json": {**what, "namespace": namespace}})
    return committed(response)


def committed(response: Any) -> int | None:
    """The log sequence number in the headers of a write's reply."""
    from pinecone import ResponseInfo

    return ResponseInfo(raw_headers=dict(response.headers)).lsn_committed


@dataclass(frozen=True, slots=True)
class Visibility:
    """Makes sure that the next read sees a write.

    Pinecone is eventually consistent, and reading by id and searching see a write at different times: so both
    are asked. Searches tell how far they have caught up; a reading by id shows the record itself.
    """

    polling: Polling
    seconds: float

    def settle(self, host: str, dimension: int, written: Written) -> Operation[None]:
        """Wait until reads see what was written. Raises `BackendUnavailable` when that takes too long."""
        checks: list[Check] = [lambda: _fetched(host, written), lambda: _reconciled(host, dimension, written)]

        def seen() -> Operation[bool]:
            while checks and (yield from checks[0]()):
                checks.pop(0)
            return not checks

        yield from self.polling.until(seen, self.seconds, lambda: self.late(written.namespace))

    def late(self, namespace: str) -> NestvecError:
        """For a write that was taken and can not be seen."""
        return BackendUnavailable(
            f"Pinecone took a write to namespace {namespace!r}, but after {self.seconds:g} seconds reads do not see "
            f"it; repeat it (nothing is stored twice), or set a longer visible_timeout"
        )


def _fetched(host: str, written: Written) -> Operation[bool]:
    ids = [written.present[0]] if written.present else list(written.gone)
    parts = [{"ids": list(part), "namespace": written.namespace} for part in in_address(ids)]
    replies = yield Together([Call(host, "fetch", part) for part in parts])
    found = {key: vector for reply in replies if reply is not None for key, vector in reply.vectors.items()}
    if written.present is None:
        return not found
    key, stamp = written.present
    return key in found and (found[key].metadata or {}).get(keys.STAMP) == stamp


def _reconciled(host: str, dimension: int, written: Written) -> Operation[bool]:
    if written.lsn is None:
        return True
    # Any question will do: what counts is how far the searcher has come.
    question = {"vector": [1.0] + [0.0] * (dimension - 1), "top_k": 1, "namespace": written.namespace}
    try:
        reply = yield Call(host, "query", question)
    except NoNamespace:
        return written.present is None
    info = reply.response_info
    return info is None or info.lsn_reconciled is None or bool(info.is_reconciled(written.lsn))

"""Collections on their way into memory: a server searches nothing else."""

from __future__ import annotations

import re

from nestvec.errors import BackendError, BackendRefused, BackendUnavailable
from nestvec.types import Storage
from nestvec_milvus.foreign import not_loaded
from nestvec_milvus.wire import Operation, Pause, call, common

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25
#: Seconds between two pieces of news.
_NEWS = 1.0
_NO_INDEX = re.compile(r"no (vector )?index|index (not found|doesn.t exist)", re.IGNORECASE)


def load(
    place: str, physical: str, timeout: float, *, ours: bool = True, changing: Storage | None = None
) -> Operation[None]:
    """Load a collection, and wait for it. One that is not `ours` to load must be on its way already.

    Raises `BackendUnavailable` after `timeout` seconds of waiting, or at once where an index is missing because the
    storage is `changing`; `BackendRefused` for a collection that can not be loaded because it lacks an index for
    another reason, `CollectionConflict` for one that is not ours to load.
    """
    waited, told, pause = 0.0, 0.0, _FIRST_PAUSE
    while True:
        reply = yield call("GetLoadState", collection_name=physical)
        if reply.state == common.LoadState.LoadStateLoaded:
            return
        if reply.state != common.LoadState.LoadStateLoading:
            if not ours:
                raise not_loaded(physical, place)
            # Released, by somebody or by a restart. What is being loaded keeps its number of replicas.
            yield from _begin(place, physical, changing)
        news = None
        if waited >= min(told + _NEWS, timeout):
            told, news = waited, (yield from _news(physical))
        if waited >= timeout:
            raise BackendUnavailable(
                f"{place} did not load collection {physical!r} into memory within {timeout:g} seconds ({news}); try "
                f"again later, give the server more memory, or set a longer load_timeout"
            )
        yield Pause(pause, f"{place} is loading collection {physical!r} into memory: {news}" if news else None)
        waited, pause = waited + pause, min(pause * 1.5, _LONGEST_PAUSE)


def _begin(place: str, physical: str, changing: Storage | None) -> Operation[None]:
    try:
        yield call("LoadCollection", collection_name=physical, replica_number=1)
    except BackendRefused as error:
        if not _NO_INDEX.search(str(error)):
            raise
        if changing is not None:
            raise BackendUnavailable(
                f"{place}: the index of collection {physical!r} is being replaced, as its storage becomes {changing}; "
                f"try again. If that was interrupted, `nestvec apply` with this storage completes it"
            ) from error
        raise BackendRefused(
            f"{place} can not load collection {physical!r} into memory: its vectors have no index. Its creation was "
            f"interrupted, or somebody dropped the index; create one on the server, or run `nestvec apply` if "
            f"the collection is not in use yet"
        ) from error


def _news(physical: str) -> Operation[str]:
    """How far loading has come, and which indexes it still waits for."""
    try:
        reply = yield call("GetLoadingProgress", collection_name=physical)
        parts = [f"{reply.progress} % loaded"]
    except BackendError as error:
        parts = [f"it says: {error}"]  # why it goes wrong on the server: too little memory, for example
    try:
        reply = yield call("DescribeIndex", collection_name=physical)
    except BackendError:
        return parts[0]  # without an index there is none to wait for
    for each in reply.index_descriptions:
        if each.state == common.IndexState.InProgress:
            built = f"{each.indexed_rows} of {each.total_rows} rows"
            parts.append(f"the index of {each.field_name!r} is being built, {built}")
        elif each.state == common.IndexState.Failed:
            parts.append(f"building the index of {each.field_name!r} failed: {each.index_state_fail_reason}")
    return "; ".join(parts)

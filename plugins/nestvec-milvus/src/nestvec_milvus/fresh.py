"""What an adapter wrote to a collection and the server may not have indexed yet. Imports no SDK."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

#: From so many records in a segment that is not flushed on, a server searches it by an interim index.
INTERIM: Final = 4992
#: From how many records on, since the last time, it is looked whether searches find them.
LOOK: Final = 256
#: From how many records on it is looked after every ingestion, be it of one.
_NEAR: Final = INTERIM - LOOK
#: Records that are looked for.
_SAMPLE: Final = 16


@dataclass(slots=True)
class FreshRecords:
    """Records since the last flush and the last look, and the ids of some. Safe for threads."""

    unflushed: int = 0
    unseen: int = 0
    looked: bool = False
    _writes: int = 0
    _sample: dict[int, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wrote(self, ids: Sequence[str]) -> None:
        """Records were written, or may have been."""
        if not ids:
            return
        with self._lock:
            self.unflushed += len(ids)
            self.unseen += len(ids)
            self._sample[self._writes % _SAMPLE] = ids[-1]
            self._writes += 1

    def removed(self, ids: Sequence[str]) -> None:
        """Records are removed: they are not looked for."""
        gone = frozenset(ids)
        with self._lock:
            self._sample = {place: each for place, each in self._sample.items() if each not in gone}

    def sample(self) -> list[str]:
        """Ids of records that must be found."""
        with self._lock:
            return list(dict.fromkeys(self._sample.values()))

    def seen(self) -> None:
        """Searches find them. So many are flushed: by the server itself, or by others."""
        with self._lock:
            self.unseen, self.looked = 0, True
            self.unflushed = self.unflushed if self.unflushed < 2 * INTERIM else 0

    def flushed(self) -> None:
        """The server was told to flush them."""
        with self._lock:
            self.unflushed = self.unseen = 0
            self._sample.clear()

    @property
    def worth_a_look(self) -> bool:
        """Whether so much was written that searches may miss some of it; what others wrote before counts once."""
        return self.unflushed > 0 and (not self.looked or self.unseen >= LOOK or self.unflushed >= _NEAR)

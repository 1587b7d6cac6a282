"""Points as the engine in this process stores them: pickles, of which only the expected ones are loaded.

A pickle is a program. What it may call here are the classes of which points consist, and what makes numpy's arrays of
plain numbers; everything else is refused before it is imported.
"""

from __future__ import annotations

import datetime
import decimal
import io
import pickle
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from qdrant_client import models

_PLAIN: Final = re.compile(r"([<>=|]?)([biuf][1248])")
_IDS: Final = (int, str, uuid.UUID)
_VECTORS: Final = (list, dict, np.ndarray)
_PAYLOADS: Final = (dict, type(None))
#: What damaged and hostile pickles make the unpickler raise, besides refusing them.
_STUMBLES: Final = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, LookupError, OverflowError, MemoryError,
    RecursionError, ArithmeticError,
)  # fmt: skip


class UnexpectedPoint(ValueError):
    """The bytes of a point are not what qdrant-client writes. Nothing of them was run."""


def load(value: object) -> models.PointStruct:
    """The point, with an id in its usual spelling. Raises `UnexpectedPoint`."""
    if not isinstance(value, bytes):
        raise UnexpectedPoint(f"{type(value).__name__} instead of bytes")
    try:
        point = _Unpickler(io.BytesIO(value)).load()
    except UnexpectedPoint:
        raise
    except _STUMBLES as error:
        raise UnexpectedPoint(f"a pickle that cannot be read ({type(error).__name__})") from error
    if type(point) is not models.PointStruct:
        raise UnexpectedPoint(f"a {type(point).__name__} instead of a point")
    return _checked(point)


def _checked(point: models.PointStruct) -> models.PointStruct:
    parts = vars(point)
    if not isinstance(parts.get("id"), _IDS):
        raise UnexpectedPoint("a point without an id")
    if not isinstance(parts.get("vector"), _VECTORS):
        raise UnexpectedPoint("a point without a vector")
    if not isinstance(parts.get("payload", ""), _PAYLOADS):
        raise UnexpectedPoint("a point whose payload is no table")
    parts["id"] = _canonical(parts["id"])
    return point


def _canonical(identity: int | str | uuid.UUID) -> int | str:
    if isinstance(identity, int):
        return identity
    try:
        return str(uuid.UUID(str(identity)))
    except ValueError:  # whoever asks for such an id does not find it
        return str(identity)


class _Unpickler(pickle.Unpickler):
    """Asks for nothing but what is allowed."""

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a class or function; importing happens nowhere."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise UnexpectedPoint(f"a pickle that asks for {f'{module}.{name}'!r:.100}") from None


class _Made:
    """A function that pickles may call. Unlike a function it has nothing that a pickle could change."""

    __slots__ = ("_make",)
    _make: Callable[..., Any]

    def __init__(self, make: Callable[..., Any]) -> None:
        object.__setattr__(self, "_make", make)

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setattr__(self, name: str, value: object) -> None:
        raise UnexpectedPoint("a pickle that changes a function")

    __setstate__ = __setattr__


class _Dtype:
    """Stands for a dtype of plain numbers: one that holds objects, or fields, could be made to hold any address."""

    __slots__ = ("_kind", "_order")

    def __init__(self, code: object, *_: object) -> None:
        found = _PLAIN.fullmatch(code) if isinstance(code, str) else None
        if found is None:
            raise UnexpectedPoint("an array of something other than numbers")
        self._order, self._kind = found.groups()

    def __setstate__(self, state: object) -> None:
        _, order, base, names, fields, *_ = _tuple(state)
        if order not in ("<", ">", "=", "|") or (base, names, fields) != (None, None, None):
            raise UnexpectedPoint("an array of something other than numbers")
        self._order = order

    @property
    def plain(self) -> np.dtype[Any]:
        """The dtype."""
        return np.dtype(self._order + self._kind)


class _Array(np.ndarray[Any, Any]):
    """An array whose contents are checked before they are taken."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        _, shape, dtype, fortran, numbers = _tuple(state)
        if not isinstance(dtype, _Dtype) or not isinstance(numbers, bytes):
            raise UnexpectedPoint("an array of something other than numbers")
        checked: Any = (1, shape, dtype.plain, bool(fortran), numbers)
        super().__setstate__(checked)


def _empty(*_: object) -> _Array:
    return np.empty(0, np.uint8).view(_Array)


def _scalar(dtype: object, number: object) -> Any:
    if not isinstance(dtype, _Dtype) or not isinstance(number, bytes):
        raise UnexpectedPoint("something other than a number")
    return np.frombuffer(number, dtype.plain, 1)[0]


def _from_buffer(numbers: object, dtype: object, shape: Any, order: Any) -> Any:
    if not isinstance(dtype, _Dtype) or not isinstance(numbers, bytes | bytearray):
        raise UnexpectedPoint("an array of something other than numbers")
    return np.frombuffer(numbers, dtype.plain).reshape(shape, order=order)


def _tuple(state: object) -> tuple[Any, ...]:
    if not isinstance(state, tuple):
        raise UnexpectedPoint("an array of something other than numbers")
    return state


# Classes stand here themselves where a pickle cannot change them: immutable ones, and those with a __setstate__.
_ALLOWED: Final[Mapping[tuple[str, str], Any]] = {
    **{("qdrant_client.http.models.models", each.__name__): each for each in (models.PointStruct, models.SparseVector)},
    **{
        ("datetime", each.__name__): each
        for each in (datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone)
    },
    ("decimal", "Decimal"): decimal.Decimal,
    ("uuid", "UUID"): uuid.UUID,
    ("uuid", "SafeUUID"): _Made(uuid.SafeUUID),
    ("numpy", "dtype"): _Made(_Dtype),
    ("numpy", "ndarray"): None,
    # numpy 2 calls its inner modules otherwise.
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Made(_empty) for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _Made(_scalar) for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _Made(_from_buffer) for core in ("core", "_core")},
}

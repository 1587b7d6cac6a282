"""Values in expressions, written so that none can become syntax.

Servers of 2.5 and later take values beside the expression, as the values of a template. Older ones get
literals. Milvus Lite and servers escape differently: Lite knows no octal escapes, and servers of 2.4 expand
`\\uXXXX` before they look for quotes, so no literal may hold one. Hence every byte that is not plain is
written in octal there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from nestvec_milvus.server import Server
from nestvec_milvus.wire import schemas

Value: TypeAlias = str | bool | int | float

_LITE_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_SAFE: Final = frozenset(range(0x20, 0x7F)) - set(b"\\\"'")
_OCTAL: Final = {byte: chr(byte) if byte in _SAFE else f"\\{byte:03o}" for byte in range(256)}


def quote(text: str, server: Server) -> str:
    """A string literal.

    >>> quote('say "é"', Server("v2.3.5", (2, 3)))
    '"say \\\\042\\\\303\\\\251\\\\042"'
    """
    if server.lite:
        return f'"{text.translate(_LITE_ESCAPES)}"'
    return '"' + "".join(map(_OCTAL.__getitem__, text.encode())) + '"'


class Values(ABC):
    """Collects the values of one expression. `one` and `several` return what stands for them in it."""

    @abstractmethod
    def one(self, value: Value) -> str:
        """A single value."""

    @abstractmethod
    def several(self, values: Sequence[Value]) -> str:
        """A list of values of one type, at least one."""

    @property
    def template(self) -> Mapping[str, Any]:
        """What travels beside the expression."""
        return {}


class Literals(Values):
    """Values in the expression itself."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def one(self, value: Value) -> str:
        """See `Values`."""
        if isinstance(value, str):
            return quote(value, self._server)
        if isinstance(value, bool):
            return "true" if value else "false"
        return repr(value)

    def several(self, values: Sequence[Value]) -> str:
        """See `Values`."""
        return f"[{', '.join(map(self.one, values))}]"


class Template(Values):
    """Values beside the expression, which holds their names in braces."""

    def __init__(self) -> None:
        self._given: dict[str, Any] = {}

    @property
    def template(self) -> Mapping[str, Any]:
        """See `Values`."""
        return self._given

    def one(self, value: Value) -> str:
        """See `Values`."""
        return self._add(schemas.TemplateValue(**{_SINGLE[type(value)]: value}))

    def several(self, values: Sequence[Value]) -> str:
        """See `Values`."""
        name, array = _ARRAY[type(values[0])]
        return self._add(
            schemas.TemplateValue(array_val=schemas.TemplateArrayValue(**{name: array(data=list(values))}))
        )

    def _add(self, value: Any) -> str:
        name = f"v{len(self._given)}"
        self._given[name] = value
        return f"{{{name}}}"


_SINGLE: Final = {str: "string_val", bool: "bool_val", int: "int64_val", float: "float_val"}
_ARRAY: Final[Mapping[type, tuple[str, Any]]] = {
    str: ("string_data", schemas.StringArray),
    bool: ("bool_data", schemas.BoolArray),
    int: ("long_data", schemas.LongArray),
    float: ("double_data", schemas.DoubleArray),
}


def values_for(server: Server) -> Values:
    """What suits a server."""
    return Template() if server.templates else Literals(server)

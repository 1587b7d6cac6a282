"""What filters compare and look at strings with: light, for plugins name it in what they declare."""

from __future__ import annotations

from enum import StrEnum


class Op(StrEnum):
    """A comparison of a field with one value, spelt as in the dict form."""

    EQ = "$eq"
    GT = "$gt"
    GTE = "$gte"
    LT = "$lt"
    LTE = "$lte"


class TextOp(StrEnum):
    """What a string is looked at for, letter by letter; spelt as in the dict form."""

    STARTS_WITH = "$starts_with"
    CONTAINS = "$contains_text"
    ENDS_WITH = "$ends_with"

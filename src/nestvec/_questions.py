"""Questions with what is known to answer them: what evaluations ask."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nestvec.errors import InvalidInput


@dataclass(frozen=True, slots=True, init=False)
class Question:
    """A real question, and the documents that answer it where that is known.

    Args:
        text: The question.
        relevant: Ids with grades above 0, higher is better; or ids alone, which have grade 1. A document that is not
            named is irrelevant.

    Attributes:
        text: The question.
        relevant: Grades by id.

    Raises:
        InvalidInput: These are no ids or grades.

    Example:
        >>> nestvec.Question("Who pays for travel?", ["travel"]).relevant
        {'travel': 1.0}
    """

    text: str
    relevant: Mapping[str, float]

    def __init__(self, text: str, relevant: Mapping[str, float] | Iterable[str | int] = ()) -> None:
        if isinstance(relevant, str | bytes) or not isinstance(relevant, Iterable):
            raise InvalidInput(f"question {text!r:.80}: relevant is a list of document ids, or ids with grades")
        grades = relevant.items() if isinstance(relevant, Mapping) else ((name, 1.0) for name in relevant)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "relevant", dict(_graded(text, name, grade) for name, grade in grades))


def _graded(text: str, name: object, grade: object) -> tuple[str, float]:
    if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
        raise InvalidInput(f"question {text!r:.80}: a relevant document is named by its id, not by {name!r:.80}")
    number = isinstance(grade, int | float) and not isinstance(grade, bool)
    if not number or not math.isfinite(grade) or grade <= 0:  # type: ignore[operator, arg-type]
        raise InvalidInput(
            f"question {text!r:.80}: the grade of {name!r:.80} must be a number above 0, not {grade!r:.80}; leave "
            f"irrelevant documents out"
        )
    return str(name), float(grade)  # type: ignore[arg-type]

"""How `nestvec dimensions` measures: `DimensionsOptions`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nestvec.errors import InvalidInput

#: A prefix shorter than this is not measured unless it is asked for.
_SHORTEST = 16


@dataclass(frozen=True, slots=True)
class DimensionsOptions:
    """How `Nestvec.dimensions` measures.

    Attributes:
        k: How many neighbours count, 1 or more.
        keep: The share of the quality at full size that is wanted, above 0 and at most 1.
        confidence: Of the intervals, above 0 and below 1.
        resamples: From how many resamples of the questions intervals are made.
        sample: How many texts are taken at most, 2 or more.
        questions: How many questions at most, held out of the texts (never more than a tenth) or of the real ones.
        seed: Another number takes another sample.
        dimensions: The sizes to measure, besides the full one; none: powers of two.
        expect: For how many vectors storage is summed up; None: for as many as there are.
        rotation: The fingerprint of an artifact to measure the nested curve with; None: one that is fitted, if needed.
        time: Measure the search time of each size on the backend, in a temporary collection.
        funnels: Ascending lengths of prefixes, for searches coarse to fine, measured there, too.

    Example:
        >>> options = nestvec.DimensionsOptions(k=5, dimensions=[64, 128])
        >>> options.sizes(32, 384)
        (64, 128, 384)
    """

    k: int = 10
    keep: float = 0.99
    confidence: float = 0.95
    resamples: int = 1000
    sample: int = 5000
    questions: int = 500
    seed: int = 0
    dimensions: Sequence[int] = ()
    expect: int | None = None
    rotation: str | None = None
    time: bool = False
    funnels: Sequence[Sequence[int]] = ()

    def check(self) -> None:
        """Check all numbers that can be checked without data.

        Raises:
            InvalidInput: A number is out of range.

        Example:
            >>> nestvec.DimensionsOptions(keep=0.95).check()
        """
        for name, least in (("k", 1), ("resamples", 1), ("sample", 2), ("questions", 1)):
            _check_whole(name, getattr(self, name), least)
        if self.expect is not None:
            _check_whole("expect", self.expect, 1)
        _check_share("keep", self.keep, "at most 1", full=True)
        _check_share("confidence", self.confidence, "below 1", full=False)

    def sizes(self, shortest: int, full: int) -> tuple[int, ...]:
        """Tell which sizes are measured.

        Args:
            shortest: The model's shortest prefix.
            full: Length of the full vectors.

        Returns:
            Sizes, ascending; the last one is `full`.

        Raises:
            InvalidInput: No vector has such a size.

        Example:
            >>> nestvec.DimensionsOptions().sizes(32, 384)
            (32, 64, 128, 256, 384)
        """
        wrong = [size for size in self.dimensions if not _is_whole(size) or not 1 <= size <= full]
        if wrong:
            raise InvalidInput(f"dimensions: {wrong[0]!r} cannot be measured; the vectors have 1 to {full}")
        if self.dimensions:
            return tuple(sorted({*self.dimensions, full}))
        least = max(_SHORTEST, shortest if shortest < full else 1)
        powers = (2**exponent for exponent in range(full.bit_length()))
        return tuple(sorted({size for size in powers if least <= size < full} | {full, min(least, full)}))

    def stages(self, full: int) -> tuple[tuple[int, ...], ...]:
        """Tell which funnels are measured.

        Args:
            full: Length of the full vectors.

        Returns:
            The lengths of each funnel.

        Raises:
            InvalidInput: Lengths do not ascend, or are not shorter than the vector.

        Example:
            >>> nestvec.DimensionsOptions(funnels=[[64, 128]]).stages(384)
            ((64, 128),)
        """
        for funnel in self.funnels:
            lengths = list(funnel) if isinstance(funnel, Sequence) and not isinstance(funnel, str) else []
            whole = bool(lengths) and all(_is_whole(length) for length in lengths)
            if not whole or lengths != sorted(set(lengths)) or not 1 <= lengths[0] <= lengths[-1] < full:
                raise InvalidInput(
                    f"funnel: {funnel!r} cannot be measured; give ascending lengths below {full}, as in 64,256"
                )
        return tuple(tuple(funnel) for funnel in self.funnels)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_whole(name: str, value: object, least: int) -> None:
    if not _is_whole(value) or value < least:  # type: ignore[operator]
        raise InvalidInput(f"{name} must be a whole number of at least {least}, not {value!r}")


def _check_share(name: str, value: object, bound: str, *, full: bool) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not (0 < value < 1 or (full and value == 1)):  # type: ignore[operator]
        raise InvalidInput(f"{name} is a share above 0 and {bound}, as in 0.95; not {value!r}")

"""How much is read of a file at most: what lies in one may be made to fill the memory, or never to end."""

from __future__ import annotations

from dataclasses import dataclass

KILO = 1000
#: Bytes of a configuration file, of the small files of artifacts, of secrets and of certificates: no settings, for
#: no one needs more.
CONFIGURATION, DESCRIPTION, SECRET, CERTIFICATES = KILO**2, KILO**2, 64 * KILO, 16 * KILO**2


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """For files that are read as documents or questions: the block `[limits]` of the configuration.

    `document` are bytes of one line, row, cell or text file, which is what has to fit into memory; `file` those of one
    file once it is unpacked. `rows` are rows, lines or values of one file, `failures` those that are no documents.
    """

    document: int = 32 * KILO**2
    file: int = 64 * KILO**3
    rows: int = 50_000_000
    failures: int = 100_000


def in_bytes(size: int) -> str:
    """`32 MB`, of 1,000,000 bytes each."""
    number = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < KILO:
            return f"{number:.3g} {unit}"
        number /= KILO
    return f"{number:,.3g} TB"

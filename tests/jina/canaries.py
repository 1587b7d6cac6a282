"""What is sent to measure a host, before it embeds for a collection."""

from __future__ import annotations

from nestvec._hosts.canaries import TEXTS, VERSION


def canaries(emulator):
    """The exchanges by which the host was measured, before anything else was embedded."""
    texts = set(TEXTS[VERSION])
    found = [each for each in emulator.exchanges if {text.strip() for text in each.body["input"]} <= texts]
    assert found == list(emulator.exchanges[: len(found)])
    return found

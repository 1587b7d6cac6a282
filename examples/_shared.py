"""What the examples share: where vectors come from, said plainly, and texts from files.

Each folder has a `nestvec.toml` for the real API. Without `--real` only the address in it is replaced, by that of an
emulator in a thread of this process; the key is left out, so that none is needed and none is sent there.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import nestvec
from nestvec import Collection, Document, Nestvec, NestvecError

Vectors = Literal["e5", "words"]

_STAND_INS: dict[Vectors, str] = {
    "e5": "emulator over multilingual-e5-small - a stand-in; with --real: {models}\n"
    "         (a real multilingual model, but it tells only passages from questions: every other task is a question)",
    "words": "emulator, computed from the words of each text - a stand-in; with --real: {models}\n"
    "         (no model at all: equal words make texts alike, meaning does not)",
}


@contextmanager
def configured(script: str, *, real: bool, vectors: Vectors) -> Iterator[dict[str, Any]]:
    """The values of the `nestvec.toml` beside a script, for the real API or for an emulator that runs meanwhile."""
    values = tomllib.loads(Path(script).with_name("nestvec.toml").read_text(encoding="utf-8"))
    models = ", ".join(block["model"] for block in values["embedders"].values())
    if real:
        say(f"vectors: {models}, from the real API")
        yield values
        return
    from nestvec_testing.emulators.jina import JinaEmulator

    say(f"vectors: {_STAND_INS[vectors].format(models=models)}")
    with JinaEmulator(embedder="e5" if vectors == "e5" else None, keys=None) as emulator:
        for block in values["embedders"].values():
            block["base_url"] = emulator.base_url
            block.pop("api_key", None)
        yield values


@contextmanager
def connected(script: str, *, real: bool, vectors: Vectors) -> Iterator[Nestvec]:
    """A client on the collections of the `nestvec.toml` beside a script, which are created."""
    with configured(script, real=real, vectors=vectors) as values, nestvec.connect(values) as nv:
        nv.apply()
        yield nv


def rows(script: str, name: str) -> list[dict[str, Any]]:
    """The objects of a JSONL file beside a script."""
    lines = Path(script).with_name(name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def documents(script: str, name: str) -> list[Document]:
    """The documents of a JSONL file beside a script: `id`, `text`, and the rest as metadata."""
    return [Document(row.pop("id"), row.pop("text"), row) for row in rows(script, name)]


def calibrated(collection: Collection, pairs: list[dict[str, Any]]) -> float:
    """The score from which on two texts are the same: half-way between pairs that are known to be, and not to be."""
    one, other = (collection.embed([pair[side] for pair in pairs]) for side in ("one", "other"))
    cosines = (one * other).sum(axis=1)
    lowest = min(cosine for cosine, pair in zip(cosines, pairs, strict=True) if pair["same"])
    highest = max(cosine for cosine, pair in zip(cosines, pairs, strict=True) if not pair["same"])
    say(f"known pairs: the same at {lowest:.3f} or more, different at {highest:.3f} or less")
    if lowest <= highest:
        say("    (no threshold tells all of them apart: the one half-way errs on both sides)")
    return float(lowest + highest) / 2


def say(text: str) -> None:
    """Print a line at once, whatever happens next."""
    print(text, flush=True)


def main(run: Callable[[bool], None]) -> None:
    """The command line: `run(real)`, with errors as messages and exit code 1."""
    parser = argparse.ArgumentParser(description=sys.modules[run.__module__].__doc__)
    parser.add_argument("--real", action="store_true", help="the real API; needs JINA_API_KEY, and costs tokens")
    arguments = parser.parse_args()
    try:
        run(arguments.real)
    except NestvecError as error:
        sys.exit(f"{type(error).__name__}: {error}")

"""Where the backends of nestvec.compose.toml are: in containers, or here, in their stand-ins."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from nestvec.contract import BackendPlugin, Batch, CollectionInfo, Create, Query, Write
from nestvec.types import DENSE, Metric
from nestvec_pinecone.testing import PineconeEmulator, PineconeSettings
from nestvec_testing.requests import Within, bare
from nestvec_testing.tap import tap

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
CONFIGURATION = (ROOT / "nestvec.compose.toml").read_text()
#: The body with which docker-compose.yml makes the index, in the form of API version 2025-01.
INDEX: dict[str, Any] = json.loads(SERVICES["pinecone-index"]["environment"]["INDEX"])
#: Pinecone Local takes any key; the emulator takes this one.
KEY = "local"


@contextmanager
def qdrant(folder: Path) -> Iterator[tuple[str, str]]:
    """Qdrant's emulator."""
    from nestvec_qdrant.testing import QdrantEmulator

    with QdrantEmulator() as emulator:
        yield '"http://localhost:6333"', f'"{emulator.url}"'


@contextmanager
def milvus(folder: Path) -> Iterator[tuple[str, str]]:
    """Milvus Lite, which has no version to state."""
    block = next(part for part in CONFIGURATION.split("\n\n") if part.startswith("[backends.milvus]"))
    yield block, f'[backends.milvus]\nuse = "milvus"\npath = {json.dumps(str(folder / "milvus.db"))}'


@contextmanager
def pinecone(folder: Path) -> Iterator[tuple[str, str]]:
    """The emulator, reduced to what Pinecone Local is known to have, with the index that docker-compose.yml makes."""
    with PineconeEmulator(PineconeSettings(api_key=KEY, recent=False, lsn=False)) as emulator:
        make_index(emulator)
        yield '"http://localhost:5081"', f'"{emulator.host(INDEX["name"])}"'


def make_index(emulator: PineconeEmulator) -> None:
    """Make the index, in the newer form."""
    from pinecone import Pinecone

    with Pinecone(api_key=emulator.api_key, host=emulator.url) as client:
        made = {name: INDEX[name] for name in ("name", "dimension", "metric")}
        client.indexes.create(**made, timeout=-1)


#: For each backend: what the configuration says of a container, and what has to stand there for its stand-in.
STAND_INS: dict[str, Callable[[Path], AbstractContextManager[tuple[str, str]]]] = {
    "qdrant": qdrant,
    "milvus": milvus,
    "pinecone": pinecone,
}


@contextmanager
def configuration(backend: str, where: str, folder: Path) -> Iterator[str]:
    """The text of nestvec.compose.toml, with one backend's stand-in started and filled in."""
    if where == "container":
        yield CONFIGURATION
        return
    with STAND_INS[backend](folder) as (container, here):
        assert CONFIGURATION.count(container) == 1, f"nestvec.compose.toml must say {container} once"
        yield CONFIGURATION.replace(container, here)


def in_one_index(plugin: BackendPlugin) -> BackendPlugin:
    """A plugin whose collections all live in one index, for tests of collections of smaller sizes.

    Vectors are filled up with zeros, which change no score. What has another size than its collection is passed on
    as it is: it must be refused.
    """
    most, metric = int(INDEX["dimension"]), Metric(INDEX["metric"])
    sizes: dict[str, int] = {}

    def filled(request: Any) -> Any:
        if isinstance(request, Create):
            known = sizes.setdefault(request.physical, request.vectors[DENSE])
            return replace(request, vectors={DENSE: most}) if known == request.vectors[DENSE] else request
        if isinstance(request, Write | Query):
            rows = request.vectors[DENSE]
            if rows.shape[1] == sizes.get(request.physical):
                return replace(request, vectors={DENSE: np.pad(rows, ((0, 0), (0, most - rows.shape[1])))})
        return request

    def cut(reply: Any, size: int) -> Any:
        if isinstance(reply, Batch) and reply.vectors is not None:
            return replace(reply, vectors={DENSE: reply.vectors[DENSE][:, :size]})
        return replace(reply, vectors={DENSE: size}) if isinstance(reply, CollectionInfo) else reply

    def intercept(request: Any, perform: Callable[[Any], Any]) -> Any:
        asked = filled(bare(request))
        within = replace(request, request=asked) if isinstance(request, Within) else asked
        return cut(perform(within), sizes.get(getattr(asked, "physical", ""), most))

    def opened(options: Any, form: str, *, native: bool) -> Any:
        inner = getattr(plugin, form)(options)
        made = tap(inner, intercept, native=native)
        made.close = inner.close
        return made

    return replace(
        plugin,
        capabilities=lambda options: replace(plugin.capabilities(options), metrics=frozenset({metric})),
        open=lambda options: opened(options, "open", native=False),
        open_async=lambda options: opened(options, "open_async", native=True),
    )

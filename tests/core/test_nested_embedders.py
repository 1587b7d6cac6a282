"""A rotation of the user's own around an opened embedder: sync and async, with a cache, and instead of a plugin's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nestvec._artifacts import About, Artifact, save
from nestvec._client import aconnect, connect
from nestvec.contract import Embedder, EmbedderPlugin, Encode, Encoded
from nestvec.encoding.rotation import fit_rotation
from nestvec.encoding.vectors import nest, truncate
from nestvec.errors import ConfigError, SpaceMismatch
from nestvec.hookspecs import hookimpl
from nestvec.nesting.embedder import NestedEmbedder
from nestvec.runtime import Runtime
from nestvec.types import Document
from nestvec_testing import EmbedderConformance, EmbedderUnderTest, recording
from nestvec_testing.recording import RecordingEmbedder, RecordingOptions
from nestvec_testing.registry import test_registry

DOCUMENTS = [Document(f"d{i}", f"The river {i} runs by stone {i % 7} in winter {i % 5}.") for i in range(40)]
TEXTS = [document.text for document in DOCUMENTS]


class _Awaited(Embedder):
    def __init__(self, options: RecordingOptions) -> None:
        self.inner = RecordingEmbedder(options)

    async def encode(self, request: Encode) -> Encoded:
        return self.inner.encode(request)


class _Native:
    """The recording embedder with an asynchronous form of its own."""

    @hookimpl
    def nestvec_embedder(self) -> EmbedderPlugin:
        return replace(recording.nestvec_embedder(), name="native", open_async=_Awaited)


NATIVE = _Native()
RUNTIME = Runtime(test_registry(embedder_native=f"{__name__}:NATIVE"))


def values(folder: Path, nesting: Artifact | None = None, *, use: str = "recording", **embedder: Any) -> dict[str, Any]:
    """A configuration with a collection `docs` of 16 dimensions, on disk where several clients see it."""
    block = {"use": use, **({"nesting": nesting.fingerprint} if nesting else {}), **embedder}
    return {
        "artifacts": str(folder / "artifacts"),
        "backends": {"store": {"use": "memory"}},
        "embedders": {"model": block},
        "collections": {"docs": {"dimensions": 16}},
    }


def keep(folder: Path, rotation: np.ndarray) -> Artifact:
    return save(folder / "artifacts", rotation, About("recording-v3", 64))


def raw(task: str = "retrieval.passage") -> np.ndarray:
    with connect(values(Path()), RUNTIME) as nv:
        return nv.embed(TEXTS, task=task)


@pytest.fixture(scope="module")
def rotation() -> np.ndarray:
    return fit_rotation(raw())


@pytest.fixture
def artifact(tmp_path: Path, rotation: np.ndarray) -> Artifact:
    return keep(tmp_path, rotation)


def expected(rotation: np.ndarray, size: int = 16) -> np.ndarray:
    return truncate(nest(raw(), rotation), size)


def test_full_vectors_are_asked_for_and_prefixes_of_the_turned_ones_stored(
    tmp_path: Path, artifact: Artifact, rotation: np.ndarray
) -> None:
    with connect(values(tmp_path, artifact), RUNTIME) as nv:
        nv.apply()
        nv["docs"].upsert(DOCUMENTS)
        matrix = nv["docs"].matrix()
        order = [int(key[1:]) for key in matrix.document_ids]
        np.testing.assert_allclose(matrix.vectors, expected(rotation)[order], atol=1e-6)
        assert nv["docs"].search(TEXTS[3])[0].document_id == "d3"
        assert {request.dimensions for request in nv.embedder("model").inner.requests} == {64}
        np.testing.assert_array_equal(nv.embedder("model").rotation(), rotation)


def test_full_size_cosines_stay_as_they_were(tmp_path: Path, artifact: Artifact) -> None:
    with connect(values(tmp_path, artifact), RUNTIME) as nv:
        turned, plain = nv.embed(TEXTS, task="separation"), raw("separation")
    np.testing.assert_allclose(turned @ turned.T, plain @ plain.T, atol=1e-6)
    assert np.abs(turned - plain).max() > 0.1


@pytest.mark.parametrize("use", ["recording", "native"])
@pytest.mark.parametrize("cached", [False, True])
async def test_asynchronously(tmp_path: Path, artifact: Artifact, rotation: np.ndarray, use: str, cached: bool) -> None:
    cache = {"cache": {"path": str(tmp_path / "cache")}} if cached else {}
    async with aconnect(values(tmp_path, artifact, use=use, **cache), RUNTIME) as nv:
        found = await nv.embed(TEXTS, task="retrieval.passage", dimensions=16)
        opened = await nv.embedder("model")
        reply = opened.encode(Encode((), None, 64))
        assert inspect.isawaitable(reply) == (use == "native")
        if inspect.isawaitable(reply):
            await reply
    np.testing.assert_allclose(found, expected(rotation), atol=1e-6)


def test_a_cache_keeps_the_model_s_own_vectors(tmp_path: Path, artifact: Artifact, rotation: np.ndarray) -> None:
    """What was embedded without a rotation serves under any, and the other way round."""
    cache = {"cache": {"path": str(tmp_path / "cache")}}
    other = keep(tmp_path, np.ascontiguousarray(np.eye(64, dtype=np.float32)[::-1]))
    with connect(values(tmp_path, **cache), RUNTIME) as nv:
        plain = nv.embed(TEXTS, task="retrieval.passage")
    for nesting in (artifact, other, None):
        with connect(values(tmp_path, nesting, **cache), RUNTIME) as nv:
            found = nv.embed(TEXTS, task="retrieval.passage")
            opened = nv.embedder("model")
            cached = opened.inner if nesting else opened
            assert not cached.inner.requests, "not asked for again"
        wanted = plain if nesting is None else nest(plain, nesting.load())
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_it_takes_the_place_of_the_plugin_s_own(tmp_path: Path, artifact: Artifact, rotation: np.ndarray) -> None:
    """The artifact is a rotation of the model's raw vectors, not of those that the plugin's rotation turned."""
    with connect(values(tmp_path, artifact, rotation="shipped"), RUNTIME) as nv:
        assert nv["docs"].spec.space.rotation == artifact.fingerprint
        found = nv.embed(TEXTS, task="retrieval.passage", dimensions=16)
    np.testing.assert_allclose(found, expected(rotation), atol=1e-6)


def test_rotations_are_not_mixed(tmp_path: Path, artifact: Artifact) -> None:
    other = keep(tmp_path, np.eye(64, dtype=np.float32))
    store = on_disk(tmp_path)
    with connect(store(artifact), RUNTIME) as nv:
        nv.apply()
    for wanted, written in ((other, other.fingerprint), (None, None)):
        with connect(store(wanted), RUNTIME) as nv, pytest.raises(SpaceMismatch) as caught:
            nv["docs"].upsert(DOCUMENTS)
        assert caught.value.differences == {"rotation": (artifact.fingerprint, written)}
        assert f"rotation: stored {artifact.fingerprint!r}, wanted {written!r}" in str(caught.value)
    with connect(store(artifact), RUNTIME) as nv:
        assert nv["docs"].count() == 0


def on_disk(folder: Path) -> Callable[[Artifact | None], dict[str, Any]]:
    """Configurations whose collection lives on disk."""
    backend = {"use": "qdrant", "path": str(folder / "qdrant")}
    return lambda nesting: values(folder, nesting) | {"backends": {"store": backend}}


def test_a_damaged_matrix_stops_the_opening_and_not_the_planning(tmp_path: Path, artifact: Artifact) -> None:
    artifact.matrix.write_bytes(b"gone")
    with connect(values(tmp_path, artifact), RUNTIME) as nv:
        assert [change.action for change in nv.plan()] == ["create"]
        with pytest.raises(ConfigError, match=f"rotation {artifact.fingerprint}: .*cannot be read"):
            nv.embed(TEXTS)


def test_copying_carries_nothing_where_the_artifact_is_missing(tmp_path: Path, artifact: Artifact) -> None:
    """It is an error before anything is written; with the artifact, the copy is in the same space."""
    store = on_disk(tmp_path)(artifact)
    store["backends"]["other"] = {"use": "qdrant", "path": str(tmp_path / "other")}
    store["collections"] = {
        name: {"backend": b, "dimensions": 16} for name, b in (("docs", "store"), ("copy", "other"))
    }
    with connect(store, RUNTIME) as nv:
        nv.apply("docs")
        nv["docs"].upsert(DOCUMENTS)
    (artifact.folder / "away").mkdir()
    moved = artifact.matrix.rename(artifact.folder / "away" / artifact.matrix.name)
    with pytest.raises(ConfigError, match="there is no file"), connect(store, RUNTIME) as nv:
        nv.copy("docs", "copy")
    assert not (tmp_path / "other").exists()
    moved.rename(artifact.matrix)
    with connect(store, RUNTIME) as nv:
        assert nv.copy("docs", "copy").written == len(DOCUMENTS)
        assert nv["copy"].search(TEXTS[5])[0].document_id == "d5"


class TestNested(EmbedderConformance):
    """Whatever an embedder has to keep, it keeps under a rotation of the user's own, too."""

    @pytest.fixture
    def embedder(self, artifact: Artifact) -> EmbedderUnderTest:
        plugin = recording.nestvec_embedder()

        def capabilities(options: Any) -> Any:
            return replace(plugin.capabilities(options), rotation=artifact.fingerprint, min_dimensions=16)

        def opened(options: Any) -> NestedEmbedder:
            return NestedEmbedder(plugin.open(options), artifact.load())

        return EmbedderUnderTest(replace(plugin, open=opened, capabilities=capabilities), {})

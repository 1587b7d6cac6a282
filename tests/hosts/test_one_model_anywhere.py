"""One model on three hosts: the Jina API (emulated), SageMaker (emulated), and in this process.

One collection's configuration runs on each of them, but for the embedder's block. Whether two hosts are one space is
measured: here all three serve the same tiny weights, and then ones that differ in prompt, pooling or adapter.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from nestvec import Document, F
from nestvec._client import Nestvec, connect
from nestvec.contract import Encode, Group
from nestvec.errors import HostMismatch
from nestvec.runtime import Runtime
from nestvec_testing.emulators.jina import JinaEmulator, sources
from nestvec_testing.registry import test_registry

transformers = pytest.importorskip(
    "nestvec_transformers.model", reason="needs the model libraries: pip install -r requirements-models.txt"
)
pytest.importorskip("torch", reason="needs the model libraries: pip install -r requirements-models.txt")

HOSTS = ("api", "aws", "local")
KEY = "NESTVEC_TEST_HOSTS_KEY"
TEXTS = {
    "leave": "Annual leave is thirty days; ask your manager before you book a holiday. Leave is paid.",
    "river": "The river carries cold water from the mountains to the sea, and boats follow it. It is long.",
    "rest": "Everyone has the right to rest and leisure, including reasonable limitation of working hours.",
    "bill": "Die Rechnung ist innerhalb von vierzehn Tagen zu bezahlen; jeder hat Anspruch auf Erholung.",
}
QUESTIONS = ("ask your manager before you book a holiday", "the river carries cold water", "Die Rechnung")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from nestvec_transformers.testing import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def weights(tiny: Path) -> Iterator[Any]:
    """The tiny model, for the emulators to serve."""
    from nestvec_transformers.embedder import TransformersEmbedder

    embedder = TransformersEmbedder(local_options(tiny))
    yield embedder
    embedder.close()


@pytest.fixture(scope="module")
def api() -> Iterator[JinaEmulator]:
    with JinaEmulator() as emulator:
        yield emulator


@pytest.fixture(scope="module")
def aws() -> Iterator[Any]:
    from nestvec_sagemaker.testing import SageMakerEmulator

    with SageMakerEmulator() as emulator:
        yield emulator


@pytest.fixture
def blocks(api: JinaEmulator, aws: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    from nestvec_sagemaker.testing import ACCESS_KEY

    monkeypatch.setenv(KEY, api.api_key)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not looked at")
    return {
        "api": {"use": "jina", "api_key": {"env": KEY}, "base_url": api.base_url},
        "aws": {"use": "sagemaker", **aws.options},
        "local": {"use": "transformers", "path": str(tiny), "revision": "tiny-0", "device": "cpu"},
    }


@pytest.fixture
def served(weights: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both emulators answer with the tiny model's vectors: three hosts of the same weights."""
    import nestvec_sagemaker.testing as sagemaker

    def embed(texts: Sequence[str], task: str | None, dimensions: int, *, late: bool) -> np.ndarray:
        ends = list(itertools.accumulate(map(len, texts)))
        spans = tuple(zip([0, *ends[:-1]], ends, strict=True))
        groups = (
            (Group("all", "".join(texts), spans),)
            if late
            else tuple(Group(str(n), text, ((0, len(text)),)) for n, text in enumerate(texts))
        )
        reply = weights.encode(Encode(groups, task, dimensions, late))
        assert not reply.failures
        return np.concatenate(reply.vectors)

    def plain_vectors(texts: Any, model: str, task: Any = None, *, dimensions: int, normalized: bool = True) -> Any:
        return embed(texts, task, dimensions, late=False)

    def late_vectors(texts: Any, model: str, task: Any = None, *, dimensions: int, **_: Any) -> Any:
        return embed(texts, task, dimensions, late=True)

    for module in (sources, sagemaker):
        monkeypatch.setattr(module, "plain_vectors", plain_vectors)
        monkeypatch.setattr(module, "late_vectors", late_vectors)


def local_options(folder: Path, revision: str = "tiny-0") -> Any:
    from nestvec_transformers.options import TransformersOptions

    return TransformersOptions.model_validate({"path": folder, "revision": revision, "device": "cpu"})


def opened(block: Mapping[str, Any], folder: Path, *, late: bool) -> Nestvec:
    folder.mkdir(exist_ok=True)
    values = {
        "embedders": {"model": block},
        "backends": {"store": {"use": "qdrant", "path": str(folder / "store")}},
        "collections": {
            "handbook": {
                "dimensions": 256,
                "late_chunking": late,
                "fields": {"subject": "keyword"},
                "chunking": {"size": 60, "overlap": 0},
            }
        },
    }
    return connect(values, Runtime(test_registry()))


def fill(client: Nestvec) -> None:
    client.apply()
    client["handbook"].upsert([Document(name, text, {"subject": name}) for name, text in TEXTS.items()])


Answers: TypeAlias = list[list[tuple[str, str | None, float]]]


def found(client: Nestvec) -> Answers:
    """Ids, texts and scores of what each question finds, and of a filtered one."""
    handbook = client["handbook"]
    asked = [(question, None) for question in QUESTIONS] + [(QUESTIONS[0], F.subject == "rest")]
    return [
        [(hit.document_id, hit.text, hit.score) for hit in handbook.search(question, limit=5, where=where)]
        for question, where in asked
    ]


def require_alike(some: Answers, others: Answers, moment: str = "", tolerance: float = 1e-6) -> None:
    """The same hits; their scores may end otherwise, as a matrix product does by how many threads share it."""
    for mine, theirs in zip(some, others, strict=True):
        assert [hit[:2] for hit in mine] == [hit[:2] for hit in theirs], moment
        np.testing.assert_allclose([hit[2] for hit in mine], [hit[2] for hit in theirs], atol=tolerance)


@pytest.mark.parametrize("late", [False, True], ids=["plain", "late"])
def test_one_configuration_runs_on_every_host(blocks: dict[str, Any], tmp_path: Path, late: bool) -> None:
    """Each with its own weights, in a store of its own: nothing is changed but the embedder's block."""
    spaces = set()
    for name in HOSTS:
        with opened(blocks[name], tmp_path / name, late=late) as client:
            fill(client)
            spaces.add(client["handbook"].spec.space.fingerprint)
            answers = found(client)
            assert client["handbook"].count() == len(TEXTS)
        assert all(len(hits) == 5 for hits in answers[:-1]), name
        assert {hit[0] for hit in answers[-1]} == {"rest"}, name
    assert len(spaces) == 1


@pytest.mark.parametrize("late", [False, True], ids=["plain", "late"])
@pytest.mark.parametrize("maker", HOSTS)
def test_hosts_of_the_same_weights_are_one_space(
    blocks: dict[str, Any], served: None, api: JinaEmulator, tmp_path: Path, maker: str, late: bool
) -> None:
    """Filled by one, searched and added to by the others; each of them is compared once, and then never again."""
    with opened(blocks[maker], tmp_path, late=late) as client:
        fill(client)
        before = found(client)
    for name in HOSTS:
        with opened(blocks[name], tmp_path, late=late) as client:
            require_alike(found(client), before, f"{name} after {maker}", 1e-4)
    for name in HOSTS:
        with opened(blocks[name], tmp_path, late=late) as client:
            client["handbook"].upsert(Document(f"from-{name}", "Boats follow the river to the sea."))
    api.journal.clear()
    with opened(blocks["api"], tmp_path, late=late) as client:
        client["handbook"].search(QUESTIONS[0])
        assert client["handbook"].count() == len(TEXTS) + len(HOSTS)
    assert len(api.exchanges) == 1, "a host that was accepted is not compared again"


def another_prompt(patch: pytest.MonkeyPatch) -> None:
    prompts = dict.fromkeys(transformers.PROMPTS, "Embed: ")
    patch.setattr("nestvec_transformers.embedder.PROMPTS", prompts)


def another_pooling(patch: pytest.MonkeyPatch) -> None:
    """The first token's vector instead of the mean of all."""
    import dataclasses

    whole = transformers.JinaV3.vectors

    def first(self: Any, sequences: Any, task: Any) -> Any:
        cut = [dataclasses.replace(each, ranges=tuple((s, s + 1) for s, _ in each.ranges)) for each in sequences]
        return whole(self, cut, task)

    patch.setattr(transformers.JinaV3, "vectors", first)


def another_adapter(patch: pytest.MonkeyPatch) -> None:
    """Each task with the next one's weights."""
    names = list(transformers.ADAPTERS.values())
    turned = dict(zip(transformers.ADAPTERS, [*names[1:], names[0]], strict=True))
    patch.setattr(transformers, "ADAPTERS", turned)


@pytest.mark.parametrize("late", [False, True], ids=["plain", "late"])
@pytest.mark.parametrize("change", [another_prompt, another_pooling, another_adapter], ids=lambda each: each.__name__)
def test_a_host_that_computes_otherwise_is_refused(
    blocks: dict[str, Any], tmp_path: Path, change: Any, late: bool
) -> None:
    with opened(blocks["local"], tmp_path, late=late) as client:
        fill(client)
        before = found(client)
    other = {**blocks["local"], "revision": "tiny-other"}
    with pytest.MonkeyPatch.context() as patch:
        change(patch)
        with opened(other, tmp_path, late=late) as client:
            for use in (
                lambda: client["handbook"].search(QUESTIONS[0]),
                lambda: client["handbook"].upsert(Document("intruder", "Boats follow the river.")),
            ):
                with pytest.raises(HostMismatch) as caught:
                    use()
                assert caught.value.least < 0.995
                assert "tiny-other" in str(caught.value)
                assert "tiny-0" in str(caught.value)
            assert client["handbook"].count() == len(TEXTS), "reading needs no embedder, and nothing was written"
    with opened(blocks["local"], tmp_path, late=late) as client:
        require_alike(found(client), before)


def test_the_same_weights_under_another_name_are_accepted(blocks: dict[str, Any], tmp_path: Path) -> None:
    with opened(blocks["local"], tmp_path, late=True) as client:
        fill(client)
        before = found(client)
    with opened({**blocks["local"], "revision": "tiny-copy"}, tmp_path, late=True) as client:
        require_alike(found(client), before)

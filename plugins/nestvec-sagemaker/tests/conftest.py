"""A SageMaker runtime on this machine, and embedders on it through the real boto3."""

from __future__ import annotations

import pytest

from nestvec.contract import Encode, Group
from nestvec_sagemaker.embedder import SageMakerEmbedder
from nestvec_sagemaker.options import SageMakerOptions
from nestvec_sagemaker.testing import ACCESS_KEY, SageMakerEmulator

SECRET_KEY = "nestvec+test/secret+key/0123456789ABCDEF"
TOKEN = "IQoJb3JpZ2luX2VjEJr-nestvec-session-token"


class Kit:
    """What tests of requests need, in short."""

    TEXTS = (
        "The river is cold.",
        "Annual leave is thirty days.",
        "東京は日本の首都です。",
        "def add(a, b): return a + b",
    )
    SECRETS = (ACCESS_KEY, SECRET_KEY, TOKEN)

    @staticmethod
    def group(key, *texts):
        spans, start = [], 0
        for text in texts:
            spans.append((start, start + len(text)))
            start += len(text)
        return Group(key, "".join(texts), tuple(spans))

    @classmethod
    def documents(cls, *texts):
        return [cls.group(f"doc-{i}", text) for i, text in enumerate(texts or cls.TEXTS)]

    @staticmethod
    def ask(*groups, task="retrieval.passage", dimensions=64, late=False, cancelled=None):
        return Encode(tuple(groups), task, dimensions, late, cancelled=cancelled)


@pytest.fixture(scope="session")
def kit():
    return Kit


@pytest.fixture(scope="session")
def running():
    with SageMakerEmulator() as emulator:
        yield emulator


@pytest.fixture
def aws(monkeypatch, tmp_path):
    """Credentials from the environment, and nothing else from this machine."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # botocore would repeat: the embedder must not let it.
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    return tmp_path


@pytest.fixture
def emulator(running, aws):
    """As if just started."""
    running.reset()
    yield running
    running.reset()


@pytest.fixture
def open_embedder(emulator):
    """Open an embedder on the emulator; retries do not wait."""
    opened = []

    def open_one(**options):
        values = {**emulator.options, "backoff": 0.0, **options}
        opened.append(SageMakerEmbedder(SageMakerOptions.model_validate(values)))
        return opened[-1]

    yield open_one
    for embedder in opened:
        embedder.close()

"""Plugins whose options and capabilities have corners to bump into, and a way to read broken files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from nestvec.capabilities import BackendCapabilities, ModelCapabilities, Power, TaskPair
from nestvec.config import Config, load_config
from nestvec.contract import BackendPlugin, EmbedderPlugin
from nestvec.errors import ConfigError
from nestvec.hookspecs import hookimpl
from nestvec.names import NameRules
from nestvec.options import LocalPath, Options, Secret
from nestvec.registry import Registry
from nestvec.types import Metric, Purpose
from nestvec_testing import memory, recording
from nestvec_testing.registry import test_registry


class Index(Options):
    """A table inside a table."""

    lists: int = 8


class AcmeOptions(Options):
    url: str = "http://localhost"
    api_key: Secret | None = None
    folder: LocalPath | None = None
    index: Index = Index()
    replicas: Annotated[int, Field(ge=1)] = 1


class AcmeCollection(Options):
    shards: int = 1
    index: Index = Index()


class _Acme:
    """A backend with everything that `memory` has not: options, limits, a secret."""

    @hookimpl
    def nestvec_backend(self) -> BackendPlugin:
        capabilities = BackendCapabilities(
            powers=frozenset({Power.ALIASES, Power.NOTES, Power.UPDATES, Power.TENANCY}),
            metrics=frozenset({Metric.COSINE, Metric.DOT}),
            max_dimensions=48,
            names=NameRules(hyphen=False, max_length=24),
        )
        return replace(
            memory.nestvec_backend(),
            name="acme",
            options=AcmeOptions,
            collection_options=AcmeCollection,
            capabilities=lambda _: capabilities,
            open=lambda options: memory.MemoryAdapter() if options.api_key.reveal("acme api_key") else None,
        )


class PlainOptions(Options):
    """It has none."""


class _Plain:
    """A model without tasks, Matryoshka prefixes or late chunking."""

    @hookimpl
    def nestvec_embedder(self) -> EmbedderPlugin:
        model = ModelCapabilities("plain", 48, 48, {Purpose.RETRIEVAL: TaskPair(None, None)})
        return replace(recording.nestvec_embedder(), name="plain", options=PlainOptions, capabilities=lambda _: model)


class KeyedOptions(Options):
    api_key: Secret = Secret(env="MODEL_KEY")


class _Keyed:
    """A model that needs a key to open."""

    @hookimpl
    def nestvec_embedder(self) -> EmbedderPlugin:
        plugin = recording.nestvec_embedder()
        return replace(
            plugin,
            name="keyed",
            options=KeyedOptions,
            capabilities=lambda _: plugin.capabilities(recording.RecordingOptions()),
            open=lambda options: plugin.open(options.api_key.reveal("keyed api_key")),
        )


ACME, PLAIN, KEYED = _Acme(), _Plain(), _Keyed()


@pytest.fixture
def registry() -> Registry:
    return test_registry(
        backend_acme=f"{__name__}:ACME", embedder_plain=f"{__name__}:PLAIN", embedder_keyed=f"{__name__}:KEYED"
    )


@pytest.fixture
def load(tmp_path: Path, registry: Registry) -> Callable[[str], Config]:
    """Read a TOML text as a file."""

    def read(text: str) -> Config:
        file = tmp_path / "nestvec.toml"
        file.write_text(text, encoding="utf-8")
        return load_config(file, registry)

    return read


@pytest.fixture
def problems(load: Callable[[str], Config]) -> Callable[[str], list[str]]:
    """The problems of a broken TOML text, in order."""

    def read(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text)
        return list(caught.value.problems)

    return read

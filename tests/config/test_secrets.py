"""Secrets: never literal, read only when they are needed, and in no error, repr or chained exception."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nestvec._client import connect
from nestvec.config import Config, load_config, parse_config
from nestvec.errors import ConfigError, SecretError
from nestvec.options import Secret
from nestvec.registry import Registry
from nestvec.runtime import Runtime

VALUE = "sk-THE-VERY-SECRET"
VALUES = {
    "backends": {"search": {"use": "acme", "api_key": {"env": "ACME_KEY"}}},
    "embedders": {"model": {"use": "recording"}},
    "collections": {"docs": {"dimensions": 8}},
}
Load = Callable[[str], Config]


def everything_said_by(error: BaseException) -> str:
    """All that a log could show of an error and whatever it is chained to."""
    return "\n".join([*traceback.format_exception(error), *map(_shown, _chain(error))])


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _shown(error: BaseException) -> str:
    details = error.errors() if hasattr(error, "errors") else ""
    return f"{error!r} {error} {error.args} {vars(error)} {details}"


# ---------------------------------------------------------------- literals


@pytest.mark.parametrize(
    "literal",
    [
        f'"{VALUE}"',
        f'["{VALUE}"]',
        f'{{ value = "{VALUE}" }}',
        f'{{ env = "{VALUE}" }}',
        f'{{ env = "ACME_KEY", file = "{VALUE}" }}',
        f'{{ env = ["{VALUE}"] }}',
    ],
)
def test_a_literal_is_refused_and_never_shown(load: Load, literal: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(f'[backends.search]\nuse = "acme"\nreplicas = 0\napi_key = {literal}')
    assert "backends.search.api_key" in str(caught.value)
    assert "backends.search.replicas" in str(caught.value)
    assert VALUE not in everything_said_by(caught.value)


def test_a_literal_is_told_where_secrets_belong(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load(f'[backends.search]\nuse = "acme"\napi_key = "{VALUE}"')
    assert caught.value.problems == (
        'backends.search.api_key: a secret cannot stand here literally; write { env = "NAME" } or { file = "path" }',
    )


@pytest.mark.parametrize("literal", [12345678, 1.5, True, b"sk"])
def test_numbers_are_no_secrets_either(literal: object) -> None:
    with pytest.raises(ValueError, match="literally") as caught:
        Secret.model_validate(literal)
    assert "12345678" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f'[backends.search]\nuse = "acme"\napi_kye = "{VALUE}"',
        f'[backends.search]\nuse = "acme"\nreplicas = "{VALUE}"',
        f'[backends.search]\napi_key = "{VALUE}"',
        f'[backends]\nsearch = "{VALUE}"',
        f'[collections.docs]\ndimensions = "{VALUE}"',
        f'[collections.docs]\nmetric = "{VALUE}"',
        f'[collections.docs.acme]\nshards = "{VALUE}"',
        f'backends = "{VALUE}"',
        f'password = "{VALUE}"',
        f'password = "{VALUE}',
    ],
)
def test_a_secret_in_any_wrong_place_is_never_shown(load: Load, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert VALUE not in everything_said_by(caught.value)


@pytest.mark.parametrize("place", [{}, {"env": ""}, {"env": "A", "file": "b"}, {"env": "two words"}])
def test_a_secret_needs_exactly_one_place(place: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"exactly one of|name of an environment variable"):
        Secret.model_validate(place)


# ---------------------------------------------------------------- reading


def test_nothing_is_read_before_the_component_opens(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACME_KEY", raising=False)
    with connect(parse_config(VALUES, registry), Runtime(registry)) as client:
        assert client.config.collections["docs"].space.dimensions == 8
        with pytest.raises(SecretError, match="acme api_key: the environment variable ACME_KEY is not set; set it"):
            client.plan()
        monkeypatch.setenv("ACME_KEY", VALUE)
        assert [change.action for change in client.plan()] == ["create"]


def test_plan_needs_no_secret_of_an_embedder(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    values: dict[str, Any] = {**VALUES, "backends": {"store": {"use": "memory"}}, "embedders": {"m": {"use": "keyed"}}}
    monkeypatch.delenv("MODEL_KEY", raising=False)
    with connect(parse_config(values, registry), Runtime(registry)) as client:
        assert [change.action for change in client.plan()] == ["create"]
        client.apply()
        with pytest.raises(SecretError, match="MODEL_KEY"):
            client["docs"].search("anything")


def test_the_environment_is_read_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret(env="ACME_KEY")
    monkeypatch.setenv("ACME_KEY", "first")
    assert secret.reveal("acme api_key") == "first"
    monkeypatch.setenv("ACME_KEY", "second\n")
    assert secret.reveal("acme api_key") == "second"


def test_a_file_is_read_from_the_configuration_s_folder(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "nestvec.toml").write_text('[backends.search]\nuse = "acme"\napi_key = { file = "key.txt" }')
    config = load_config(tmp_path / "nestvec.toml", registry)
    (tmp_path / "key.txt").write_text(f"{VALUE}\n")
    assert config.backends["search"].options.api_key.reveal("acme api_key") == VALUE  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", ["", " \n"])
def test_an_empty_secret_is_missing(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ACME_KEY", value)
    with pytest.raises(SecretError, match="the secret in the environment variable ACME_KEY is empty"):
        Secret(env="ACME_KEY").reveal("acme api_key")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match=r"acme api_key: the file .*key\.txt cannot be read") as caught:
        Secret(file=tmp_path / "key.txt").reveal("acme api_key")
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_file_that_is_no_text_is_named_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "key.bin").write_bytes(VALUE.encode() + b"\xff")
    with pytest.raises(SecretError, match=r"key\.bin is not UTF-8 text") as caught:
        Secret(file=tmp_path / "key.bin").reveal("acme api_key")
    assert VALUE not in everything_said_by(caught.value)


def test_a_secret_that_was_read_is_in_no_repr(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", VALUE)
    config = parse_config(VALUES, registry)
    options: Any = config.backends["search"].options
    assert options.api_key.reveal("acme api_key") == VALUE
    with connect(config, Runtime(registry)) as client:
        client.plan()
        shown = [repr(item) for item in (config, options, client, client["docs"], config.collections["docs"])]
    assert VALUE not in "\n".join([*shown, options.model_dump_json(), str(vars(options))])

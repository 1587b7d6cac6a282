"""Configuration, secrets, certificates and artifacts: none of them is waited for, or fills the memory."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from nestvec._artifacts import About, Artifact, save
from nestvec._chunking import Chunking, Splitter
from nestvec._limits import ReadLimits
from nestvec.config import load_config, parse_config
from nestvec.embedders.jina.embedder import JinaEmbedder
from nestvec.embedders.jina.options import JinaOptions
from nestvec.encoding.estimate import counter
from nestvec.errors import ConfigError, NestvecError, SecretError, Unsupported
from nestvec.options import Secret

MEGA = 1_000_000


@pytest.fixture
def pipe(tmp_path) -> Path:
    """A pipe that nobody writes: whoever opens it waits for ever."""
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def opened(path: Path, what: str) -> object:
    if what == "configuration":
        return load_config(path)
    if what == "secret":
        return Secret(file=path).reveal("api_key")
    if what == "ca":
        return JinaEmbedder(JinaOptions(base_url="https://127.0.0.1/v1", ca=path))
    if what == "tokenizer":
        return counter(path)
    return list(Splitter(Chunking("tokens", 10, tokenizer=str(path))).split("a", "some words"))


@pytest.mark.parametrize("what", ["configuration", "secret", "ca", "tokenizer", "chunks"])
def test_a_pipe_is_not_waited_for(pipe, what):
    pytest.importorskip("tokenizers")
    with pytest.raises((ConfigError, Unsupported), match=r"a pipe \(FIFO\), not a file") as caught:
        opened(pipe, what)
    assert str(pipe) in str(caught.value)


@pytest.mark.parametrize(
    ("what", "kind"), [("/dev/zero", "a device"), ("/proc/self/environ", "made up"), ("/", "folder")]
)
def test_devices_and_the_like_are_no_secrets_and_no_configuration(tmp_path, what, kind):
    (tmp_path / "link").symlink_to(what)
    with pytest.raises(SecretError, match=kind):
        Secret(file=tmp_path / "link").reveal("api_key")
    with pytest.raises(ConfigError, match=kind):
        load_config(tmp_path / "link")


def test_a_long_secret_is_none(tmp_path):
    (tmp_path / "key").write_text("k" * 64_001)
    with pytest.raises(SecretError, match="longer than 64 kB") as caught:
        Secret(file=tmp_path / "key").reveal("api_key")
    assert "kkk" not in str(caught.value)


# ---------------------------------------------------------------- the configuration


def test_a_configuration_of_more_than_a_megabyte_is_refused(tmp_path):
    path = tmp_path / "n.toml"
    path.write_text("# words\n" * 125_001)
    with pytest.raises(ConfigError, match=rf"{path} cannot be read: it is longer than 1 MB"):
        load_config(path)
    path.write_text("# words\n" * 125_000)
    load_config(path)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000,
        "a = " + "[" * 20 + "]" * 20,
        "a = " + "{ a = " * 5_000 + "1" + "}" * 5_000,
        ".".join("a" * 200_000) + " = 1",
        "[" + ".".join("a" * 200_000) + "]",
        "[" + ".".join("a" * 20) + "]",
        "x = { " + ".".join("a" * 200_000) + " = 1 }",
    ],
    ids=["lists", "20 lists", "tables", "dotted", "header", "20 tables", "inline"],
)
def test_what_is_nested_too_deeply_is_refused_at_once(tmp_path, text):
    path = tmp_path / "n.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"{path} is nested too deeply: tables and lists lie at most 16 deep"):
        load_config(path)


def test_values_that_are_nested_too_deeply_are_refused():
    values: dict[str, object] = {}
    for _ in range(100_000):
        values = {"a": values}
    with pytest.raises(ConfigError, match="the configuration is nested too deeply"):
        parse_config(values)


def test_limits_of_readers_are_settings():
    assert parse_config({}).limits == ReadLimits()
    written = {"document": "1 MB", "file": 10, "rows": 5, "failures": 1}
    assert parse_config({"limits": written}).limits == ReadLimits(MEGA, 10, 5, 1)


@pytest.mark.parametrize(
    "written", [{"document": "0 MB"}, {"file": "much"}, {"rows": 0}, {"failures": -1}, {"lines": 1}]
)
def test_limits_are_checked(written):
    (key,) = written
    with pytest.raises(ConfigError, match=rf"limits\.{key}"):
        parse_config({"limits": written})


# ---------------------------------------------------------------- artifacts

FINGERPRINT = "0123456789abcdef"


def artifact(folder: Path, dimensions: int, write) -> Artifact:
    about = {
        "fingerprint": FINGERPRINT,
        "model": "m",
        "dimensions": dimensions,
        "source": "",
        "vectors": 0,
        "created": "",
    }
    (folder / f"{FINGERPRINT}.json").write_text(json.dumps(about))
    with (folder / f"{FINGERPRINT}.npy").open("wb") as file:
        write(file)
    return Artifact(folder, FINGERPRINT)


def header(shape: tuple[int, ...], kind: str = "<f4"):
    description = {"descr": kind, "fortran_order": False, "shape": shape}
    return lambda file: np.lib.format.write_array_header_1_0(file, description)


@pytest.mark.parametrize(
    ("dimensions", "write", "told"),
    [
        (10**9, header((10**9, 10**9)), "shorter than it says"),
        (8, header((8, 8), "V1000000000"), "shorter than it says"),
        (8, header((10**5, 10**5)), "not a matrix of 8 rows"),
        (8, header((8, 8), "|O"), "not a matrix of 8 rows"),
        (8, lambda file: file.write(b"\x93NUMPY\x02\x00\xff\xff\xff\xff"), "version 2.0"),
        (8, lambda file: file.write(b"PK"), "no single matrix"),
    ],
    ids=["numbers", "items", "shape", "objects", "header", "archive"],
)
def test_a_matrix_that_claims_to_be_large_takes_no_room(tmp_path, dimensions, write, told):
    made = artifact(tmp_path, dimensions, write)
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError, match=told) as caught:
            made.load()
        assert tracemalloc.get_traced_memory()[1] < 3 * MEGA
    finally:
        tracemalloc.stop()
    assert str(made.matrix) in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 100_000, " " * (MEGA + 1)], ids=["nested", "long"])
def test_a_description_is_short(tmp_path, text):
    made = artifact(tmp_path, 8, header((8, 8)))
    made.about.write_text(text)
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        made.describe()
    assert str(made.about) in str(caught.value)


def test_artifacts_that_are_pipes_are_not_waited_for(tmp_path):
    made = artifact(tmp_path, 8, header((8, 8)))
    made.matrix.unlink()
    os.mkfifo(made.matrix)
    with pytest.raises(NestvecError, match="there is no file"):
        made.load()
    with pytest.raises(ConfigError, match=r"a pipe \(FIFO\)"):
        made.proved(8)


def test_what_was_kept_is_read(tmp_path):
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0].astype("<f4")
    assert (save(tmp_path, rotation, About("m", 8)).load() == rotation).all()

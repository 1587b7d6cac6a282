"""Folders, weights, options and machines that do not fit."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from nestvec.errors import ConfigError, EmbedderUnavailable, PluginBroken


def spoil(folder, name, **changes):
    """Change keys of a JSON file."""
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


# ---------------------------------------------------------------- options that do not describe the model


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        ("e5", {"dimensions": 384}, "dimensions: its vectors have 32; write dimensions = 32"),
        ("gemma", {"dimensions": 32}, "write dimensions = 48"),
        ("e5", {"prompts": {}}, 'write prompts = { query = "query: ", passage = "passage: " }'),
        ("e5", {"prompts": {"query": "query:", "passage": "passage: "}}, 'query = "query: "'),
        ("e5", {"asymmetric": True}, "write asymmetric = false"),
        ("two", {"asymmetric": False}, "write asymmetric = true"),
        ("e5", {"normalized": False}, "write normalized = true"),
        ("plain", {"normalized": False}, "write normalized = true"),
        ("dot", {"normalized": True}, 'write normalized = false, and metric = "dot"'),
        ("e5", {"max_tokens": 513}, "write max_tokens = 512"),
    ],
)
def test_the_value_to_write_is_told(fresh, kind, change, told):
    with pytest.raises(ConfigError) as caught:
        fresh(kind, **change)
    assert told in str(caught.value)
    assert f"acme/{kind}" in str(caught.value)
    assert len(caught.value.problems) == 1


def test_everything_that_does_not_fit_is_told_at_once(fresh):
    with pytest.raises(ConfigError) as caught:
        fresh("e5", dimensions=8, prompts={}, max_tokens=1000)
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["dimensions", "max_tokens", "prompts"]


def test_what_is_told_is_toml_and_what_is_written_then_fits(fresh, models, tmp_path):
    import tomllib

    folder = models.copy("plain", tmp_path)
    prompts = {"query": 'Instruct: say "yes"\nQuery: ', "s2p.query": "ä\t"}
    spoil(folder, "config_sentence_transformers.json", prompts=prompts)
    with pytest.raises(ConfigError) as caught:
        fresh("plain", path=str(folder))
    line = caught.value.problems[0].split("write ")[1].split(" (another")[0]
    assert tomllib.loads(line) == {"prompts": prompts}
    assert fresh("plain", path=str(folder), **tomllib.loads(line)).count_tokens()("x") == 3


def test_a_prompt_can_be_added_to_those_of_the_model(fresh, models, kit):
    import numpy as np

    embedder = fresh("e5", prompts={**models.PROMPTS["e5"], "law": "law: "})
    rows = kit.rows(embedder, *models.TEXTS, task="law")
    np.testing.assert_allclose(rows, models.reference("e5", models.TEXTS, "law: "), atol=1e-5)


def test_a_model_that_tells_its_lengths_has_no_shorter_ones(fresh, models, tmp_path):
    folder = models.copy("gemma", tmp_path)
    spoil(folder, "config.json", matryoshka_dimensions=[16, 32, 48])
    with pytest.raises(ConfigError, match=r"no length below 16; write matryoshka = \[16, 32, 48\]"):
        fresh("gemma", path=str(folder))
    assert fresh("gemma", path=str(folder), matryoshka=[16, 32, 48])


def test_a_default_prompt_must_be_declared(fresh, models, kit, tmp_path):
    import numpy as np

    folder = models.copy("plain", tmp_path)
    spoil(folder, "config_sentence_transformers.json", prompts={"general": "g: "}, default_prompt_name="general")
    declared = {"path": str(folder), "prompts": {"general": "g: "}}
    with pytest.raises(ConfigError, match='write default_prompt = "general"'):
        fresh("plain", **declared)
    embedder = fresh("plain", **declared, default_prompt="general")
    rows = kit.rows(embedder, *models.TEXTS)
    np.testing.assert_allclose(rows, models.reference("plain", models.TEXTS, "g: "), atol=1e-5)


# ---------------------------------------------------------------- folders


def test_a_folder_that_is_not_there(fresh, tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere is not there.*hf download acme/plain --revision r1"):
        fresh("plain", path=str(tmp_path / "nowhere"))


def test_a_folder_that_is_no_sentence_transformers_model(fresh, models):
    # sentence-transformers itself would take it, and invent a pooling.
    bert = models.folder("plain").parent / "bert"
    with pytest.raises(ConfigError, match=r"bert is no sentence-transformers model: modules.json is missing"):
        fresh("plain", path=str(bert))


def test_a_model_of_another_kind(fresh, models, tmp_path):
    folder = models.copy("plain", tmp_path)
    spoil(folder, "config_sentence_transformers.json", model_type="SparseEncoder")
    with pytest.raises(ConfigError, match="is a SparseEncoder"):
        fresh("plain", path=str(folder))


@pytest.mark.parametrize("name", ["modules.json", "config_sentence_transformers.json"])
def test_files_that_are_not_json(fresh, models, tmp_path, name):
    folder = models.copy("plain", tmp_path)
    (folder / name).write_text("{")
    with pytest.raises(ConfigError, match="plain"):
        fresh("plain", path=str(folder))


def test_weights_that_are_not_there(fresh, models, tmp_path):
    folder = models.copy("plain", tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"cannot be loaded.*model.safetensors.*hf download"):
        fresh("plain", path=str(folder))


def test_weights_of_which_some_are_missing(fresh, models, tmp_path):
    # transformers fills them with random numbers, and only logs it.
    weights = without(models.copy("plain", tmp_path), "encoder.layer.1.attention.self.query.weight")
    with pytest.raises(ConfigError, match=r"not complete: .*layer.1.attention.self.query.weight would be random"):
        fresh("plain", path=str(weights))


def test_weights_that_no_vector_depends_on_may_be_missing(fresh, models, kit, tmp_path):
    # Many checkpoints come without the pooler, which mean pooling does not use.
    folder = without(models.copy("plain", tmp_path), "pooler.dense.weight", "pooler.dense.bias")
    assert kit.rows(fresh("plain", path=str(folder)), "text").shape == (1, 32)


def without(folder, *names):
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    weights = load_file(file)
    for name in names:
        weights.pop(name)
    save_file(weights, file, metadata={"format": "pt"})
    return folder


def test_a_tokenizer_that_is_missing(fresh, models, tmp_path):
    # transformers makes one with an empty vocabulary.
    folder = models.copy("plain", tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(ConfigError, match="gives different words one vector: the files of its tokenizer are missing"):
        fresh("plain", path=str(folder))


# ---------------------------------------------------------------- foreign code


@pytest.fixture
def foreign(models, tmp_path, monkeypatch):
    """A model with a module of its own."""
    folder = models.copy("plain", tmp_path)
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "pooling_of_its_own.Pooling"
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "pooling_of_its_own.py").write_text(
        "from sentence_transformers.sentence_transformer.modules import Pooling\n\n"
        "class Pooling(Pooling):\n"
        "    def forward(self, features, **more):\n"
        "        features = super().forward(features, **more)\n"
        "        features['sentence_embedding'] = features['sentence_embedding'].flip(1)\n"
        "        return features\n"
    )
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    return str(folder)


def test_foreign_code_is_not_run_unasked(fresh, foreign):
    with pytest.raises(ConfigError, match=r"Python code of its own.*trust_remote_code = true"):
        fresh("plain", path=foreign)


def test_foreign_code_is_run_where_that_is_wanted(fresh, foreign, models, kit):
    import numpy as np

    rows = kit.rows(fresh("plain", path=foreign, trust_remote_code=True), *models.TEXTS)
    np.testing.assert_allclose(rows, models.reference("plain", models.TEXTS)[:, ::-1], atol=1e-5)


def test_foreign_code_that_needs_what_is_not_there(fresh, foreign):
    code = Path(foreign) / "pooling_of_its_own.py"
    code.write_text("import a_package_that_nobody_has\n" + code.read_text())
    with pytest.raises(PluginBroken, match=r"needs a package that is not there: .*a_package_that_nobody_has"):
        fresh("plain", path=foreign, trust_remote_code=True)


# ---------------------------------------------------------------- the hub and the machine


@pytest.fixture
def cache(models, tmp_path, monkeypatch):
    """The hub's cache on this machine, with one model at one commit."""
    import shutil

    commit = "0123456789abcdef0123456789abcdef01234567"
    home = tmp_path / "hub"
    shutil.copytree(models.folder("e5"), home / "models--acme--e5" / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home))
    return commit


def test_a_name_on_the_hub_is_found_in_the_cache(fresh, models, kit, cache):
    import numpy as np

    embedder = fresh("e5", path=None, revision=cache)
    rows = kit.rows(embedder, *models.TEXTS, task="retrieval.query")
    np.testing.assert_allclose(rows, models.reference("e5", models.TEXTS, "query: "), atol=1e-5)


def test_another_name_of_the_same_model_is_its_repository(fresh, kit, cache):
    embedder = fresh("e5", path=None, revision=cache, model="canonical/name", repository="acme/e5")
    assert kit.rows(embedder, "text").shape == (1, 32)


@pytest.mark.parametrize("change", [{"revision": "f" * 40}, {"model": "acme/other"}])
def test_what_was_not_downloaded_is_told_how_to_get(fresh, cache, change):
    with pytest.raises(ConfigError, match=r"not, or not whole, on this machine; get it with: hf download acme/"):
        fresh("e5", **{"path": None, "revision": cache, **change})


def test_no_network_to_download_with(fresh, cache, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EmbedderUnavailable, match=r"acme/other cannot be fetched from the hub"):
        fresh("e5", path=None, revision=cache, model="acme/other", download=True)


def test_a_device_that_is_not_there(fresh):
    with pytest.raises(ConfigError, match=r"device: 'cuda:7' is not there; this machine's torch has .*cpu"):
        fresh("plain", device="cuda:7")


def test_a_package_that_is_not_there(fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(PluginBroken, match=r"pip install 'nestvec-transformers\[sentence-transformers\]'"):
        fresh("plain")

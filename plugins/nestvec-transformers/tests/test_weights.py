"""Folders and repositories that are not as they should be: each error says which, what of it, and what to type."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from nestvec.errors import ConfigError, EmbedderError, PluginBroken
from nestvec_transformers import libraries
from nestvec_transformers import model as model_module

ADAPTERS = ("retrieval_query", "retrieval_passage", "text_matching", "classification", "separation")
FETCH = "get it with: hf download jinaai/jina-embeddings-v3-hf --revision tiny-0 --local-dir "


@pytest.fixture
def refused(open_embedder, copied):
    """The message with which the damaged copy is refused."""

    def refuse(kind=ConfigError, **values):
        with pytest.raises(kind) as caught:
            open_embedder(**{"path": copied, **values})
        return str(caught.value)

    return refuse


def test_no_folder(refused, tmp_path):
    folder = tmp_path / "nowhere"
    assert refused(path=folder) == f"path: the folder {folder} is not there; {FETCH}{folder}"


def test_an_empty_folder(refused, tmp_path):
    told = refused(path=tmp_path)
    assert told.startswith(f"the model in {tmp_path} is not complete: config.json, model.safetensors or model.")
    assert told.endswith(f" are missing; {FETCH}{tmp_path}")
    assert "tokenizer.json" in told


def test_missing_adapters_are_all_named(refused, copied):
    shutil.rmtree(copied / "separation")
    (copied / "retrieval_query" / "adapter_model.safetensors").unlink()
    assert refused() == (
        f"the model in {copied} is not complete: retrieval_query/adapter_model.safetensors, "
        f"separation/adapter_config.json, separation/adapter_model.safetensors are missing; {FETCH}{copied}"
    )


def test_no_tokenizer(refused, copied):
    (copied / "tokenizer.json").unlink()
    assert f"the model in {copied} is not complete: tokenizer.json is missing; {FETCH}" in refused()


def test_a_tokenizer_that_is_none(refused, copied):
    (copied / "tokenizer.json").write_text("{}")
    assert refused().startswith(f"the tokenizer in {copied} cannot be used (")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ('{"model_type": "xlm-roberta"}', "is a xlm-roberta, not a jina_embeddings_v3: the checkpoint of "),
        ('{"model_type": ', "config.json is no model's configuration (JSONDecodeError"),
        ("[]", "config.json is no model's configuration (TypeError"),
        ("{}", "config.json is no model's configuration (KeyError: 'model_type')"),
    ],
)
def test_the_configuration_of_something_else(refused, copied, config, told):
    (copied / "config.json").write_text(config)
    assert told in refused()
    assert str(copied) in refused()


def test_a_model_of_another_size(refused, copied):
    """As it would be with weights of a relative, the rest being right."""
    from transformers import JinaEmbeddingsV3Config, JinaEmbeddingsV3Model

    (copied / "model.safetensors").unlink()
    vocabulary = json.loads((copied / "config.json").read_text())["vocab_size"]
    small = JinaEmbeddingsV3Config(
        hidden_size=64, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=vocabulary
    )
    JinaEmbeddingsV3Model(small).save_pretrained(copied)
    assert "gives vectors of 64 dimensions; jina-embeddings-v3 has 1024" in refused()


@pytest.mark.parametrize("file", ["model.safetensors", "classification/adapter_model.safetensors"])
def test_weights_that_are_cut_off(refused, copied, file):
    (copied / file).write_bytes((copied / file).read_bytes()[:5000])
    told = refused()
    assert told.startswith(f"the model in {copied} cannot be loaded (")
    assert told.endswith(FETCH + str(copied))


@pytest.mark.parametrize(
    ("file", "lost"),
    [("model.safetensors", "mlp.fc1.weight"), ("separation/adapter_model.safetensors", "v_proj.lora_B")],
)
def test_missing_tensors_are_not_made_up(refused, copied, file, lost):
    weights = {name: tensor for name, tensor in load_file(copied / file).items() if lost not in name}
    save_file(weights, copied / file, {"format": "pt"})
    told = refused()
    assert told.startswith(f"the weights in {(copied / file).parent} are not complete: 1 are missing, such as ")
    assert lost in told


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def noted(folder, commit):
    note = folder / ".cache" / "huggingface" / "download" / "config.json.metadata"
    note.parent.mkdir(parents=True)
    note.write_text(f"{commit}\netag\n1700000000.0\n")


def test_a_folder_of_another_revision(refused, copied):
    noted(copied, COMMIT)
    wanted = COMMIT[::-1]
    told = refused(revision=wanted)
    assert told.startswith(f"revision: {copied} holds {COMMIT}, as its download noted, not {wanted};")


@pytest.mark.parametrize("revision", [COMMIT, "v1.0"])
def test_a_folder_of_this_revision(open_embedder, copied, revision):
    noted(copied, COMMIT)
    open_embedder(path=copied, revision=revision)


# ---------------------------------------------------------------- the machine


def test_no_memory_for_the_model(refused, monkeypatch):
    real = torch.nn.Module.to

    def too_much(self, *device, **others):
        if device:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(self, **others)

    monkeypatch.setattr(torch.nn.Module, "to", too_much)
    told = refused(EmbedderError)
    assert told.startswith("the memory of cpu does not suffice for jina-embeddings-v3; set another device, or dtype")


def test_a_device_that_is_not_there(refused):
    assert "device: 'cuda:99' is not there" in refused(device="cuda:99")


@pytest.mark.parametrize("name", ["torch", "transformers", "peft"])
def test_a_library_that_is_not_there(refused, monkeypatch, name):
    import sys

    monkeypatch.setitem(sys.modules, name, None)
    told = refused(PluginBroken)
    assert re.match(rf"{name}\S* cannot be imported: .*; pip install ", told), told


def test_a_peft_that_is_too_old(refused, monkeypatch):
    monkeypatch.setattr("transformers.integrations.peft.MIN_PEFT_VERSION", "999.0")
    assert "needs peft >= 999.0, and " in refused(PluginBroken)


def test_loading_prints_nothing_where_nobody_looks(open_embedder, capfd, recwarn):
    open_embedder()
    assert capfd.readouterr() == ("", "")
    assert [str(each.message) for each in recwarn] == []


def test_loading_leaves_the_libraries_as_it_found_them(open_embedder, monkeypatch):
    from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
    from transformers.utils import logging

    logging.set_verbosity_info()
    logging.enable_progress_bar()
    enable_progress_bars()
    before = logging.get_verbosity(), logging.is_progress_bar_enabled(), are_progress_bars_disabled()
    seen = []
    real = model_module.locate
    monkeypatch.setattr(
        model_module,
        "locate",
        lambda *given: seen.append((logging.is_progress_bar_enabled(), are_progress_bars_disabled())) or real(*given),
    )
    open_embedder()
    monkeypatch.setattr(libraries.sys.stderr, "isatty", lambda: True, raising=False)
    open_embedder()
    assert seen == [(False, True), (True, False)]
    after = logging.get_verbosity(), logging.is_progress_bar_enabled(), are_progress_bars_disabled()
    logging.set_verbosity_warning()
    assert after == before == (logging.INFO, True, False)
